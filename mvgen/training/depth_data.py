"""Training data of the depth network: rendered heads, in the crop that a build would cut.

Source: section III-A of the main paper projects 3D faces to frontal pictures and crops them with MTCNN, so that scans
and datasets share region and size. Here the crop comes from the same `crop_from_points` as in a build, on the known
positions of the detector's five points, with the spread that MTCNN showed around them on these pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import EYE_DISTANCE, Camera, crop_camera, pixel_grid
from mvgen.core.errors import ScanError
from mvgen.faces.crop import crop_from_points, transform_points
from mvgen.faces.face_mesh import FaceMesh
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import fit_image
from mvgen.scans import CORPORA
from mvgen.scans.imaging.lighting import Lighting
from mvgen.scans.imaging.rendering import PosedHead, render_colour, render_surface, rigid
from mvgen.scans.imaging.rotation import rotation
from mvgen.scans.imaging.sensor import Sensor
from mvgen.scans.looks.backgrounds import draw_background
from mvgen.scans.records import Corpus, Sitter, Subject

Floats = NDArray[np.floating]

# MTCNN against the known points, measured on 40 rendered heads: scale 3.2 %, roll 1 degree, shift 0.026 inter-ocular
# distances.
_SCALE_SPREAD, _ROLL_SPREAD, _SHIFT_SPREAD = 0.035, 1.2, 0.03
# Share of the pairs in which only the noise changes.
_STILL_SHARE = 0.2
# Share of the settings with uniform light, for a person whose albedo already contains light.
_EVEN_SHARE = 0.75
# Identity numbers of a corpus start at a multiple of this.
PEOPLE_PER_CORPUS = 1_000_000


@dataclass(frozen=True, slots=True)
class Photograph:
    """One training picture and its ground truth.

    colour : (S, S, 3) uint8 RGB
    depth : (S, S) float16, world units of the crop (z along the optical axis, zero at the eyes), NaN where no head
        is, and inside the mouth, which reconstruction spans
    face : (S, S) bool
    landmarks : (68, 2) float32, pixels of the crop, NaN where the corpus does not have them
    visible : (68,) bool, nothing hides the landmark
    metre : inter-ocular distance of the person in metres
    fit : (S, S, 4) float16, the face model fitted to the landmarks found in this picture, with their errors, see
        `mvgen.morphable.rasterise.fit_image`
    """

    colour: NDArray[np.uint8]
    depth: NDArray[np.float16]
    face: NDArray[np.bool_]
    fit: NDArray[np.float16]
    landmarks: NDArray[np.float32]
    visible: NDArray[np.bool_]
    metre: float


@dataclass(frozen=True, slots=True)
class Samples:
    """A batch of photographs: the arrays of `Photograph`, each with a first axis of B pictures.

    Pictures 2 i and 2 i + 1 show one person in one setting, see `photograph_twice`.

    identity : (B,) int64, one number for each person
    """

    colour: NDArray[np.uint8]
    depth: NDArray[np.float16]
    face: NDArray[np.bool_]
    fit: NDArray[np.float16]
    landmarks: NDArray[np.float32]
    visible: NDArray[np.bool_]
    metre: NDArray[np.float32]
    identity: NDArray[np.int64]


def draw_camera(generator: np.random.Generator) -> Camera:
    """A camera in front of a head: half of them orthographic, the others at 8 to 25 inter-ocular distances."""
    camera = Camera(size=256, scale=70.0, centre=(128.0, 110.0))
    if generator.random() < 0.5:
        return camera
    distance = 1 / generator.uniform(1 / 25, 1 / 8)
    return Camera(size=256, scale=70.0, centre=(128.0, 110.0), focal=70.0 * distance, principal=(128.0, 128.0))


class Fitter:
    """Fits the face model to single pictures, as a build does to clips."""

    def __init__(self) -> None:
        self._landmarker, self._model = FaceMesh("cpu"), face_model()

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float16]:
        """The fit to a picture (S, S, 3) uint8: (S, S, 4), see `mvgen.morphable.rasterise.fit_image`."""
        camera = crop_camera(len(picture))
        fit = fit_face(self._landmarker.find(picture[None]).points, camera, self._model)
        return fit_image(camera, fit.vertices[0]).astype(np.float16)


@lru_cache(maxsize=1)
def fitter() -> Fitter:
    """The shared fitter of this process."""
    return Fitter()


@dataclass(frozen=True)
class Setting:
    """Everything that a photograph depends on except the sitter.

    turn : (3, 3), rotation of the head; crop : (2, 3), pixels of `camera` -> pixels of the picture
    background : (S, S, 3) float32, linear light
    """

    turn: Floats
    camera: Camera
    crop: Floats
    lighting: Lighting
    background: NDArray[np.float32]
    sensor: Sensor

    @classmethod
    def draw(cls, sitter: Sitter, generator: np.random.Generator, size: int) -> Setting:
        """A setting for pictures of `size` pixels of a sitter, whose face gives the crop."""
        turn = rotation(*np.clip(generator.normal(0, (8, 8, 4)), -20, 20))
        camera = draw_camera(generator)
        five = rigid(sitter.dressed.heads.five_positions(sitter.vertices).astype(np.float64), turn, np.zeros(3))
        crop = jitter_crop(crop_from_points(camera.project(five)[:, :2], size), generator, size)
        if sitter.lit and generator.random() < _EVEN_SHARE:
            lighting = Lighting.even()
        else:
            lighting = Lighting.draw(generator, harsh=bool(generator.random() < 0.5))
        return cls(turn, camera, crop, lighting, draw_background(generator, size, size), Sensor.draw(generator))


def photograph(sitter: Sitter, setting: Setting, generator: np.random.Generator, fitter: Fitter) -> Photograph:
    """One picture of a sitter in a setting; `generator` gives the sensor's noise."""
    heads, camera, crop, size = sitter.dressed.heads, setting.camera, setting.crop, len(setting.background)
    head: PosedHead = sitter.dressed.pose(sitter.vertices, setting.turn, np.zeros(3))
    bare = rigid(sitter.vertices, setting.turn, np.zeros(3))
    back = np.linalg.inv(np.vstack([crop, [0, 0, 1]]))[:2]
    pixels = pixel_grid(size, size) @ back[:, :2].T + back[:, 2]
    colour, cover = render_colour(head, setting.lighting, camera, pixels)
    image = setting.sensor.develop(colour + (1 - cover[..., None]) * setting.background, generator)

    surface = render_surface(head, camera, pixels)
    zoom = float(np.hypot(crop[0, 0], crop[1, 0]))
    eyes = camera.to_view(heads.five_positions(bare).astype(np.float64)[:2]).mean(axis=0)[2]
    unit = camera.scale * zoom / (EYE_DISTANCE * size)
    depth = np.where(surface.mouth, np.nan, (surface.depth - eyes) * unit)
    landmarks, visible = _see_landmarks(head, bare, camera)
    return Photograph(
        image, depth.astype(np.float16), surface.face, fitter(image),
        transform_points(crop, landmarks).astype(np.float32), visible, sitter.metre,
    )  # fmt: skip


def photograph_twice(subject: Subject, generator: np.random.Generator, size: int, fitter: Fitter) -> list[Photograph]:
    """A person twice in one setting, as two frames of a clip: with another expression, or with the same."""
    first = subject.sit(generator)
    setting = Setting.draw(first, generator, size)
    second = first if generator.random() < _STILL_SHARE else subject.sit(generator)
    return [photograph(sitter, setting, generator, fitter) for sitter in (first, second)]


def _see_landmarks(head: PosedHead, bare: Floats, camera: Camera) -> tuple[Floats, NDArray[np.bool_]]:
    """Where the landmarks of a bare posed head (N, 3) are in the picture (68, 2), and whether they are seen (68,)."""
    vertices = head.dressed.heads.landmarks
    points = bare[vertices].astype(np.float64)
    seen = camera.project(points)
    front = render_surface(head, camera, seen[None, :, :2]).depth[0]
    for worn in head.glasses:
        if worn.garment.opacity.mean() > 0.5:
            front = np.fmax(front, worn.depth(camera, seen[None, :, :2])[0])
    # Hair is in front of what it hides by more than this; a landmark on the outline may just miss the head.
    hidden = front - camera.to_view(points)[:, 2] > 0.04
    known = vertices >= 0
    return np.where(known[:, None], seen[:, :2], np.nan), known & ~hidden


def jitter_crop(crop: Floats, generator: np.random.Generator, size: int) -> Floats:
    """The crop (2, 3) that a detector would have given instead: a little larger, turned and shifted."""
    scale = np.exp(generator.normal(0, _SCALE_SPREAD))
    roll = np.radians(generator.normal(0, _ROLL_SPREAD))
    shift = generator.normal(0, _SHIFT_SPREAD * EYE_DISTANCE * size, 2)
    turn = scale * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    centre = np.array([0.5, 0.5]) * size
    return np.column_stack([turn @ crop[:, :2], turn @ (crop[:, 2] - centre) + centre + shift])


def make_samples(corpus: Corpus, seed: int, *, first: int, people: int, per_person: int, size: int) -> Samples:
    """Photograph people `first` to `first + people` of a corpus, each an even number of times.

    People without a usable scan are left out; `corpus.problems` names the scans.
    The same arguments give the same bytes.
    """
    offset = CORPORA.built_in.index(corpus.name)
    generator = np.random.default_rng([seed, offset, first])
    pictures: list[Photograph] = []
    identity: list[int] = []
    for number, subject in enumerate(corpus.draw(generator, first, people), start=offset * PEOPLE_PER_CORPUS + first):
        try:
            pairs = [photograph_twice(subject, generator, size, fitter()) for _ in range(per_person // 2)]
        except ScanError:
            continue
        pictures += [picture for pair in pairs for picture in pair]
        identity += [number] * (2 * len(pairs))

    def stacked(name: str, kind: type, *shape: int) -> NDArray:
        return np.array([getattr(picture, name) for picture in pictures], dtype=kind).reshape(len(pictures), *shape)

    return Samples(
        colour=stacked("colour", np.uint8, size, size, 3), depth=stacked("depth", np.float16, size, size),
        face=stacked("face", np.bool_, size, size), fit=stacked("fit", np.float16, size, size, 4),
        landmarks=stacked("landmarks", np.float32, 68, 2),
        visible=stacked("visible", np.bool_, 68), metre=stacked("metre", np.float32),
        identity=np.array(identity, dtype=np.int64),
    )  # fmt: skip
