"""Attention: where in the face a classifier recognises an expression, and the share of it that a view shows.

The classifier is the ResNet-18 trunk of the depth network, frozen, with one linear layer on top. Its input is the
change of the last convolution's features from onset to apex, so that identity, which is in both frames, cancels. Its
maps are coarse and the clips few, so they are multiplied by the measured motion from onset to apex.
Source: eq. 3-4 of the multi-view geometry consistency paper; Selvaraju et al., Grad-CAM, ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import WeightsError
from mvgen.core.records import DepthMap, Image, Mask, ViewGeometry
from mvgen.render.surface import facing, source_normals, source_points

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.floating]

_BATCH = 8
_RIDGE = 1.0  # weight of the penalty against the mean loss: there are far more features than clips
# On 42 stand-in clips, two thirds of them one-sided, a view's share of Grad-CAM alone is 0.14 off its share of the true
# motion, and of the product 0.06; with no weight for motion without evidence 0.08.
_WITHOUT_EVIDENCE = 1.0  # weight of motion without evidence, relative to the evidence's mean over the face
_MOTION_SMOOTHING = 1 / 64  # of the image's side, sigma: neighbouring skin moves alike, noise does not
_LEAST_MOTION = 0.1 / 256  # of the image's side: what flow finds between noisy frames of a face that keeps still
_STEEPEST = 6.0  # slope, in the view, up to which depth within a pixel is distinguished from occlusion


class Estimator(Protocol):
    """The part of the depth network that attention uses: its trunk, and the preparation of crops for it."""

    @property
    def encoder(self) -> Callable[[Any], Sequence[Any]]:
        """(N, 3, S, S) -> feature maps, the last one of the last convolution."""
        ...

    def normalise(self, crops: Image) -> torch.Tensor:
        """(N, S, S, 3) uint8 -> (N, 3, S, S), the trunk's input."""
        ...


@dataclass(frozen=True, slots=True)
class AttentionModel:
    """The linear layer on the pooled change of features. Without classes, attention is uniform.

    classes : C names, sorted
    weight : (C, F) float64; bias : (C,) float64
    mean, scale : (F,) float64, by which the features are standardised
    """

    classes: tuple[str, ...]
    weight: Floats
    bias: Floats
    mean: Floats
    scale: Floats

    @classmethod
    def empty(cls) -> AttentionModel:
        """A model without a head."""
        return cls((), np.zeros((0, 0)), np.zeros(0), np.zeros(0), np.ones(0))

    @property
    def fitted(self) -> bool:
        return len(self.classes) > 0

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """Plain arrays to be stored as safetensors; the class names are UTF-8 bytes, a line each."""
        names = np.frombuffer("\n".join(self.classes).encode(), np.uint8).copy()
        return {"classes": names, "weight": self.weight, "bias": self.bias, "mean": self.mean, "scale": self.scale}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> AttentionModel:
        """The model that `to_tensors` wrote. Raises WeightsError when arrays are missing or do not fit together."""
        missing = sorted({"classes", "weight", "bias", "mean", "scale"} - set(tensors))
        if missing:
            raise WeightsError(f"attention weights lack {', '.join(missing)}; build the dataset again to make them")
        names = bytes(np.asarray(tensors["classes"], np.uint8)).decode()
        classes = tuple(names.split("\n")) if names else ()
        weight, bias, mean, scale = (
            np.asarray(tensors[name], np.float64) for name in ("weight", "bias", "mean", "scale")
        )
        if weight.shape != (len(classes), len(mean)) or bias.shape != (len(classes),) or scale.shape != mean.shape:
            raise WeightsError(f"attention weights of shape {weight.shape} do not fit {len(classes)} classes")
        return cls(classes, weight, bias, mean, scale)


def _last_convolution(crops: Image, estimator: Estimator) -> torch.Tensor:
    """(N, F, h, w), the trunk's last feature maps."""
    import torch

    with torch.no_grad():
        return estimator.encoder(estimator.normalise(crops))[-1].float()


def pooled_change(onset_crops: Image, apex_crops: Image, estimator: Estimator) -> Floats:
    """What a clip is classified by: (N, F) float64, mean over the face crop of the features' change, onset to apex.

    onset_crops, apex_crops : (N, S, S, 3) uint8, registered
    """
    changes = []
    for start in range(0, len(onset_crops), _BATCH):
        batch = slice(start, start + _BATCH)
        change = _last_convolution(apex_crops[batch], estimator) - _last_convolution(onset_crops[batch], estimator)
        changes.append(change.mean(dim=(2, 3)).double().cpu().numpy())
    return np.concatenate(changes) if changes else np.zeros((0, 0))


def fit_head(changes: Floats, labels: Sequence[str]) -> AttentionModel:
    """Multinomial logistic regression on pooled changes: ridge penalty, equal weight of all classes.

    changes : (N, F); labels : N class names
    A model without a head where there are fewer than two classes. The problem is convex and starts from zero, so the
    result is deterministic.
    """
    from scipy.optimize import minimize

    classes = tuple(sorted(set(labels)))
    if len(classes) < 2:
        return AttentionModel.empty()
    mean, spread = changes.mean(axis=0), changes.std(axis=0)
    scale = np.where(spread > 1e-12, spread, 1.0)
    features = np.column_stack([(changes - mean) / scale, np.ones(len(changes))])  # the last one carries the bias
    target = np.array([[label == name for name in classes] for label in labels], np.float64)
    share = (target / target.sum(axis=0)).sum(axis=1, keepdims=True) / len(classes)
    penalty = np.r_[np.full(features.shape[1] - 1, _RIDGE / len(labels)), 0.0]

    def loss(flat: Floats) -> tuple[float, Floats]:
        weight = flat.reshape(len(classes), -1)
        logits = features @ weight.T
        logits -= logits.max(axis=1, keepdims=True)
        chance = np.exp(logits)
        total = chance.sum(axis=1, keepdims=True)
        value = (share * target * (np.log(total) - logits)).sum() + 0.5 * (penalty * weight**2).sum()
        gradient = (share * (chance / total - target)).T @ features + penalty * weight
        return float(value), gradient.ravel()

    start = np.zeros(len(classes) * features.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "gtol": 1e-8, "ftol": 1e-15})
    weight = found.x.reshape(len(classes), -1)
    return AttentionModel(classes, weight[:, :-1].copy(), weight[:, -1].copy(), mean, scale)


def uniform_attention(face: Mask) -> NDArray[np.float32]:
    """(S, S) float32, the same everywhere in the face, sums to 1; all zero if there is no face."""
    return (face / max(int(face.sum()), 1)).astype(np.float32)


def attention_map(
    onset: Image,
    apex: Image,
    label: str | None,
    *,
    model: AttentionModel,
    estimator: Estimator,
    face: Mask,
    motion: Floats | None = None,
) -> NDArray[np.float32]:
    """Attention of a clip: Grad-CAM on the last convolution, times the length of motion from onset to apex.

    onset, apex : (S, S, 3) uint8, registered
    label : the class to explain; the predicted one where it is None or unknown to the model
    face : (S, S) bool; attention outside it is dropped
    motion : (S, S, 2) pixels, onset to apex; None leaves Grad-CAM as it is
    Returns (S, S) float32, sums to 1 over the face. Motion alone where the model has no head or no evidence for the
    class, Grad-CAM alone where nothing moves, and uniform over the face where there is neither. Grad-CAM follows
    equations 3-4 of the paper; the weight by motion does not come from it.
    """
    evidence = _evidence(onset, apex, label, model, estimator, face)
    if motion is None:
        return evidence
    moved = motion_beyond_noise(motion, face)
    attention = (evidence + _WITHOUT_EVIDENCE * uniform_attention(face)) * moved
    total = attention.sum()
    return (attention / total).astype(np.float32) if total > 0 else evidence


def motion_beyond_noise(motion: Floats, face: Mask) -> Floats:
    """Length of an expression's motion at each pixel of a face: (S, S) float64, pixels, zero outside it.

    motion : (S, S, 2) pixels; face : (S, S) bool
    Most of a face is still in a micro-expression: its median motion is the head's and is subtracted; then the median
    length is taken for noise.
    """
    import cv2

    if not face.any():
        return np.zeros(face.shape)
    sigma = _MOTION_SMOOTHING * len(face)
    weight = cv2.GaussianBlur(face.astype(np.float64), (0, 0), sigma)
    smooth = cv2.GaussianBlur(np.where(face[..., None], motion, 0).astype(np.float64), (0, 0), sigma)
    smooth = smooth / np.maximum(weight, 1e-3)[..., None]
    length = np.linalg.norm(smooth - np.median(smooth[face], axis=0), axis=-1)
    noise = max(float(np.median(length[face])), _LEAST_MOTION * len(face))
    return np.where(face, np.clip(length - noise, 0, None), 0.0)


def _evidence(  # noqa: PLR0917
    onset: Image, apex: Image, label: str | None, model: AttentionModel, estimator: Estimator, face: Mask
) -> NDArray[np.float32]:
    """Grad-CAM of a clip, (S, S) float32, sums to 1 over the face; uniform where there is no evidence for the class."""
    import cv2
    import torch

    if not model.fitted:
        return uniform_attention(face)
    change = (_last_convolution(apex[None], estimator) - _last_convolution(onset[None], estimator)).double().cpu()
    change.requires_grad_(True)
    pooled = (change.mean(dim=(2, 3)) - torch.from_numpy(model.mean)) / torch.from_numpy(model.scale)
    logits = (pooled @ torch.from_numpy(model.weight).T + torch.from_numpy(model.bias))[0]
    known = label is not None and label in model.classes
    chosen = model.classes.index(str(label)) if known else int(logits.argmax())
    (gradient,) = torch.autograd.grad(logits[chosen], change)
    importance = gradient.mean(dim=(2, 3), keepdim=True)  # eq. 4
    coarse = (importance * change).sum(dim=1)[0].clamp(min=0).detach().numpy()  # eq. 3, evidence for the class
    fine = cv2.resize(coarse, (face.shape[1], face.shape[0]), interpolation=cv2.INTER_CUBIC)
    attention = np.where(face, np.clip(fine, 0, None), 0.0)
    total = attention.sum()
    return (attention / total).astype(np.float32) if total > 0 else uniform_attention(face)


@dataclass(frozen=True, slots=True)
class AttendedSurface:
    """The part of a face's surface that has attention; the same for all views of a clip.

    points, normals : (N, 3) float64, world; weight : (N,) float32, of the attention
    """

    points: Floats
    normals: Floats
    weight: Floats

    @classmethod
    def of(cls, attention: Floats, surface: DepthMap) -> AttendedSurface:
        """From attention (S, S) on the source's crop, and the face's depth, NaN outside it."""
        attended = (attention > 0) & np.isfinite(surface.depth)
        return cls(source_points(surface)[attended], source_normals(surface)[attended], attention[attended])


def visible_attention(attended: AttendedSurface, view: ViewGeometry, grazing: float) -> float:
    """Share of the attention on surface that is visible in a view, in [0, 1].

    grazing : degrees; surface seen at more than this angle from its normal counts as not visible
    A point is visible if it projects into the view's image, is not occluded there, and faces the view's camera.
    """
    total = float(attended.weight.sum())
    if total <= 0:
        return 0.0
    projected = view.camera.project(attended.points)
    cell = np.floor(projected[:, :2]).astype(int)
    size = view.camera.size
    seen = ((cell >= 0) & (cell < size)).all(axis=1)
    seen &= facing(attended.points, attended.normals, view.camera) > np.cos(np.radians(grazing))
    column, row = cell.clip(0, size - 1).T
    # A pixel at the silhouette may be empty although a point projects into its corner: that point is visible.
    front = np.nan_to_num(view.depth, nan=-np.inf)[row, column]
    # The depth is that of the pixel's centre; on a slope the point may be half a diagonal away from it.
    slope = min(float(np.tan(np.radians(grazing))), _STEEPEST)
    seen &= projected[:, 2] >= front - np.sqrt(0.5) * slope / view.camera.scale
    return float(attended.weight[seen].sum() / total)
