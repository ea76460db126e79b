"""The records that stages exchange, with their shapes, units and axes.

Images are (H, W, 3) uint8 RGB; axes, world frame, yaw and depth are defined in `mvgen.core.camera`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Floats = NDArray[np.floating]

Redistribution = Literal["forbidden", "gated", "open"]
Label = Literal["negative", "positive", "surprise"]
Split = Literal["train", "test"]
# How long an expression lasts: up to half a second, or longer.
Kind = Literal["micro", "macro"]
# Form of a release's frames: as they were filmed, or cropped to the face by its authors.
Variant = Literal["auto", "raw", "cropped"]

LABELS: tuple[str, ...] = get_args(Label)
"""The order of the classes in a dataset's `label`."""


class Frames(Protocol):
    """The frames of a clip, (T, H, W, 3) uint8: an array of them, or what reads them when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, at: list[int], /) -> Image: ...

    def __iter__(self) -> Iterator[Image]: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """Where one frame of a clip is read from, and its name in the store.

    path : an image file, or a video
    number : the frame's number as the release counts
    name : file name in the store; the release's own where the source is an image
    index : position inside the video, from 0; None for an image file
    depth : file of the depth that a sensor saw with it, see `mvgen.sources.depth`; None where the release has none
    mesh : file of the head's 3D mesh in that moment, see `mvgen.sources.meshes`; None where the release has none
    """

    path: Path
    number: int
    name: str
    index: int | None = None
    depth: Path | None = None
    mesh: Path | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """One annotated expression of one subject, as a release describes it.

    dataset : the adapter's name, for example "casme2"
    subject : subject id exactly as the release writes it; `subject_key` is the same without prefixes and padding
    name : clip name as the release writes it; unique within its subject
    emotion : emotion as released; `label` is the 3-class label, None where the release's emotion has none
    action_units : one text each, as released: "L4", "12", "10or11"; empty if none are given
    objective_class : by action units, as released; None if not given
    kind : micro or macro, None if not known
    filmed_as : id that all clips of one expression share, where several cameras filmed it; None elsewhere
    onset, apex, offset : frame numbers as the release counts (inclusive), repaired where `notes` says so, or None
    fps : frames per second
    directory : the clip's folder relative to the source's root; the store keeps it
    frames : in temporal order
    licence, redistribution : terms of the source
    notes : what the adapter repaired, in words
    """

    dataset: str
    subject: str
    subject_key: str
    name: str
    emotion: str
    label: Label | None
    onset: int | None
    apex: int | None
    offset: int | None
    fps: float
    directory: PurePosixPath
    frames: tuple[Frame, ...]
    licence: str
    redistribution: Redistribution
    notes: tuple[str, ...] = ()
    action_units: tuple[str, ...] = ()
    objective_class: str | None = None
    kind: Kind | None = None
    filmed_as: str | None = None

    @property
    def id(self) -> str:
        """Unique within a dataset, safe as a file name: the release's folder with `/` as `__`."""
        return "__".join(self.directory.parts)

    @property
    def expression(self) -> str:
        """Id of the expression; clips that share it must be on one side of every split."""
        return self.filmed_as or self.id

    def position(self, number: int | None, default: int) -> int:
        """Index into `frames` of a frame number, or of the nearest frame that exists; `default` for None."""
        if number is None:
            return default
        return min(range(len(self.frames)), key=lambda index: abs(self.frames[index].number - number))


@dataclass(frozen=True, slots=True)
class FaceTrack:
    """One stable face crop for a whole clip.

    crop : (2, 3) float64, source pixel -> crop pixel, a similarity, the same for every frame
    size : side of the crop, pixels
    points : (5, 2) float64, MTCNN's left eye, right eye (image left first), nose, mouth corners, crop pixels
    confidence : the detector's probability of the face
    faces : how many faces were found in the frames examined; the largest was taken
    inside : (S, S) bool, crop pixels that the source image covers
    landmarks : (68, 2) float64, crop pixels, see `mvgen.core.landmarks68`; None before they are found
    visible : (68,) float64 in [0, 1], probability that nothing occludes the landmark; None with them
    """

    crop: Floats
    size: int
    points: Floats
    confidence: float
    faces: int
    inside: Mask
    landmarks: Floats | None = None
    visible: Floats | None = None


class FacePrediction(NamedTuple):
    """Output of the depth network for T face crops.

    depth : (T, S, S) float32, world units, NaN outside the fitted face
    face : (T, S, S) float32 in [0, 1], probability that a pixel shows face that nothing occludes
    """

    depth: NDArray[np.float32]
    face: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FacePoints:
    """The points of MediaPipe's face mesh in T face crops, see `mvgen.faces.face_mesh_topology`.

    points : (T, 468, 3) float32, crop pixels; z is in crop pixels, positive toward the camera, its zero is arbitrary
    confidence : (T,) float32 in [0, 1], probability that the crop shows a face
    """

    points: NDArray[np.float32]
    confidence: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FaceFit:
    """The face model fitted to a clip.

    vertices : (T, N, 3) float64, world of the crop, posed; the midpoint of the pupils has depth 0
    identity : (K,) weights; actions : (T, A) weights in [0, 1]
    rotation : (T, 3, 3), model -> world; shift : (T, 3), world; scale : world units per unit of the model
    residual : (T,) median distance between the landmarks and those of the fit, world units
    """

    vertices: Floats
    identity: Floats
    actions: Floats
    rotation: Floats
    shift: Floats
    scale: float
    residual: Floats


@dataclass(frozen=True, slots=True)
class Registration:
    """How each of T frames of a clip was aligned with the onset frame.

    pose : (T, 6) float64, the head's motion since the onset frame, see `mvgen.motion.head_motion`: shift (x, y) in crop
        pixels, rotation vector (x, y, z) in radians, logarithm of the scale; NaN where a homography was found instead
    homography : (T, 3, 3) float64, crop pixel of the onset frame -> pixel of frame t, for points at depth 0
    parallax : (T, 2) float64, pixels of frame t per world unit of depth
    length : (T,) float64, mean displacement that was removed from the face, pixels
    reasons : T strings, why a frame cannot be registered; empty where it can
    """

    pose: Floats
    homography: Floats
    parallax: Floats
    length: Floats
    reasons: tuple[str, ...]

    @property
    def applied(self) -> Mask:
        """(T,) bool, frames that were moved at all."""
        return np.asarray(self.length > 0)

    @property
    def degrees(self) -> float:
        """Largest rotation of the head since the onset frame; NaN where only a homography is known."""
        return float(np.degrees(np.linalg.norm(self.pose[:, 2:5], axis=1).max()))

    def part(self, span: slice) -> Registration:
        """The registration of some of the frames."""
        return Registration(*(getattr(self, field.name)[span] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Signals:
    """Head pose and facial actions in each of T frames, relative to the onset frame.

    yaw, pitch, roll : (T,) float64 degrees; positive yaw turns the head to its left, pitch up, roll to its left
        shoulder, see `mvgen.scans.imaging.rotation`
    dx, dy : (T,) float64 crop pixels, right and down, of the midpoint of the eyes; scale : (T,) float64, 1 at the
        onset. NaN where the clip was registered without a head's motion
    actions : (T, A) float32, intensity of facial actions: displacement of the skin that each moves most, crop pixels
    deviation : (T, A) float32, crop pixels, one standard deviation of `actions`; NaN where no face is seen
    names : A action units of FACS such as AU12L, the left being the subject's; see `mvgen.motion.signals`
    """

    yaw: Floats
    pitch: Floats
    roll: Floats
    dx: Floats
    dy: Floats
    scale: Floats
    actions: NDArray[np.float32]
    deviation: NDArray[np.float32]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DepthMap:
    """Depth of a face crop.

    depth : (S, S) float32, world units (inter-ocular distances), z along the optical axis, NaN outside the face
    confidence : (S, S) float32 in [0, 1], the network's probability that a pixel shows face that nothing occludes
    camera : the source camera of the crop
    """

    depth: NDArray[np.float32]
    confidence: NDArray[np.float32]
    camera: Camera


Form = TypeVar("Form")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class ClipGeometry(Generic[Form]):
    """The geometry of a clip in some form, such as depth or meshes: one for all frames, or one per frame.

    each : one for all frames, or one for each of T; onset : position of the onset frame, from 0
    """

    each: tuple[Form, ...]
    onset: int = 0

    @property
    def moves(self) -> bool:
        """Whether every frame has its own geometry."""
        return len(self.each) > 1

    @property
    def at_onset(self) -> Form:
        """The geometry of the onset frame, which a store holds."""
        return self.at(self.onset)

    def at(self, frame: int) -> Form:
        """The geometry of a frame."""
        return self.each[frame if self.moves else 0]

    def map(self, change: Callable[[Form], Other]) -> ClipGeometry[Other]:
        """The same in another form."""
        return ClipGeometry(tuple(change(one) for one in self.each), self.onset)


@dataclass(frozen=True, slots=True)
class Mesh:
    """A triangle mesh of the face in world units.

    vertices : (N, 3) float32, world
    triangles : (M, 3) int32, counter-clockwise seen from the front
    uv : (N, 2) float32, source crop pixels of the vertices
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    uv: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ViewGeometry:
    """What one camera sees of a mesh, without colour: enough to project every frame of a clip into the view.

    camera : the view's camera
    depth : (S, S) float32, world units in the view's frame, NaN where the pixel's centre shows no surface
    source : (S, S, 2) float32, crop pixel (u, v) that shows the same point in the source, NaN where there is none; a
        pixel whose centre the surface does not cover has its nearest neighbour's
    valid : (S, S) bool, shows surface that the source sees at less than the grazing angle
    coverage : (S, S) float32 in [0, 1], share of the pixel that the surface covers
    blend : (S, S) float32 in [-0.5, 0.5], share of the pixel that another surface covers, which the pixel to its right
        shows, or to its left if negative; not 0 where a near surface ends in front of a far one
    """

    camera: Camera
    depth: NDArray[np.float32]
    source: NDArray[np.float32]
    valid: Mask
    coverage: NDArray[np.float32]
    blend: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ViewClip:
    """One view of a clip.

    yaw : degrees; None for the registered frontal clip, the view `source`
    colour : (T, S, S, 3) uint8 RGB
    flow : (T-1, S, S, 2) float32, pixels, (dx, dy) from frame t to t+1
    apex_flow : (S, S, 2) float32, pixels, from the onset frame to the apex frame
    valid : (S, S) bool; depth : (S, S) float32 world units, NaN where unknown
    visible_attention : share of the attention that this view can see, in [0, 1]
    """

    yaw: float | None
    camera: Camera
    colour: Image
    flow: NDArray[np.float32]
    apex_flow: NDArray[np.float32]
    valid: Mask
    depth: NDArray[np.float32]
    visible_attention: float

    @property
    def valid_fraction(self) -> float:
        """Share of the pixels with a surface that the source sees."""
        covered = np.isfinite(self.depth)
        return float(self.valid[covered].mean()) if covered.any() else 0.0


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The data of a clip beside its views: enough to render any other angle.

    registration, signals : of the T frames
    depth : of the face; of the onset frame where every frame has its own
    fit : the face model that the depth is based on, one frame
    attention : (S, S) float32, Grad-CAM on the registered crop, sums to 1 over the face; all zeros if there is none
    lift : (T, s, s) float16, world units, how much nearer the skin is in each frame, see `mvgen.views.view.Scene`
    """

    face: FaceTrack
    registration: Registration
    signals: Signals
    depth: DepthMap
    fit: FaceFit
    attention: NDArray[np.float32]
    lift: NDArray[np.float16] | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a clip shows one face.

    face_seen : share of the source's frames that show the face of the onset frame
    residual : median photometric residual of the registered frames, grey levels of 255
    largest_jump : how far the face as a whole moves from one registered frame to the next, at most, crop pixels
    blur : sigma in crop pixels of the Gaussian that a sharp picture would be seen through
    exposure : share of the face's pixels that are black or white
    occlusion : share of the fitted face that something hides, by the depth network
    """

    face_seen: float
    residual: float
    largest_jump: float
    blur: float
    exposure: float
    occlusion: float


@dataclass(frozen=True, slots=True)
class BuiltClip:
    """All results of the pipeline for one clip, ready to be stored.

    clip : as its source lists it, with an estimated apex where it had none, and without frames that cannot be used
    frontal : the registered frontal clip; sides : a view per angle, rendered on demand
    """

    clip: Clip
    reconstruction: Reconstruction
    quality: Quality
    frontal: ViewClip
    sides: Iterable[ViewClip]

    def views(self) -> Iterator[ViewClip]:
        """The frontal clip, then the others one by one, so that only one need be in memory."""
        yield self.frontal
        yield from self.sides
