"""The depth that a source's sensor saw of a clip, on the clip's crop, and the geometry from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import CameraConfig
from mvgen.core.errors import ClipError
from mvgen.core.records import DepthMap, FaceFit, FaceTrack, Floats, Frame, Registration
from mvgen.depth.sensor import corrected_fit, line_of_focal, median_distance
from mvgen.morphable.rasterise import fit_image
from mvgen.motion.registration import pixel_map
from mvgen.sources.depth import FOCAL, read_depth

_FRAMES = 9  # whose median is taken: enough for the noise of a sensor
_LEAST_SEEN = 0.2  # share of the face that a sensor must have seen
_UNIT = (45.0, 80.0)  # inter-ocular distances of people, children too, with room for error; mm


def sensed_distance(
    frames: Sequence[Frame], onset: int, face: FaceTrack, registration: Registration, depth: Floats
) -> tuple[NDArray[np.float32], int]:
    """Distance of a face from the source's depth sensor, (S, S) mm, NaN where unknown, and the width of the frames.

    frames : of a registered clip; the median is over a few around the onset frame
    face : its crop; depth : (S, S) world units, of the onset frame, NaN outside the face
    Raises ClipError("depth") for frames without depth, ClipError("source") for depth that cannot be read.
    """
    first = min(max(onset - _FRAMES // 2, 0), max(len(frames) - _FRAMES, 0))
    near = [at for at in range(first, min(first + _FRAMES, len(frames))) if frames[at].depth or at == onset]
    if frames[onset].depth is None:
        raise ClipError("depth", f"onset frame {frames[onset].number} has no depth from the source's sensor")
    maps, width = [], 0
    for at in near:
        distance = read_depth(frames[at])
        width = distance.shape[1]
        pixels = pixel_map(registration.homography[at], registration.parallax[at], np.nan_to_num(depth))
        maps.append(np.where(np.isfinite(depth), _sample(distance, pixels, face.crop), np.float32(np.nan)))
    return median_distance(np.stack(maps), near.index(onset)), width


def _sample(distance: NDArray[np.float32], pixels: NDArray[np.float32], crop: Floats) -> NDArray[np.float32]:
    """A map (H, W) of the source at pixels (S, S, 2) of a crop, from the nearest pixel: holes and steps stay sharp."""
    at = np.floor((pixels + 0.5 - crop[:, 2]) @ np.linalg.inv(crop[:, :2]).T).astype(int)
    height, width = distance.shape
    inside = np.asarray(((at >= 0) & (at < [width, height])).all(axis=-1))
    columns, rows = np.where(inside[..., None], at, 0).transpose(2, 0, 1)
    return np.where(inside, distance[rows, columns], np.float32(np.nan))


def sensed_surface(  # noqa: PLR0917
    frames: Sequence[Frame],
    onset: int,
    face: FaceTrack,
    registration: Registration,
    surface: DepthMap,
    fit: FaceFit,
    config: CameraConfig,
) -> DepthMap:
    """The surface of a clip as the source's sensor saw it, (S, S) world units; in holes it has the form of the fit.

    surface : of the clip, whose region and confidence are kept; fit : of the clip
    The scale comes from the focal length: that of the config, or of the sensor that the release was filmed with.
    Raises ClipError("depth") where too little of the face was seen, or the scale is not that of a face.
    """
    distance, width = sensed_distance(frames, onset, face, registration, surface.depth)
    shape = fit_image(surface.camera, fit.vertices[0])[..., 0].astype(np.float64)
    region = np.isfinite(surface.depth)
    seen = np.isfinite(distance) & np.isfinite(shape) & face.inside
    share = float(seen[region].mean()) if region.any() else 0.0
    if share < _LEAST_SEEN:
        raise ClipError("depth", f"the source's sensor saw {share:.0%} of the face; build it with --geometry clip")
    pixels = surface.camera.scale / float(np.hypot(face.crop[0, 0], face.crop[1, 0]))
    line = line_of_focal(np.where(seen, distance, np.nan), shape, pixels, config.focal or FOCAL * width)
    if not _UNIT[0] <= line.unit <= _UNIT[1]:
        raise ClipError(
            "depth",
            f"by the source's depth the eyes are {line.unit:.0f} mm apart: give the focal length in source pixels with "
            "--focal, or its depth is not in millimetres",
        )
    depth = corrected_fit(shape, line.depth(distance), seen)
    return replace(surface, depth=np.where(region, depth, np.float32(np.nan)))
