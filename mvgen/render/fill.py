"""Colour for surface outside the source's picture, and for the background of a face.

A face is nearly symmetric: the part that the picture's edge cuts off on one side may be visible on the other. Filled
surface is still: it adds no motion, and an expression of one side does not appear on the other. Surface that the source
saw keeps its colours, however oblique: on stand-ins at 45 degrees surface seen at 65 to 80 degrees is within 31 to 41
dB of the true side view, and on photographs the light on the other half of a face differs.

Convention: images (S, S, 3) uint8; filled pixels are never `valid`.
Sources: Perez, Gangnet & Blake, Poisson image editing, SIGGRAPH 2003 (match at the seam, spread inward); Gortler et
al., The lumigraph, SIGGRAPH 1996 (push-pull).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgen.core.landmarks68 import COUNT, MIRROR
from mvgen.core.records import DepthMap, Image, Mask, ViewGeometry
from mvgen.render.surface import facing, source_normals, source_points

Floats = NDArray[np.floating]

_LEAST_LANDMARKS = 12  # on the surface; fewer do not determine the plane of symmetry
_FARTHEST_TILT = 20.0  # degrees between a plausible plane of symmetry and the image's middle line
_DISTANCE = 0.06  # world units, along the normal: a mirrored point this close to the surface is on it
_SEAM = 1 / 64  # of the image's side: sigma within which light is compared across the seam
_DARK = 8.0  # of 255, added before ratios are taken: noise makes ratios of dark colours meaningless
_LARGEST_GAIN = 2.0
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_BLUR = 1 / 12  # of the image's side: sigma of the blurred background


@dataclass(frozen=True, slots=True)
class SymmetryPlane:
    """A face's plane of symmetry: points x with normal . x = offset.

    normal : (3,) float64, unit, toward image right; offset : world units
    """

    normal: Floats
    offset: float

    def mirror(self, points: Floats) -> Floats:
        """Mirror images (..., 3) of world points (..., 3)."""
        return np.asarray(points - 2 * (points @ self.normal - self.offset)[..., None] * self.normal)


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face as the source saw it: the same for all views of a clip.

    surface : the face's depth, NaN outside it
    cosine : (S, S), of the angle at which the source saw each pixel's surface, 0 outside the face
    inside : (S, S) bool, crop pixels that the source's picture covers
    plane : the face's plane of symmetry
    """

    surface: DepthMap
    cosine: NDArray[np.float32]
    inside: Mask
    plane: SymmetryPlane

    @classmethod
    def of(cls, surface: DepthMap, inside: Mask, landmarks: Floats | None = None) -> SeenFace:
        """From a face's surface. landmarks : (68, 2) crop pixels, or None where there are none."""
        known = np.isfinite(surface.depth)
        points = source_points(surface)
        cosine = np.zeros(known.shape, np.float32)
        cosine[known] = facing(points[known], source_normals(surface)[known], surface.camera)
        return cls(surface, cosine, inside, symmetry_plane(surface, landmarks))


def symmetry_plane(surface: DepthMap, landmarks: Floats | None) -> SymmetryPlane:
    """The plane that best mirrors the landmarks onto one another, by least squares.

    surface : the face's depth, NaN outside it
    landmarks : (68, 2) crop pixels
    The plane x = 0 where there are no landmarks, too few are on the surface, or their plane is not that of a face seen
    from the front. For p and its mirror partner q the squared error is |p - q|^2 - (n . (p - q))^2 + (n . (p + q) -
    2 offset)^2, so n is the main eigenvector of a 3 x 3 matrix.
    """
    middle = SymmetryPlane(np.array([1.0, 0.0, 0.0]), 0.0)
    if landmarks is None:
        return middle
    points = _on_surface(surface, landmarks)
    apart, centre = points - points[MIRROR], (points + points[MIRROR]) / 2
    usable = np.isfinite(apart).all(axis=1)
    if usable.sum() < min(_LEAST_LANDMARKS, COUNT):
        return middle
    apart, centre = apart[usable], centre[usable]
    spread = centre - centre.mean(axis=0)
    _, axes = np.linalg.eigh(apart.T @ apart - 4 * spread.T @ spread)
    normal = axes[:, -1] * np.sign(axes[0, -1] or 1.0)
    if normal[0] < np.cos(np.radians(_FARTHEST_TILT)):
        return middle
    return SymmetryPlane(normal, float(centre.mean(axis=0) @ normal))


def _on_surface(surface: DepthMap, pixels: Floats) -> Floats:
    """World points (N, 3) of the surface at pixels (N, 2), NaN off the surface."""
    depth = _at(surface.depth, pixels)
    return surface.camera.unproject(np.column_stack([pixels, depth]))


def _at(image: Floats, pixels: Floats) -> Floats:
    """Values (N,) of an image (S, S) at pixels (N, 2), without interpolation; NaN outside the image."""
    with np.errstate(invalid="ignore"):
        column, row = np.floor(np.nan_to_num(pixels, nan=-1.0)).astype(int).T
    within = (column >= 0) & (column < image.shape[1]) & (row >= 0) & (row < image.shape[0])
    values = np.full(len(pixels), np.nan)
    values[within] = image[row[within], column[within]]
    return values


def fill_unseen(
    colour: Image, view: ViewGeometry, unseen: Mask, crops: Image, face: SeenFace, *, onset: int, grazing: float
) -> Image:
    """The frames of a view with plausible colours on surface outside the source's picture.

    colour : (T, S, S, 3) uint8, from `project_texture`; crops : (T, S, S, 3) uint8, registered frames
    unseen : (S, S) bool, surface that was not seen well; the part inside the source's picture is not changed
    onset : index of the frame that the mirrored colours are taken from
    grazing : degrees; the mirror image has to be seen at less than this angle
    Surface outside the picture takes the colours of its mirror image, adjusted to the light of its own side. Where the
    mirror image was not seen either, colours are interpolated from the neighbours. They are the same in every frame.
    """
    gap = unseen & np.isfinite(view.depth) & ~_covered(view, face.inside)
    if not gap.any():
        return colour
    filled = colour[onset].astype(np.float32)
    mirrored, shown = _mirrored(view, gap, face, grazing)
    known = np.isfinite(view.depth) & ~gap
    if (gap & shown).any():
        skin = _sample(crops[onset], mirrored)
        lit = (skin + _DARK) * _gain(filled, skin, seen_twice=shown & known) - _DARK
        filled = np.where((gap & shown)[..., None], lit, filled)
        known |= gap & shown
    filled = np.where(known[..., None], filled, push_pull(filled, known))
    result = colour.copy()
    result[:, gap] = np.clip(np.rint(filled[gap]), 0, 255)
    return result


def _sample(crop: Image, source: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours (S, S, 3) float32 of a crop at pixels (S, S, 2), cubic; arbitrary where the pixel is NaN.

    A view magnifies surface that the source saw obliquely, so no filter against aliasing is needed here.
    """
    import cv2

    at = np.nan_to_num(source) - np.float32(0.5)  # OpenCV counts pixel centres at whole numbers
    sampled = cv2.remap(crop, at, np.empty(0), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.float32)


def _covered(view: ViewGeometry, inside: Mask) -> Mask:
    """(S, S) bool, view pixels whose source pixel is in the mask (S, S) of the source."""
    covered = np.zeros(view.depth.shape, bool)
    hit = np.isfinite(view.depth)
    covered[hit] = _at(inside.astype(np.float32), view.source[hit]) > 0
    return covered


def _mirrored(view: ViewGeometry, gap: Mask, face: SeenFace, grazing: float) -> tuple[NDArray[np.float32], Mask]:
    """Source pixels of the mirror images of a view's surface, in and around a gap.

    Returns (S, S, 2), NaN where they are unknown, and (S, S) bool, where they are known.
    """
    import cv2

    size = len(gap)
    reach = 2 * int(np.ceil(4 * _SEAM * size)) + 1
    near = cv2.dilate(gap.astype(np.uint8), np.ones((reach, reach), np.uint8)).astype(bool)
    near &= np.isfinite(view.depth)
    row, column = np.nonzero(near)
    points = view.camera.unproject(np.column_stack([column + 0.5, row + 0.5, view.depth[near].astype(np.float64)]))
    projected = face.surface.camera.project(face.plane.mirror(points))
    cosine = np.nan_to_num(_at(face.cosine, projected[:, :2]))
    away = np.abs(projected[:, 2] - _at(face.surface.depth, projected[:, :2])) * cosine
    seen = (away < _DISTANCE) & (cosine > np.cos(np.radians(grazing)))
    seen &= _at(face.inside.astype(np.float32), projected[:, :2]) > 0
    source = np.full((size, size, 2), np.nan, np.float32)
    source[row[seen], column[seen]] = projected[seen, :2]
    shown = np.zeros((size, size), bool)
    shown[near] = seen
    return source, shown


def _gain(own: Floats, skin: Floats, seen_twice: Mask) -> NDArray[np.float32]:
    """Ratio (S, S, 3) of own to mirrored colour, both plus _DARK, interpolated where only one of them is known.

    seen_twice : (S, S) bool, where both are known
    """
    import cv2

    sigma = max(_SEAM * len(own), 1.0)
    weight = cv2.GaussianBlur(seen_twice.astype(np.float32), (0, 0), sigma)
    ratio = np.where(seen_twice[..., None], np.log((own + _DARK) / (skin + _DARK)), 0).astype(np.float32)
    smooth = cv2.GaussianBlur(ratio, (0, 0), sigma) / np.maximum(weight, 1e-3)[..., None]
    limit = np.log(_LARGEST_GAIN)
    return np.asarray(np.exp(np.clip(push_pull(smooth, seen_twice), -limit, limit)), np.float32)


def push_pull(values: Floats, known: Mask) -> NDArray[np.float32]:
    """Values (S, S, C), the unknown ones interpolated smoothly from those that are known (S, S) bool.

    Zeros if none is known.
    """
    import cv2

    values = np.where(known[..., None], values, 0).astype(np.float32)
    if known.all() or not known.any():
        return values
    half = tuple(-(-side // 2) for side in reversed(known.shape))
    weight = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(values, half, interpolation=cv2.INTER_AREA).reshape(*weight.shape, -1)
    coarse = push_pull(mean / np.maximum(weight, 1e-6)[..., None], weight > 0)
    fine = cv2.resize(coarse, known.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(values.shape)
    return np.where(known[..., None], values, fine)


def background(kind: str, crop: Image, face: SeenFace) -> Image:
    """The background of every frame of every view: (S, S, 3) uint8.

    kind : "black", "blurred" (the surroundings of the face) or a colour "#rrggbb", of which a grey clip gets the
        luminance
    crop : (S, S, 3) uint8, registered onset frame
    """
    import cv2

    if kind != "blurred":
        colour = np.array([0, 0, 0] if kind == "black" else list(bytes.fromhex(kind.removeprefix("#"))))
        grey = (crop == crop[..., :1]).all()
        return np.full_like(crop, np.rint(colour @ _LUMINANCE) if grey else colour)
    around = face.inside & ~np.isfinite(face.surface.depth)
    if not around.any():
        around = face.inside
    surroundings = push_pull(crop.astype(np.float32), around)
    return np.rint(cv2.GaussianBlur(surroundings, (0, 0), _BLUR * len(crop))).astype(np.uint8)


def composite(colour: Image, coverage: NDArray[np.float32], behind: Image) -> Image:
    """Frames of a surface composited over a background.

    colour : (T, S, S, 3) uint8
    coverage : (1, S, S) or (T, S, S) in [0, 1], share of each pixel that the surface covers
    behind : (S, S, 3) uint8
    """
    import cv2

    result = colour.copy()
    for one, frames in zip(coverage, [result] if len(coverage) == 1 else result[:, None], strict=True):
        empty, edge = (one == 0).astype(np.uint8), (one > 0) & (one < 1)
        share = one[edge][:, None]
        beneath = (1 - share) * behind[edge]
        for frame in frames:
            cv2.copyTo(behind, empty, frame)
            frame[edge] = np.rint(share * frame[edge] + beneath)
    return result
