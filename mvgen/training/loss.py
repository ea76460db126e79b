"""Losses of the depth network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgen.depth.network import Prediction


def depth_loss(depth: Tensor, truth: Tensor, known: Tensor, gradient_weight: float) -> Tensor:
    """Smooth L1 on depth and on its slope over 1 and 4 pixels, in the face.

    depth, truth : (B, S, S) world units; known : (B, S, S) bool
    Source: eq. 1-2 of the main paper; the unit of x is 5 % of an inter-ocular distance, so that the quadratic part
    covers the errors that remain after a few epochs. The slope term keeps noses and brows from flattening.
    """
    unit = 0.05
    total = F.smooth_l1_loss(depth[known] / unit, truth[known] / unit)
    if gradient_weight:
        for step in (1, 4):
            for axis in (1, 2):
                size = depth.shape[axis] - step
                slope, true_slope = (t.narrow(axis, step, size) - t.narrow(axis, 0, size) for t in (depth, truth))
                both = known.narrow(axis, step, size) & known.narrow(axis, 0, size)
                # A jump in depth at the ear or beside the nose is an occlusion edge, not a slope of the surface.
                both = both & (true_slope.abs() < 0.12 * step)
                slope_unit = 0.2 * unit
                error = F.smooth_l1_loss(slope[both] / slope_unit, true_slope[both] / slope_unit)
                total = total + gradient_weight / 4 * error
    return total


def change_loss(depth: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Smooth L1 on the change between the two frames of each pair, in units of 2 % of the inter-ocular distance.

    depth, truth : (B, S, S) world units, frames 2 i and 2 i + 1 of one setting; known : (B, S, S) bool
    The error of a person's shape is the same in both frames and cancels; the expression is left, and the effect of
    noise on a still face. Without this term the error of shape dominates both.
    """
    change, true_change = (values[0::2] - values[1::2] for values in (depth, truth))
    both = known[0::2] & known[1::2]
    unit = 0.02
    # A larger change is a pixel that shows another part of the face in the second frame, not the expression.
    both = both & (true_change.abs() < 0.3)
    return F.smooth_l1_loss(change[both] / unit, true_change[both] / unit)


def trust_loss(predicted: Prediction, fit: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Cross entropy of the predicted trust with whether the corrected depth is better than the fit.

    fit, truth : (B, S, S) world units; known : (B, S, S) bool
    """
    with torch.no_grad():
        correction = (predicted.depth - fit) / torch.sigmoid(predicted.trust).clamp(min=1e-3)
        better = (fit + correction - truth).abs() < (fit - truth).abs()
    return F.binary_cross_entropy_with_logits(predicted.trust[known], better[known].float())
