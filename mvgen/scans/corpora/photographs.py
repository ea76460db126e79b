"""Photographs as heads: each one is projected onto its fitted face and rendered again, so that its depth is known.

This gives real skin, hair, beards and glasses. The surface is the face model inside the face, and recedes smoothly
beyond it. The depth is exact for the rendered picture, not for the person who was photographed.
Source: Zhu et al., "Face alignment across large poses: a 3D solution", CVPR 2016, section 4 (300W-LP).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, crop_camera, pixel_grid
from mvgen.core.errors import ClipError, ScanError
from mvgen.core.records import FaceTrack, Image, Mask
from mvgen.faces.crop import covered, crop_frames, track_face
from mvgen.faces.detection import FaceDetector
from mvgen.faces.face_mesh import FaceMesh
from mvgen.morphable.fitting import FaceFit, fit_face
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import rasterise
from mvgen.morphable.topology import EYE_LEFT, EYE_RIGHT, LANDMARKS, topology
from mvgen.render.rays import edge_nodes
from mvgen.scans.corpora.trees import checked_root, nothing_found, walk
from mvgen.scans.head import HeadModel
from mvgen.scans.imaging.rendering import DressedHead
from mvgen.scans.looks.paint import ramp, to_linear
from mvgen.scans.records import ScanProblem, Sitter, Subject
from mvgen.sources.frames import IMAGE_SUFFIXES

Floats = NDArray[np.floating]

LICENCE = "photographs of your own choice; public domain for the shipped weights"
_NOTE = "you need the rights to photographs that you train on, and for passing on the weights if you do"
_EXPECTED = f"""Photographs are expected as:
  ROOT/anything.jpg    (any folders; {", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)})
One face each, within about 25 degrees of frontal and 30 pixels or more between the eyes."""
_METRE = 0.063  # mean of adults

_CROP = 256  # pixels
# Side of the square of a photograph that becomes a surface, in world units and in pixels. Odd: every second pixel is a
# vertex and those between are edge middles, so that each keeps its colour. Finer than pictures of 128 pixels.
_ACROSS, _SIDE = 4.6, 209
_EYES_AT = (0.5, 0.42)
# Beyond the fit the surface stays level up to this distance, recedes with this slope, and flattens at this depth.
_LEVEL, _SLOPE, _BACK = 0.15, 0.7, -1.6
_OUTLINE, _ALONG, _SOFT = 0.1, 0.08, 0.08  # widths of the smoothing across the outline, along it, and at the bends
_COVER_MARGIN = 0.04  # by which the face cover is smaller than the face, world units

# A photograph is refused where the eyes are nearer (pixels), the head is turned more (degrees), or the fit is worse
# (world units) than this.
_SMALLEST, _TURNED, _WORST_FIT = 24.0, 27.0, 0.06


class PhotoCorpus:
    """A folder of photographs as a corpus, a person each; see `mvgen.scans.records.Corpus`.

    problems : photographs that cannot be used: found on opening, or since then in this process
    Raises ScanError when the root is missing or holds no photograph that opens.
    """

    name = "photos"
    licence = LICENCE
    shippable = True
    notes: tuple[str, ...] = (_NOTE,)

    def __init__(self, root: Path) -> None:
        checked_root(root, self.name, _EXPECTED)
        paths = [folder / name for folder, _, names in walk(root, 4) for name in names]
        pictures = sorted(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES)
        self.problems = [ScanProblem(path, "it is not an image") for path in pictures if not _opens(path)]
        torn = {problem.where for problem in self.problems}
        self._pictures = [path for path in pictures if path not in torn]
        if not self._pictures:
            what = f"none of its {len(torn)} image files opens" if torn else "there is no image file"
            raise nothing_found(root, self.name, what, _EXPECTED)
        self.count: int | None = len(self._pictures)

    def draw(self, generator: np.random.Generator, first: int, count: int) -> list[Subject]:
        """People `first` to `first + count`, in the order of their files' names; faces are detected in `sit`.

        Raises ValueError beyond the last.
        """
        if not 0 <= first <= first + count <= len(self._pictures):
            raise ValueError(f"people {first} to {first + count} of {self.count} in {self.name}")
        return [PhotographedSubject(path, self.problems) for path in self._pictures[first : first + count]]


class PhotographedSubject:
    """The person of one photograph. problems : a list to which this adds what is wrong with it."""

    def __init__(self, path: Path, problems: list[ScanProblem]) -> None:
        self._path, self._problems = path, problems
        self._sitter: Sitter | None = None
        self._broken = ""

    def sit(self, generator: np.random.Generator) -> Sitter:
        """The person as photographed, the same each time. Raises ScanError when the photograph cannot be used."""
        if self._broken:
            raise ScanError(self._broken)
        if self._sitter is None:
            try:
                self._sitter = sitter_from_photograph(self._path)
            except ScanError as error:
                self._broken = str(error)
                self._problems.append(ScanProblem(self._path, self._broken))
                raise
        return self._sitter


def sitter_from_photograph(path: Path) -> Sitter:
    """The person of a photograph in the same pose, ready to be photographed again.

    Raises ScanError when the file cannot be read, or its face is missing, too small, turned too far or hidden.
    """
    from mvgen.pipeline.reconstruct import read_photograph

    detector, landmarker = _tools()
    try:
        image = read_photograph(path)
        face = track_face(image[None], _CROP, detector)
    except ClipError as error:
        raise ScanError(f"{path.name}: {error.reason}") from None
    camera = crop_camera(_CROP)
    apart = camera.scale / np.hypot(face.crop[0, 0], face.crop[1, 0])
    if apart < _SMALLEST:
        raise ScanError(
            f"{path.name}: its eyes are {apart:.0f} pixels apart, not {_SMALLEST:.0f} or more; leave it out"
        )
    points = landmarker.find(crop_frames(image[None], face)).points
    fit = fit_face(points, camera, face_model())
    turned = float(np.degrees(np.arccos(np.clip(fit.rotation[0, 2, 2], -1, 1))))
    if turned > _TURNED:
        raise ScanError(
            f"{path.name}: the head is turned by {turned:.0f} degrees, more than {_TURNED:.0f}; leave it out"
        )
    if fit.residual[0] > _WORST_FIT:
        raise ScanError(f"{path.name}: the landmarks found do not lie on a face; is much of it hidden?")
    wide = Camera(_SIDE, _SIDE / _ACROSS, (_EYES_AT[0] * _SIDE, _EYES_AT[1] * _SIDE))
    return _make_sitter(_resampled(image, face, camera, wide), *_surface(fit, wide), wide, _five_points(fit, face))


@dataclass(frozen=True, slots=True)
class _Grid:
    """A mesh over the pixels of a square: vertices at every second, edge middles at the others.

    triangles, edges, six_nodes : as in `HeadModel`
    places : (N + E, 2) row and column of each vertex and edge middle
    """

    triangles: NDArray[np.int32]
    edges: NDArray[np.int32]
    six_nodes: NDArray[np.int32]
    places: NDArray[np.int64]


@lru_cache(maxsize=1)
def _grid() -> _Grid:
    side = _SIDE // 2 + 1
    number = np.arange(side * side).reshape(side, side)
    left, right, below, across = (
        part.ravel() for part in (number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:])
    )
    triangles = np.concatenate([np.stack([left, below, across], axis=1), np.stack([left, across, right], axis=1)])
    edges, six_nodes = edge_nodes(triangles, side * side)
    vertices = 2 * np.stack(np.divmod(number.ravel(), side), axis=1)
    places = np.concatenate([vertices, vertices[edges].sum(axis=1) // 2])
    return _Grid(triangles.astype(np.int32), edges, six_nodes, places)


@lru_cache(maxsize=1)
def _tools() -> tuple[FaceDetector, FaceMesh]:
    """The detector and the landmarker of this process."""
    return FaceDetector(), FaceMesh("cpu")


def _resampled(image: Image, face: FaceTrack, crop: Camera, wide: Camera) -> Image:
    """The photograph (H, W, 3) resampled for camera `wide`: (S, S, 3) uint8, its edge extended and blurred."""
    import cv2
    from scipy.ndimage import distance_transform_edt

    zoom = wide.scale / crop.scale
    matrix = zoom * face.crop
    matrix[:, 2] += np.array(wide.centre) - zoom * np.array(crop.centre)
    inside = covered(matrix, wide.size, *image.shape[:2])
    picture = crop_frames(image[None], replace(face, crop=matrix, size=wide.size, inside=inside))[0]
    away, nearest = distance_transform_edt(~inside, return_indices=True)
    picture = picture[tuple(nearest)]
    soft = cv2.GaussianBlur(picture, (0, 0), 0.12 * wide.scale, borderType=cv2.BORDER_REPLICATE)
    amount = ramp(away / wide.scale, 0, 0.2)[..., None]
    return np.asarray((picture + amount * (soft - picture.astype(np.float32))).round(), np.uint8)


def _surface(fit: FaceFit, wide: Camera) -> tuple[Floats, Mask]:
    """Depth (S, S) at all pixels of `wide`, world units, and which of them are face (S, S)."""
    from scipy.ndimage import distance_transform_edt

    mesh = topology()
    depth = rasterise(wide, fit.vertices[0], fit.vertices[0][:, 2:])[..., 0]
    landmark = np.arange(mesh.count) < LANDMARKS
    landmark[-len(mesh.edges) :] = (mesh.edges < LANDMARKS).all(axis=1)
    seen = rasterise(wide, fit.vertices[0], landmark[:, None].astype(np.float64))[..., 0] > 0.999
    face = distance_transform_edt(seen) > _COVER_MARGIN * wide.scale
    return extended(depth, wide.scale), np.asarray(face)


def extended(depth: Floats, scale: float) -> Floats:
    """A surface extrapolated beyond its outline: level, then receding, then flat, and smoother further out.

    depth : (S, S) world units, NaN beyond the outline; scale : pixels in a world unit
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    known = np.isfinite(depth)
    distance, nearest = distance_transform_edt(~known, return_indices=True)
    out, within = distance / scale, distance_transform_edt(known) / scale
    # At grazing incidence depth jumps from pixel to pixel of the outline: it is smoothed along it.
    outline = known & (within < 1.5 / scale)
    weight = gaussian_filter(outline.astype(np.float64), _ALONG * scale)
    total = gaussian_filter(np.where(outline, depth, 0), _ALONG * scale)
    smooth = (total / np.maximum(weight, 1e-9))[tuple(nearest)]
    fall = smooth - _SLOPE * _SOFT * np.logaddexp(0, (out - _LEVEL) / _SOFT)
    start = _BACK + _SOFT * np.logaddexp(0, (fall - _BACK) / _SOFT)
    surface = np.where(known, depth + ramp(within, _OUTLINE, 0) * (smooth - depth), start)
    for sigma in (0.3, 0.12, 0.06, 0.03):
        soft = gaussian_filter(surface, sigma * scale, mode="nearest")
        surface = surface + ramp(out - within, -_OUTLINE, sigma) * (soft - surface)
    return np.asarray(surface)


def _five_points(fit: FaceFit, face: FaceTrack) -> Floats:
    """The five points (5, 2), world: eyes of the fit, since depth is measured from them; the others as detected."""
    camera = crop_camera(face.size)
    eyes = [fit.vertices[0, list(loop), :2].mean(axis=0) for loop in (EYE_LEFT, EYE_RIGHT)]
    return np.stack([*eyes, *(face.points[2:] - camera.centre) / camera.scale * [1, -1]])


def _make_sitter(picture: Image, depth: Floats, face: Mask, wide: Camera, five: Floats) -> Sitter:
    """A sitter of a picture (S, S, 3), its depth (S, S) and its five points (5, 2), world units, on a grid."""
    from scipy.spatial import cKDTree

    grid = _grid()
    row, column = grid.places.T
    pixels = pixel_grid(wide.size, wide.size)
    points = wide.unproject(np.concatenate([pixels, depth[..., None]], axis=-1))
    count = len(grid.places) - len(grid.edges)
    vertices = points[row[:count], column[:count]].astype(np.float32)
    nearest = cKDTree(vertices[:, :2]).query(five, k=4)[1]
    names = ("eye_right", "eye_left", "nose", "mouth_right", "mouth_left")
    model = HeadModel(
        triangles=grid.triangles, edges=grid.edges, six_nodes=grid.six_nodes, canonical=vertices, regions={},
        action_names=(), actions=np.zeros((0, count, 3), np.float32),
        five_points=dict(zip(names, nearest, strict=True)), landmarks=np.full(68, -1, np.int32),
    )  # fmt: skip
    albedo = to_linear(picture[row, column] / 255)
    paint = np.column_stack([albedo, np.zeros(len(row)), face[row, column], np.zeros(len(row))])
    return Sitter(DressedHead.painted(model, paint.astype(np.float32)), vertices, _METRE, lit=True)


def _opens(path: Path) -> bool:
    """Whether a file begins as an image does."""
    from PIL import Image as Picture

    try:
        with Picture.open(path):
            return True
    except (OSError, SyntaxError, ValueError, Picture.DecompressionBombError):
        return False
