"""Whether depth, mask, colour and flow of one view agree with its angle and with the frontal clip.

Nothing is rendered here: pixels of the view are carried to the frontal clip through the view's own depth and camera, so
that a mistake of a renderer shows as well as a mistake in the files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import pixel_grid
from mvgen.core.records import DepthMap, Floats, Image, Mask
from mvgen.motion.flow import ClipFlow
from mvgen.render.surface import facing, source_normals, source_points

# The demonstration's views at 256 pixels give 0.0, 0.997 or more, 0.965 or more, 0.84 or less; and 1.0 where hardly
# more than a blink moves, which no flow explains. Views 10 degrees apart, exchanged, give 1.9 or more, 0.95 or less,
# 0.70 or less; flow turned round gives 2.5, and 1.4 or more from onset to apex.
_DEPTH_PIXELS = 0.5  # median distance between the view's surface and the clip's
_MASK_SHARE = 0.95  # of the surface whose mask is as the frontal camera explains it, at 256 pixels or more
# Masks disagree along their edges, where a pixel shows a little of both sides. The share of such pixels goes with
# 1 / size: of a photograph's views up to 45 degrees, 1.0 % at 256 pixels, 1.9 % at 128, 3.9 % at 64; of the
# demonstration's up to 3.5 % at 256 and 6 % at 64.
_MASK_EDGE = 2.5  # pixels, in shares of the size
_LARGE = 256  # pixels
_COLOUR_CORRELATION = 0.9  # between a view's colour and that of the frontal clip
_FLOW_ERROR = 1.1  # difference between frames carried by the flow, as a share of that between frames left alone
_MOVING = 0.5  # pixels; less motion explains no difference that noise would not
_FEWEST = 50  # pixels that say anything


@dataclass(frozen=True, slots=True)
class FrontalClip:
    """The registered frontal clip and its geometry, which every view of it has to agree with.

    crops : (T, S, S, 3) uint8; onset, apex : positions in it
    inside : (S, S) bool, pixels that the source's picture covers in every frame
    surface : the face's depth, NaN outside it
    grazing : degrees; surface seen at more than this counts as unseen
    registered : whether the frames were brought onto the onset frame
    """

    crops: Image
    onset: int
    apex: int
    inside: Mask
    surface: DepthMap
    grazing: float
    registered: bool = True


@dataclass(frozen=True, slots=True)
class StoredView:
    """What a store holds of a view: colour (T, S, S, 3), valid and depth (S, S), flow in pixels; yaw in degrees."""

    yaw: float
    colour: Image
    valid: Mask
    depth: NDArray[np.float32]
    flow: ClipFlow


def disagreements(view: StoredView, clip: FrontalClip) -> list[str]:
    """What of a view contradicts its angle or its clip, in words; empty where all agree."""
    hit = np.isfinite(view.depth)
    if not hit.any():
        return ["its depth shows no surface"]
    found = []
    if (view.valid & ~hit).any():
        found.append("its mask marks pixels as seen that show no surface")
        view = replace(view, valid=view.valid & hit)
    if any(motion[..., ~hit, :].any() for motion in view.flow):
        found.append("its flow moves pixels that show no surface")
    seen = _seen_at(view, clip, hit)
    off = depth_error(seen, clip)
    if not off <= _DEPTH_PIXELS:
        found.append(f"its depth is not the clip's geometry seen at {view.yaw:g} degrees: {_beside(off)}")
    share = mask_agreement(view, seen, clip, hit)
    if share < mask_share(len(hit)):
        found.append(f"its mask is right on {share:.0%} of the surface only")
    likeness = colour_correlation(view, seen, clip, hit)
    if likeness < _COLOUR_CORRELATION:
        found.append(
            f"its frames do not show the clip at {view.yaw:g} degrees: correlation {likeness:.2f} with the frontal ones"
        )
    return found + flow_disagreements(view, clip)


def _beside(off: float) -> str:
    return f"{off:.1f} pixels beside it" if np.isfinite(off) else "it misses the face"


def flow_disagreements(view: StoredView, clip: FrontalClip) -> list[str]:
    """Where a view's flow explains the change between its frames clearly worse than no motion would."""
    found = []
    for name, error in (("apex_flow", apex_error(view, clip)), ("flow", frames_error(view))):
        if error > _FLOW_ERROR:
            found.append(f"its {name} does not carry its frames onto one another: {error:.2f} of the error without it")
    return found


def _seen_at(view: StoredView, clip: FrontalClip, hit: Mask) -> Floats:
    """(N, 3), where the surface of a view's N hit pixels is in the frontal clip: u, v in pixels, and depth there."""
    camera = clip.surface.camera
    pixels = np.concatenate([pixel_grid(*hit.shape)[hit], view.depth[hit, None].astype(np.float64)], axis=-1)
    return camera.project(camera.at(view.yaw).unproject(pixels))


def depth_error(seen: Floats, clip: FrontalClip) -> float:
    """Median distance along the frontal axis between a view's surface and the clip's, pixels; infinite if they miss."""
    known = _sampled(clip.surface.depth.astype(np.float64), seen)
    there = np.isfinite(known)
    if there.mean() < mask_share(len(clip.surface.depth)):
        return float("inf")
    return float(np.median(np.abs(known - seen[:, 2])[there])) * clip.surface.camera.scale


def mask_share(size: int) -> float:
    """The least share of a surface on which a mask has to agree, of a view of so many pixels a side."""
    return _MASK_SHARE - _MASK_EDGE * max(1 / size - 1 / _LARGE, 0)


def mask_agreement(view: StoredView, seen: Floats, clip: FrontalClip, hit: Mask) -> float:
    """Share of a view's surface whose mask says what the frontal camera saw of it."""
    surface = clip.surface
    slope = facing(source_points(surface), source_normals(surface), surface.camera)
    column, row = np.floor(seen[:, :2]).astype(int).clip(0, len(hit) - 1).T
    explained = clip.inside[row, column] & (slope[row, column] > np.cos(np.radians(clip.grazing)))
    return float((explained == view.valid[hit]).mean())


def colour_correlation(view: StoredView, seen: Floats, clip: FrontalClip, hit: Mask) -> float:
    """Correlation of the onset frame's brightness with the frontal one's, where the view was seen; 1 if flat."""
    valid = view.valid[hit]
    there = _sampled(_grey(clip.crops[clip.onset]), seen[valid])
    here = _grey(view.colour[clip.onset])[view.valid]
    known = np.isfinite(there)
    if known.sum() < _FEWEST or min(np.std(there[known]), np.std(here[known])) < 1:
        return 1.0
    return float(np.corrcoef(here[known], there[known])[0, 1])


def apex_error(view: StoredView, clip: FrontalClip) -> float:
    """Squared difference of apex and onset frame with the flow, as a share of that without; 0 if nothing moves."""
    if clip.onset == clip.apex:
        return 0.0
    return _carried_error([(view.colour[clip.onset], view.colour[clip.apex], view.flow.apex)], view.valid)


def frames_error(view: StoredView) -> float:
    """The same from frame to frame, over the whole clip."""
    pairs = zip(view.colour[:-1], view.colour[1:], view.flow.frames, strict=True)
    return _carried_error(list(pairs), view.valid)


def _carried_error(pairs: list[tuple[Image, Image, NDArray[np.float32]]], valid: Mask) -> float:
    with_flow = without = 0.0
    pixels = 0
    for first, second, motion in pairs:
        moving = valid & (np.linalg.norm(motion, axis=-1) > _MOVING)
        before, after = _grey(first), _grey(second)
        goal = pixel_grid(*valid.shape)[moving] + motion[moving]
        carried = _sampled(after, goal)
        # What moves over the surface's edge would be compared with what lies behind it.
        known = _sampled(valid.astype(np.float64), goal) > 1 - 1e-6
        with_flow += float(((carried - before[moving])[known] ** 2).sum())
        without += float(((after - before)[moving][known] ** 2).sum())
        pixels += int(known.sum())
    return with_flow / max(without, 1e-9) if pixels >= _FEWEST else 0.0


def _grey(frame: Image) -> Floats:
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), np.float64)


def _sampled(image: Floats, places: Floats) -> Floats:
    """An image (S, S) at places (N, 2+), u and v first, bilinear; NaN outside it and beside a NaN of its own."""
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(image, (places[:, 1] - 0.5, places[:, 0] - 0.5), order=1, cval=np.nan))
