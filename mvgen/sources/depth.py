"""Depth that a sensor saw beside the colour frames of a release.

What is assumed, where a release does not say: a 16-bit PNG per frame with the distance from the sensor along the
optical axis, in millimetres, 0 where the sensor saw nothing; it is registered to its colour frame, pixel by pixel.
The authors' own code for CAS(ME)³ cuts the face out of both with one box, and takes the values as millimetres:
https://github.com/jingtingEmmaLi/CAS-ME-3, `depthFlowComputation/RGBD_tensor_construction.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ClipError
from mvgen.core.records import Clip, Frame
from mvgen.sources.frames import LARGEST_PICTURE, list_frames

FOCAL = 0.722
"""Focal length over the width of the colour frame: that of a RealSense D415, which sees 69.4 degrees across."""
_UNSEEN = (0, 65535)  # values of pixels without a distance
_SAME_ASPECT = 0.01  # share by which the sides of the two pictures may differ in proportion


def with_depth(clip: Clip, folders: Sequence[Path]) -> Clip:
    """The clip, its frames with the depth of the same number in the first of the folders that exists."""
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        return clip
    files = {frame.number: frame.path for frame in list_frames(folder)[0] if frame.path.suffix.lower() == ".png"}
    return replace(clip, frames=tuple(replace(frame, depth=files.get(frame.number)) for frame in clip.frames))


def read_depth(frame: Frame) -> NDArray[np.float32]:
    """Distance from the sensor, (H, W) float32 millimetres in the pixels of the colour frame, NaN where it is unknown.

    A depth of another size is resampled to that of the colour frame, each pixel from the nearest one, if its sides have
    the same proportion: both are then taken to show the same field of view.
    Raises ClipError("source") naming the file for one that is missing, damaged, too large, not a 16-bit PNG, or of
    another proportion.
    """
    if frame.depth is None:
        raise ClipError("source", f"frame {frame.number} has no depth", frame.path)
    depth = _read(frame.depth)
    height, width = _size(frame.path)
    rows, columns = depth.shape
    if abs(rows * width / (columns * height) - 1) > _SAME_ASPECT:
        what = f"the depth is {columns}x{rows}, of another proportion than its colour frame, {width}x{height}"
        raise ClipError("source", f"{what}; register it to the colour frames first", frame.depth)
    if (rows, columns) != (height, width):
        depth = depth[_nearest(height, rows)[:, None], _nearest(width, columns)]
    return np.where(np.isin(depth, _UNSEEN), np.float32(np.nan), depth.astype(np.float32))


def _nearest(count: int, among: int) -> NDArray[np.int64]:
    """Index of the pixel, of `among`, at the centre of each of `count` pixels on the same side."""
    return ((np.arange(count) + 0.5) * among / count).astype(np.int64)


def _read(path: Path) -> NDArray[np.uint16]:
    from PIL import Image

    try:
        # Other formats are not tried: a depth that lost bits to JPEG is none.
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.width * picture.height > LARGEST_PICTURE:
                raise ClipError("source", f"the depth is too large: {picture.width}x{picture.height} pixels", path)
            if not picture.mode.startswith("I"):
                raise ClipError("source", f"the depth is not a 16-bit PNG but of mode {picture.mode}", path)
            return np.clip(np.asarray(picture), 0, 65535).astype(np.uint16)
    except FileNotFoundError:
        raise ClipError("source", "the depth is missing", path) from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error).replace(str(path), path.name)
        raise ClipError("source", f"unreadable depth: {reason}", path) from None


def _size(path: Path) -> tuple[int, int]:
    """Height and width that an image file states."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ClipError("source", f"unreadable frame: {str(error).replace(str(path), path.name)}", path) from None
