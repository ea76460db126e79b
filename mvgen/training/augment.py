"""Augmentation of training pictures: new crops, colour jitter, degradation, hidden patches.

The network can memorise the few rendered people: with colour jitter alone its error on unseen people was 1.5 times
that on the training people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgen.core.camera import EYE_DISTANCE

# Standard deviations of a new crop: zoom (natural logarithm), roll in degrees, shift in inter-ocular distances.
_ZOOM, _ROLL, _SHIFT = 0.05, 3.0, 0.05
# Probability of each degradation, and the largest side of a hidden patch as a share of the picture's.
_GREY, _GAMMA, _BLUR, _NOISE, _PATCH = 0.15, 0.5, 0.25, 0.4, 0.3
_LARGEST_PATCH = 0.35


@dataclass(frozen=True, slots=True)
class Reframing:
    """Another crop of each of B pictures: a similarity of the picture plane.

    matrix : (B, 2, 3), position in the new picture -> position in the old one, both in [-1, 1] across the picture
    zoom : (B,), factor by which the face grows; so does its depth in units of the crop
    """

    matrix: Tensor
    zoom: Tensor

    @classmethod
    def draw(cls, pairs: int, generator: torch.Generator) -> Reframing:
        """New crops of `pairs` pairs of pictures, the same for both of a pair, so that only the face changes in it."""
        draws = torch.randn(pairs, 4, generator=generator).repeat_interleave(2, dim=0)
        zoom = torch.exp(_ZOOM * draws[:, 0])
        roll = math.radians(_ROLL) * draws[:, 1]
        cosine, sine = torch.cos(roll) / zoom, torch.sin(roll) / zoom
        turn = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], dim=1)
        return cls(torch.cat([turn, 2 * _SHIFT * EYE_DISTANCE * draws[:, 2:, None]], dim=2), zoom)

    def sample(self, images: Tensor, size: int, beyond: str) -> Tensor:
        """(B, C, S, S) float -> (B, C, size, size); `beyond` the old one: "border" (its edge repeated) or "zeros"."""
        # Four samples per pixel against aliasing: the new picture is smaller than the old one.
        grid = F.affine_grid(self.matrix, [len(images), 1, 2 * size, 2 * size], align_corners=False)
        return F.avg_pool2d(F.grid_sample(images, grid, padding_mode=beyond, align_corners=False), 2)

    def turn(self, fit: Tensor) -> Tensor:
        """Resampled fits (B, 4, S, S) with depth scaled by the zoom and normals turned with the crop."""
        # The matrix maps from new to old, y down; normals have y up.
        along = self.matrix[:, :, 0] / torch.linalg.vector_norm(self.matrix[:, :, 0], dim=1, keepdim=True)
        cosine, sine = (along[:, axis, None, None] for axis in (0, 1))
        depth, x, y, z = fit.unbind(dim=1)
        return torch.stack([depth * self.zoom[:, None, None], cosine * x - sine * y, sine * x + cosine * y, z], dim=1)


def jitter_colour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation +-0.2 and hue +-0.1 on (B, 3, S, S) in [0, 1], with p = 0.5.

    The same for pictures 2 i and 2 i + 1, two frames of a clip. Source: section IV-B of the main paper.
    """
    import torchvision.transforms.v2.functional as adjust

    result = images.clone()
    draws = torch.rand(len(images) // 2, 5, generator=generator).repeat_interleave(2, dim=0)
    for index, (chance, brightness, contrast, saturation, hue) in enumerate(draws.tolist()):
        if chance < 0.5:
            picture = adjust.adjust_brightness(images[index], 0.8 + 0.4 * brightness)
            picture = adjust.adjust_contrast(picture, 0.8 + 0.4 * contrast)
            picture = adjust.adjust_saturation(picture, 0.8 + 0.4 * saturation)
            result[index] = adjust.adjust_hue(picture, 0.2 * hue - 0.1)
    return result


def degrade(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (B, 3, S, S) in [0, 1], at random made grey, of another gamma, blurred, noisy, or with a patch hidden.

    All but the noise is the same for pictures 2 i and 2 i + 1, two frames of a clip.
    """
    import torchvision.transforms.v2.functional as adjust

    result = images.clone()
    side = images.shape[-1]
    for index in range(0, len(images), 2):
        pair = result[index : index + 2]
        chance = torch.rand(5, generator=generator) < torch.tensor([_GREY, _GAMMA, _BLUR, _NOISE, _PATCH])
        grey, gamma, blur, noise, patch = chance.tolist()
        amount = torch.rand(8, generator=generator)
        if grey:
            pair = adjust.rgb_to_grayscale(pair, 3)
        if gamma:
            pair = pair.clamp(min=1e-4) ** math.exp(0.8 * (float(amount[0]) - 0.5))
        if blur:
            pair = adjust.gaussian_blur(pair, [5, 5], [0.3 + 0.9 * float(amount[1])])
        if noise:
            pair = pair + 0.05 * amount[2] * torch.randn(pair.shape, generator=generator)
        if patch:
            height, width = (1 + (_LARGEST_PATCH * side * amount[3:5]).long()).tolist()
            top, left = (amount[5] * (side - height)).long(), (amount[6] * (side - width)).long()
            pair = pair.clone()
            pair[:, :, top : top + height, left : left + width] = torch.rand(1, 3, 1, 1, generator=generator)
        result[index : index + 2] = pair.clamp(0, 1)
    return result
