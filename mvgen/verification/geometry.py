"""Check that depth, mask, colour and flow of one view agree with its angle and with the frontal clip.

Nothing is rendered here: pixels of the view are projected into the frontal clip with the view's own depth and
camera. So errors of a renderer show as well as errors in the files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import pixel_grid
from mvgen.core.records import DepthMap, Floats, Image, Mask
from mvgen.motion.flow.methods import ClipFlow
from mvgen.render.surface import facing, source_normals, source_points

# The demo's views at 256 pixels give 0.0, 0.997 or more, 0.965 or more, 0.84 or less; the last is 1.0 where hardly
# more than a blink moves, which no flow explains. Two exchanged views, 10 degrees apart, give 1.9 or more, 0.95 or
# less, 0.70 or less; reversed flow gives 2.5, and 1.4 or more from onset to apex.
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
    """The registered frontal clip and its geometry, which all its views have to agree with.

    crops : (T, S, S, 3) uint8; onset, apex : positions in it
    inside : (S, S) bool, pixels that the source's frames cover throughout the clip
    surface : the face's depth, NaN outside it
    grazing : degrees from the surface normal; surface seen at larger angles counts as unseen
    registered : whether the frames were registered onto the onset frame
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
    """A view as stored: colour (T, S, S, 3), valid and depth (S, S), flow in pixels, yaw in degrees."""

    yaw: float
    colour: Image
    valid: Mask
    depth: NDArray[np.float32]
    flow: ClipFlow


def disagreements(view: StoredView, clip: FrontalClip) -> list[str]:
    """Contradictions between a view and its angle or its clip, in words; empty where all agree."""
    hit = np.isfinite(view.depth)
    if not hit.any():
        return ["its depth has no surface"]
    found = []
    if (view.valid & ~hit).any():
        found.append("its mask marks pixels without surface as seen")
        view = replace(view, valid=view.valid & hit)
    if any(motion[..., ~hit, :].any() for motion in view.flow):
        found.append("its flow moves pixels without surface")
    seen = _seen_at(view, clip, hit)
    off = depth_error(seen, clip)
    if not off <= _DEPTH_PIXELS:
        found.append(f"its depth is not the clip's geometry at {view.yaw:g} degrees: {_error_text(off)}")
    share = matching_mask_share(view, seen, clip, hit)
    if share < mask_share(len(hit)):
        found.append(f"its mask is right on {share:.0%} of the surface only")
    correlation = colour_correlation(view, seen, clip, hit)
    if correlation < _COLOUR_CORRELATION:
        found.append(
            f"its frames do not show the clip at {view.yaw:g} degrees: correlation {correlation:.2f} with the front"
        )
    return found + flow_disagreements(view, clip)


def _error_text(off: float) -> str:
    return f"it is off by {off:.1f} pixels" if np.isfinite(off) else "it misses the face"


def flow_disagreements(view: StoredView, clip: FrontalClip) -> list[str]:
    """Contradictions between a view's flow and its frames: warping by it increases their difference clearly."""
    found = []
    for name, error in (("apex_flow", apex_error(view, clip)), ("flow", frames_error(view))):
        if error > _FLOW_ERROR:
            found.append(f"its {name} does not warp its frames onto one another: {error:.2f} of the error without it")
    return found


def _seen_at(view: StoredView, clip: FrontalClip, hit: Mask) -> Floats:
    """(N, 3) positions in the frontal clip of a view's N surface pixels: u, v in pixels, and depth."""
    camera = clip.surface.camera
    pixels = np.concatenate([pixel_grid(*hit.shape)[hit], view.depth[hit, None].astype(np.float64)], axis=-1)
    return camera.project(camera.at(view.yaw).unproject(pixels))


def depth_error(seen: Floats, clip: FrontalClip) -> float:
    """Median distance along the frontal optical axis from a view's surface to the clip's, pixels; inf if it misses."""
    known = _sampled(clip.surface.depth.astype(np.float64), seen)
    there = np.isfinite(known)
    if there.mean() < mask_share(len(clip.surface.depth)):
        return float("inf")
    return float(np.median(np.abs(known - seen[:, 2])[there])) * clip.surface.camera.scale


def mask_share(size: int) -> float:
    """The least share of a surface on which a mask has to agree, of a view of so many pixels a side."""
    return _MASK_SHARE - _MASK_EDGE * max(1 / size - 1 / _LARGE, 0)


def matching_mask_share(view: StoredView, seen: Floats, clip: FrontalClip, hit: Mask) -> float:
    """Share of a view's surface whose mask says what the frontal camera saw of it."""
    surface = clip.surface
    slope = facing(source_points(surface), source_normals(surface), surface.camera)
    column, row = np.floor(seen[:, :2]).astype(int).clip(0, len(hit) - 1).T
    explained = clip.inside[row, column] & (slope[row, column] > np.cos(np.radians(clip.grazing)))
    return float((explained == view.valid[hit]).mean())


def colour_correlation(view: StoredView, seen: Floats, clip: FrontalClip, hit: Mask) -> float:
    """Correlation of the onset frame's grey values with those of the frontal one, where valid; 1 if they are flat."""
    valid = view.valid[hit]
    there = _sampled(_grey(clip.crops[clip.onset]), seen[valid])
    here = _grey(view.colour[clip.onset])[view.valid]
    known = np.isfinite(there)
    if known.sum() < _FEWEST or min(np.std(there[known]), np.std(here[known])) < 1:
        return 1.0
    return float(np.corrcoef(here[known], there[known])[0, 1])


def apex_error(view: StoredView, clip: FrontalClip) -> float:
    """Squared difference of onset and warped apex frame, relative to that without warping; 0 if nothing moves."""
    if clip.onset == clip.apex:
        return 0.0
    return _warped_error([(view.colour[clip.onset], view.colour[clip.apex], view.flow.apex)], view.valid)


def frames_error(view: StoredView) -> float:
    """The same between neighbouring frames, over the whole clip."""
    pairs = zip(view.colour[:-1], view.colour[1:], view.flow.frames, strict=True)
    return _warped_error(list(pairs), view.valid)


def _warped_error(pairs: list[tuple[Image, Image, NDArray[np.float32]]], valid: Mask) -> float:
    with_flow = without = 0.0
    pixels = 0
    for first, second, motion in pairs:
        moving = valid & (np.linalg.norm(motion, axis=-1) > _MOVING)
        before, after = _grey(first), _grey(second)
        goal = pixel_grid(*valid.shape)[moving] + motion[moving]
        warped = _sampled(after, goal)
        # Pixels that move across the edge of the surface would be compared with the background.
        known = _sampled(valid.astype(np.float64), goal) > 1 - 1e-6
        with_flow += float(((warped - before[moving])[known] ** 2).sum())
        without += float(((after - before)[moving][known] ** 2).sum())
        pixels += int(known.sum())
    return with_flow / max(without, 1e-9) if pixels >= _FEWEST else 0.0


def _grey(frame: Image) -> Floats:
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), np.float64)


def _sampled(image: Floats, places: Floats) -> Floats:
    """An image (S, S) sampled bilinearly at places (N, 2+), u and v first; NaN outside and next to NaN pixels."""
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(image, (places[:, 1] - 0.5, places[:, 0] - 0.5), order=1, cval=np.nan))
