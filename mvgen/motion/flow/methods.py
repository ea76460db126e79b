"""Optical flow between the frames of a view; `mvgen.motion.surface_motion` projects it into other views.

Convention: flow (S, S, 2) float32 in pixels, (dx, dy): the point at pixel p of frame a is at p + flow(p) in frame b.
Source: Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016; Farnebäck, Two-Frame Motion
Estimation Based on Polynomial Expansion, SCIA 2003; Zach et al., A Duality Based Approach for Realtime TV-L1 Optical
Flow, DAGM 2007.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import pixel_grid
from mvgen.core.errors import ConfigError
from mvgen.core.records import Image, Mask
from mvgen.core.registry import Registry
from mvgen.motion.flow.joint import flows_from_onset, motion_from_onset
from mvgen.motion.flow.onset_motion import OnsetMotion
from mvgen.motion.flow.opencv import one_thread

Floats = NDArray[np.floating]
Flow = NDArray[np.float32]
FindFlow = Callable[[Image, Image], Flow]

# Lengths are shares of the image's side.
_SMOOTHING = 1 / 256  # finer structure in a crop of a face is mostly noise
_FARNEBACK_WINDOW = 35 / 256  # smaller ones follow noise

# DIS reads whole grey levels, and skin has few of them: structure finer than _TEXTURE is amplified before rounding. Its
# variational step solves at the finest scale that patches are matched at: full scale from onset to apex, which is one
# pair, and no finer than _SCALE pixels between frames, which are many. On 14 synthetic performances of ICT faces (2.5
# pixels at the apex, sensor noise of sigma 1.5, heads held still) the error from onset to apex falls from 0.39 of the
# true motion, with DIS's preset and plain smoothing, to 0.30 at _SCALE and to 0.27 at full scale; at 128 pixels from
# 0.58 to 0.35.
_GRAIN, _TEXTURE, _AMPLIFIED = 0.7 / 256, 4 / 256, 6.0
_SCALE = 128
_REFINEMENTS = 5  # iterations of the variational step; more of them cost time and change little
_SMOOTHNESS = 20.0  # its weight at 128 pixels, DIS's preset
_FLOW_SMOOTHING = 2 / 256  # sigma that the flow is smoothed by

# Motion that explains less than this share of the residual around it is noise. A still clip with sensor noise of sigma
# 1.5 then has false motion of 0.006 pixels from frame to frame.
_RESIDUAL_SHARE = 0.2
_NEIGHBOURHOOD = 24 / 256  # sigma of the window in which motion has to explain a difference; smaller ones accept less


def _grey(frame: Image, smoothing: float = 0.0) -> NDArray[np.float32]:
    """(S, S) float32 in [0, 255]; `smoothing` is a share of the image's side."""
    import cv2

    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sigma = smoothing * len(grey)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma) if sigma > 0.3 else grey, np.float32)


def _textured(frame: Image) -> Image:
    """(S, S) uint8, the fine texture of a frame, amplified, without shading that changes slowly over the face."""
    import cv2

    grey = _grey(frame, _GRAIN)
    texture = grey - cv2.GaussianBlur(grey, (0, 0), max(_TEXTURE * len(grey), 1.0))
    return np.asarray(np.rint(np.clip(128 + _AMPLIFIED * texture, 0, 255)), np.uint8)


def _dis(first: Image, second: Image, scale: int) -> Flow:
    """DIS with patches matched in pictures whose side is about `scale`, but not smaller."""
    import cv2

    size = len(first)
    finest = max(0, int(np.log2(size / scale) + 0.5))
    side = size / 2**finest
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(finest)
    patch = max(8, round(12 * side / 256))
    method.setPatchSize(patch)
    method.setPatchStride(patch // 2)
    method.setVariationalRefinementAlpha(_SMOOTHNESS * max(1.0, side / 128))
    method.setVariationalRefinementIterations(_REFINEMENTS)
    with one_thread():
        motion = method.calc(_textured(first), _textured(second), None)  # type: ignore[call-overload]
    return np.asarray(cv2.GaussianBlur(motion, (0, 0), max(_FLOW_SMOOTHING * size, 0.5)), np.float32)


def _farneback(first: Image, second: Image) -> Flow:
    import cv2

    window = 2 * round(_FARNEBACK_WINDOW * len(first) / 2) + 1
    one, other = (np.rint(_grey(frame)).astype(np.uint8) for frame in (first, second))
    with one_thread():
        motion = cv2.calcOpticalFlowFarneback(
            one, other, None, 0.5, 4, window, 5, 7, 1.5, cv2.OPTFLOW_FARNEBACK_GAUSSIAN  # type: ignore[call-overload]
        )  # fmt: skip
    return np.asarray(motion, np.float32)


def _tvl1(first: Image, second: Image) -> Flow:
    from skimage.registration import optical_flow_tvl1

    one, other = (_grey(frame, _SMOOTHING) / 255 for frame in (first, second))
    down, right = optical_flow_tvl1(one, other)
    return np.stack([right, down], axis=-1).astype(np.float32)


class FlowMethods(NamedTuple):
    """Functions that estimate flow: between consecutive frames, and from onset to apex.

    joint : whether `clip_flow` uses all frames of a clip at once instead, see `mvgen.motion.flow.joint`
    """

    frames: FindFlow
    apex: FindFlow
    joint: bool = False


def _joint(first: Image, second: Image) -> Flow:
    return flows_from_onset(np.stack([first, second]), 0, np.ones(first.shape[:2], bool))[1]


_JOINT = FlowMethods(_joint, _joint, joint=True)
_DIS = FlowMethods(partial(_dis, scale=_SCALE), lambda first, second: _dis(first, second, len(first)))


def _raft(weights: Path | None, device: str) -> FlowMethods:
    from mvgen.motion.flow.raft import Raft

    raft = Raft(weights, device)
    return FlowMethods(raft, raft)


# Each is called with a file of weights, which may be None, and a device.
FLOW_METHODS = Registry[Callable[[Path | None, str], FlowMethods]](
    "flow method",
    ConfigError,
    [
        ("joint", lambda _weights, _device: _JOINT),
        ("dis", lambda _weights, _device: _DIS),
        ("farneback", lambda _weights, _device: FlowMethods(_farneback, _farneback)),
        ("tvl1", lambda _weights, _device: FlowMethods(_tvl1, _tvl1)),
        ("raft", _raft),
    ],
    group="mvgen.flow_methods",
)


@cache
def get_flow_methods(name: str = "joint", weights: Path | None = None, device: str = "auto") -> FlowMethods:
    """The functions of a flow method, from two (S, S, 3) uint8 frames to (S, S, 2) float32 pixels; one per process.

    weights : of "raft", see `mvgen.motion.flow.raft`
    Raises ConfigError for an unknown name, MissingPartError for "raft" without weights.
    """
    methods: FlowMethods = FLOW_METHODS.make(name, weights, device)
    return methods


def flow_between(first: Image, second: Image, method: str = "joint", surface: Mask | None = None) -> Flow:
    """Motion from one (S, S, 3) uint8 frame, such as the onset, to another: (S, S, 2) float32, pixels.

    surface : (S, S) bool, where a surface is visible; motion is zero elsewhere; None is everywhere
    """
    seen = np.ones(first.shape[:2], bool) if surface is None else surface
    methods = get_flow_methods(method)
    if methods.joint:
        return flows_from_onset(np.stack([first, second]), 0, seen)[1]
    return _between(first, second, seen, methods.apex)


def _between(first: Image, second: Image, surface: Mask, find: FindFlow) -> Flow:
    """Motion on a surface, weighted by how far it explains the difference of two frames; zero elsewhere."""
    motion = find(first, second)
    return np.where(surface[..., None], motion * _trust(first, second, motion, surface), 0).astype(np.float32)


def _trust(first: Image, second: Image, motion: Flow, surface: Mask) -> Floats:
    """(S, S, 1) in [0, 1], trust in motion: the weight of a Wiener filter, 1 for a noiseless difference.

    Signal: the part of the squared difference between the frames that the motion explains, averaged locally. Noise: a
    share of the residual, its median over the surface.
    """
    import cv2

    one, other = (_grey(frame, _SMOOTHING) for frame in (first, second))
    at = _places(*one.shape) + motion
    moved = cv2.remap(other, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    before, after = (_local_mean((image - one) ** 2) for image in (other, moved))
    noise = _RESIDUAL_SHARE * float(np.median(after[surface])) if surface.any() else 0.0
    explained = np.maximum(before - after, 0) ** 2
    return np.asarray((explained / (explained + noise**2 + 1e-9))[..., None])


def _local_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Local means (S, S), computed at a quarter of the resolution: as good for so wide a window, and much faster."""
    import cv2

    height, width = values.shape
    coarse = cv2.resize(values, (-(-width // 4), -(-height // 4)), interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), max(_NEIGHBOURHOOD * height / 4, 0.5))
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


@lru_cache(4)
def _places(height: int, width: int) -> NDArray[np.float32]:
    """(H, W, 2) float32, pixel centres as OpenCV counts them."""
    places = (pixel_grid(height, width) - 0.5).astype(np.float32)
    places.flags.writeable = False
    return places


class ClipFlow(NamedTuple):
    """Motion in one view of a clip, pixels.

    frames : (T-1, S, S, 2) float32, frame t to t+1; apex : (S, S, 2) float32, onset to apex
    """

    frames: Flow
    apex: Flow

    @classmethod
    def none(cls, size: int) -> ClipFlow:
        """No motion, of no frames."""
        return cls(np.zeros((0, size, size, 2), np.float32), np.zeros((size, size, 2), np.float32))

    def on(self, surface: Mask) -> ClipFlow:
        """The same, zero outside the surface (S, S)."""
        return ClipFlow(*(np.where(surface[..., None], motion, np.float32(0)) for motion in self))


def flow(colour: Image, surface: Mask, find: FindFlow = _DIS.frames) -> Flow:
    """Motion from every frame of a view to the next.

    colour : (T, S, S, 3) uint8; surface : (S, S) bool, where the view shows a surface; find : see `get_flow_methods`
    Returns (T-1, S, S, 2) float32, pixels, frame t to t+1; zero outside the surface.
    """
    motion = np.zeros((len(colour) - 1, *colour.shape[1:3], 2), np.float32)
    for index in range(len(motion)):
        motion[index] = _between(colour[index], colour[index + 1], surface, find)
    return motion


def clip_flow(  # noqa: PLR0917
    colour: Image,
    onset: int,
    apex: int,
    surface: Mask,
    methods: FlowMethods = _JOINT,
    known: OnsetMotion | None = None,
) -> ClipFlow:
    """Motion estimated in the registered pictures of a view, see `flow`; onset, apex : positions in the clip, from 0.

    The joint method uses all frames of the clip together, the others two at a time.
    known : result of the joint method, if it is known already
    """
    if methods.joint:
        motion = known or motion_from_onset(colour, onset, surface)
        return ClipFlow(motion.steps(), motion.flow(apex))
    far = np.zeros((*surface.shape, 2), np.float32)
    if onset != apex:
        far = _between(colour[onset], colour[apex], surface, methods.apex)
    return ClipFlow(flow(colour, surface, methods.frames), far)
