"""Performers of the motion benchmark: rendered heads of Anny and ICT, and portraits projected onto fitted faces.

Each is rendered in any pose and with any strength of an expression, with the true motion of the points it shows.
Convention: world units (inter-ocular distances) relative to the eyes of the head at rest, x right, y up, z toward the
camera, which is orthographic; `SIDE` pixels a frame, `EYES` of them between the eyes, as in a crop of 256.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import EYE_DISTANCE, Camera, crop_camera, pixel_grid
from mvgen.core.errors import ClipError, ScanError
from mvgen.core.records import Image, Mask
from mvgen.evaluation.motion.performance import pose
from mvgen.faces.crop import covered, crop_frames, track_face
from mvgen.faces.detection import FaceDetector
from mvgen.faces.face_mesh import FaceMesh
from mvgen.morphable.action_units import facial_action_weights
from mvgen.morphable.fitting import FaceFit, fit_face
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import rasterise
from mvgen.morphable.topology import LANDMARKS, topology
from mvgen.scans.corpora.anny import anny_heads
from mvgen.scans.corpora.ict import ict_heads
from mvgen.scans.corpora.photographs import extended
from mvgen.scans.head import HeadModel, Identity
from mvgen.scans.imaging.lighting import Lighting
from mvgen.scans.imaging.rendering import TURN_CENTRE, DressedHead, render_colour, render_surface
from mvgen.scans.imaging.rotation import rotation
from mvgen.scans.looks.appearance import Look
from mvgen.scans.looks.backgrounds import draw_background
from mvgen.scans.looks.paint import ramp, to_srgb

Floats = NDArray[np.floating]
Pictures = dict[tuple[float, ...], NDArray[np.float32]]

SIDE, EYES = 320, 80.0
_CENTRE = (0.5 * SIDE, 0.41 * SIDE)
_BLUR = 0.35  # of the lens, pixels
_STRONGEST = 1.6  # largest strength of an action


@dataclass(frozen=True, slots=True)
class Surface:
    """The surface at the pixel centres of the onset frame.

    depth : (H, W) float32, world units from the eyes, NaN where no head is
    face : (H, W) bool, face without the inside of the mouth
    motion : (G, H, W, 3) float32, offsets of each group at full strength: du, dv in pixels, and depth
    """

    depth: NDArray[np.float32]
    face: Mask
    motion: NDArray[np.float32]


def balance(fields: Sequence[Floats], seen: Mask, largest: float) -> tuple[list[float], float]:
    """Strengths of the groups of an expression, so that each moves as much as the others and the sum by `largest`.

    fields : (N, 2) each, pixels at strength 1; seen : (N,) bool; largest : pixels
    Returns the strengths and the largest motion reached, pixels.
    """
    if not fields:
        return [], 0.0
    alone = [float(np.linalg.norm(field[seen], axis=1).max()) for field in fields]
    shares = [1 / max(each, 1e-6) for each in alone]
    total = sum(share * field for share, field in zip(shares, fields, strict=True))
    gain = largest / float(np.linalg.norm(np.asarray(total)[seen], axis=1).max())
    strengths = [min(gain * share, _STRONGEST) for share in shares]
    reached = sum(strength * field for strength, field in zip(strengths, fields, strict=True))
    return strengths, float(np.linalg.norm(np.asarray(reached)[seen], axis=1).max())


class RenderedHead:
    """A head of a parametric family, lit, in front of a wall."""

    def __init__(  # noqa: PLR0917
        self, heads: HeadModel, person: Identity, look: Look, generator: np.random.Generator,
        groups: Sequence[tuple[str, ...]], largest: float, resting: Pictures | None = None,
    ) -> None:  # fmt: skip
        """generator : of pose, light and wall; groups : of `performance.EXPRESSIONS`; largest : motion, pixels.

        resting : pictures of this person without expression by row of the head motion; missing ones are added
        """
        self._heads, self._person, self._dressed = heads, person, DressedHead(heads, look)
        self.eyes = np.array(_CENTRE) + generator.uniform(-2, 2, 2)
        self._camera = Camera(SIDE, EYES, (float(self.eyes[0]), float(self.eyes[1])))
        self._pixels = pixel_grid(SIDE, SIDE)
        self._rest = rotation(*generator.normal(0, (2.5, 2.5, 1.5)))
        self._lighting = Lighting.draw(generator)
        self._exposure = float(generator.uniform(0.85, 1.1))
        self._wall = draw_background(generator, SIDE, SIDE, plain=True)
        weights = [facial_action_weights(units, heads.action_names) for units in groups]
        fields = [heads.express(person, each) - person.vertices for each in weights]
        seen = heads.regions["face"] > 0.5
        for name in ("mouth_cavity", "eye_cavity", "tongue", "eye_left", "eye_right"):
            seen &= heads.regions[name] < 0.5
        flat = [EYES * (each @ self._rest.T)[:, :2] for each in fields]
        strengths, self.reached = balance(flat, seen, largest)
        self._weights = [share * each for share, each in zip(strengths, weights, strict=True)]
        self._kept: Pictures = {}
        self._resting = {} if resting is None else resting

    def _expressed(self, strengths: Floats) -> NDArray[np.float32]:
        weights = np.zeros(len(self._heads.action_names))
        for share, own in zip(strengths, self._weights, strict=True):
            weights += share * own
        return self._heads.express(self._person, weights)

    def _pose(self, row: Floats) -> tuple[Floats, Floats]:
        """Turn and shift for `DressedHead.pose` that move the head at rest by `row`."""
        turn, shift = pose(row, EYES)
        eyes = (self._heads.five_positions(self._person.vertices)[:2]).mean(axis=0)
        # At rest the eyes are at the origin, from which the row moves them.
        return turn @ self._rest, shift - TURN_CENTRE - turn @ self._rest @ (eyes - TURN_CENTRE)

    def surface(self) -> Surface:
        still = np.array([0, 0, 0, 0, 0, 1.0])
        head = self._dressed.pose(self._expressed(np.zeros(len(self._weights))), *self._pose(still))
        seen = render_surface(head, self._camera, self._pixels)
        hit = seen.hits.hit
        motion = np.full((len(self._weights), SIDE, SIDE, 3), np.nan, np.float32)
        for group, own in enumerate(self._weights):
            field = (self._heads.express(self._person, own) - self._person.vertices) @ self._rest.T
            moved = seen.hits.where_hit().interpolate(self._heads.triangles, field.astype(np.float32))
            motion[group][hit] = moved * [EYES, -EYES, 1.0]
        return Surface(seen.depth, seen.face & ~seen.mouth, motion)

    def frame(self, strengths: Floats, head: Floats) -> NDArray[np.float32]:
        pictures = self._kept if np.any(strengths) else self._resting
        key = (*(np.round(strengths, 9) if np.any(strengths) else ()), *np.round(head, 9))
        if key not in pictures:
            posed = self._dressed.pose(self._expressed(strengths), *self._pose(head))
            colour, cover = render_colour(posed, self._lighting, self._camera, self._pixels)
            light = np.asarray(colour + (1 - cover[..., None]) * self._wall, np.float32)
            light = np.asarray(cv2.GaussianBlur(light, (0, 0), _BLUR), np.float32) * self._exposure
            pictures[key] = np.clip(to_srgb(np.clip(light, 0, 1)), 0, 1).astype(np.float32)
        return pictures[key]


_STEP, _MARGIN = 3, 15  # of the grid of a portrait, and its margin beyond the frame: pixels
_FINER = 2  # pixels of the texture of a portrait per pixel of the frames
# Distances from the face up to which head motion is full, and beyond which it is zero, inter-ocular distances.
_WITH_HEAD, _STAYS = 0.25, 1.0
_ACT_FADES = 0.35
_SMOOTHING = 1.5  # sigma for the motion of the coarse face model, pixels
_SMALLEST = 60.0  # pixels between the eyes of a portrait
_TURNED, _WORST_FIT = 20.0, 0.06
_COVER_MARGIN = 0.04


@dataclass(frozen=True, slots=True)
class FittedPortrait:
    """A portrait and the face fitted to it, in the camera of the frames.

    texture : (K, K, 3) uint8, `_FINER` times as fine as frames, with `_MARGIN` of their pixels on each side
    fit : the face, in the world of the crop in which it was found
    """

    texture: Image
    fit: FaceFit


def fit_portrait(path: Path, detector: FaceDetector, landmarker: FaceMesh) -> FittedPortrait:
    """Fit the face of a portrait. Raises ScanError where it cannot be fitted, or is too small or turned too far."""
    from scipy.ndimage import distance_transform_edt

    from mvgen.pipeline.reconstruct import read_photograph

    crop = crop_camera(round(EYES / EYE_DISTANCE))
    try:
        image = read_photograph(path)
        face = track_face(image[None], crop.size, detector)
    except ClipError as error:
        raise ScanError(f"{path.name}: {error.reason}") from None
    apart = EYES / float(np.hypot(face.crop[0, 0], face.crop[1, 0]))
    fit = fit_face(landmarker.find(crop_frames(image[None], face)).points, crop, face_model())
    turned = float(np.degrees(np.arccos(np.clip(fit.rotation[0, 2, 2], -1, 1))))
    if apart < _SMALLEST or turned > _TURNED or fit.residual[0] > _WORST_FIT:
        raise ScanError(f"{path.name}: eyes {apart:.0f} pixels apart, turned {turned:.0f}, fit {fit.residual[0]:.2f}")
    # A pixel of the crop -> of the texture.
    matrix = _FINER * face.crop
    matrix[:, 2] += _FINER * (np.array(_CENTRE) + _MARGIN - np.array(crop.centre))
    side = _FINER * (SIDE + 2 * _MARGIN)
    inside = covered(matrix, side, *image.shape[:2])
    texture = crop_frames(image[None], replace(face, crop=matrix, size=side, inside=inside))[0]
    away, nearest = distance_transform_edt(~inside, return_indices=True)
    texture = texture[tuple(nearest)]
    # Beyond the picture its edge is extended and blurred.
    soft = cv2.GaussianBlur(texture, (0, 0), 0.1 * _FINER * EYES).astype(np.float32)
    amount = ramp(away / (_FINER * EYES), 0, 0.2)[..., None]
    return FittedPortrait(np.asarray(np.rint(texture + amount * (soft - texture)), np.uint8), fit)


class PortraitHead:
    """A portrait on its fitted face, animated by the actions of the face model; its background stays still.

    A frame is the portrait warped by a mesh. The motion of head and expression fades out with the distance from the
    face.
    """

    def __init__(self, portrait: FittedPortrait, groups: Sequence[tuple[str, ...]], largest: float) -> None:
        """groups : of `performance.EXPRESSIONS`; largest : motion, pixels."""
        from scipy.ndimage import distance_transform_edt

        self._texture, fit, model = portrait.texture, portrait.fit, face_model()
        self.eyes = np.array(_CENTRE)
        wide = SIDE + 2 * _MARGIN
        self._camera = Camera(SIDE, EYES, _CENTRE)
        camera = Camera(wide, EYES, (_CENTRE[0] + _MARGIN, _CENTRE[1] + _MARGIN))
        vertices, mesh = fit.vertices[0], topology()
        landmark = np.arange(mesh.count) < LANDMARKS
        landmark[-len(mesh.edges) :] = (mesh.edges < LANDMARKS).all(axis=1)
        drawn = rasterise(camera, vertices, np.column_stack([vertices[:, 2], landmark]))
        within = drawn[..., 1] > 0.999
        self._face: Mask = np.asarray(distance_transform_edt(within) > _COVER_MARGIN * EYES)
        away = distance_transform_edt(~np.isfinite(drawn[..., 0])) / EYES
        depth = extended(drawn[..., 0], EYES)
        rows, columns = np.mgrid[0:wide:_STEP, 0:wide:_STEP]
        self._triangles = _grid_triangles(*rows.shape)
        rows, columns = rows.ravel(), columns.ravel()
        pixels = pixel_grid(wide, wide)[rows, columns]
        self._points = camera.unproject(np.column_stack([pixels, depth[rows, columns]]))
        self._places = pixels * _FINER  # in the texture
        self._follows = ramp(away[rows, columns], _STAYS, _WITH_HEAD)[:, None]
        weights = [facial_action_weights(units, model.action_names) for units in groups]
        fields = [fit.scale * np.tensordot(each, model.actions, 1) @ fit.rotation[0].T for each in weights]
        images = [_filled(rasterise(camera, vertices, field), away) for field in fields]
        flat = [EYES * image[..., :2].reshape(-1, 2) for image in images]
        strengths, self.reached = balance(flat, self._face.ravel(), largest)
        self._fields = [s * image[rows, columns] for s, image in zip(strengths, images, strict=True)]

    def surface(self) -> Surface:
        drawn = rasterise(self._camera, self._points, np.column_stack([self._points[:, 2], *self._fields]),
                          self._triangles)  # fmt: skip
        inner = slice(_MARGIN, _MARGIN + SIDE)
        motion = [drawn[..., 1 + 3 * g : 4 + 3 * g] * [EYES, -EYES, 1.0] for g in range(len(self._fields))]
        stacked = np.stack(motion) if motion else np.zeros((0, SIDE, SIDE, 3))
        return Surface(drawn[..., 0].astype(np.float32), self._face[inner, inner], stacked.astype(np.float32))

    def frame(self, strengths: Floats, head: Floats) -> NDArray[np.float32]:
        expressed = self._points + sum(share * own for share, own in zip(strengths, self._fields, strict=True))
        turn, shift = pose(head, EYES)
        moved = expressed + self._follows * (expressed @ turn.T + shift - expressed)
        places = rasterise(self._camera, moved, self._places, self._triangles).astype(np.float32)
        fine = cv2.resize(places, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_LINEAR) - np.float32(0.5)
        picture = cv2.remap(self._texture, fine, None, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        small = cv2.resize(picture.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return np.asarray(np.clip(small / 255, 0, 1), np.float32)


def _grid_triangles(height: int, width: int) -> NDArray[np.int32]:
    """(M, 3), two triangles for every square of a grid of vertices, counter-clockwise seen from the front."""
    number = np.arange(height * width).reshape(height, width)
    left, right, below, across = (
        part.ravel() for part in (number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:])
    )
    both = [np.stack([left, below, across], axis=1), np.stack([left, across, right], axis=1)]
    return np.concatenate(both).astype(np.int32)


def _filled(field: Floats, away: Floats) -> Floats:
    """A field (S, S, 3) of the face model extended beyond it, fading out, and slightly smoothed. away : (S, S)"""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    _, nearest = distance_transform_edt(~np.isfinite(field[..., 0]), return_indices=True)
    whole = field[tuple(nearest)] * ramp(away, _ACT_FADES, 0.0)[..., None]
    return np.asarray(gaussian_filter(whole, (_SMOOTHING, _SMOOTHING, 0)))


class Performers:
    """The people of a family, seeded; those of the two splits differ.

    family : "anny", "ict" or "portraits"; split : "dev" or "test"
    ict : a clone of ICT-FaceKit; portraits : a folder of photographs
    """

    _SEEDS = {"dev": 881_001, "test": 881_002}  # noqa: RUF012

    def __init__(self, family: str, split: str, ict: Path | None = None, portraits: Path | None = None) -> None:
        self.family, self._seed = family, self._SEEDS[split]
        self._portraits: dict[int, FittedPortrait] = {}
        self._resting: tuple[int, Pictures] = (-1, {})
        self._left: list[Path] = []
        if family == "portraits":
            assert portraits is not None
            paths = sorted(path for path in portraits.rglob("*.jpg"))
            order = np.random.default_rng(self._SEEDS["dev"]).permutation(len(paths))
            half = order[: len(paths) // 2] if split == "dev" else order[len(paths) // 2 :]
            self._left = [paths[number] for number in half]
            self._tools = FaceDetector(), FaceMesh("cpu")
        else:
            assert family == "anny" or ict is not None
            self._heads = anny_heads() if family == "anny" else ict_heads(ict or Path())

    def head(self, person: int, groups: Sequence[tuple[str, ...]], largest: float) -> RenderedHead | PortraitHead:
        """Person `person` of the split, with an expression. largest : its largest motion, pixels."""
        if self.family == "portraits":
            while person not in self._portraits:
                self._fit_next()
            return PortraitHead(self._portraits[person], groups, largest)
        generator = np.random.default_rng([self._seed, len(self.family), person])
        spread = {"anny": 0.25, "ict": 1.0}[self.family]
        who = self._heads.sample_identities(generator, 1, spread=spread)[0]
        look = Look.draw(generator, plain=True)
        if self._resting[0] != person:
            self._resting = person, {}
        return RenderedHead(self._heads.model, who, look, generator, groups, largest, self._resting[1])

    def _fit_next(self) -> None:
        while True:
            if not self._left:
                raise ScanError("there are not that many portraits whose faces are large and frontal enough")
            try:
                self._portraits[len(self._portraits)] = fit_portrait(self._left.pop(0), *self._tools)
            except ScanError:
                continue
            return
