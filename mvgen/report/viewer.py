"""The clips of a store that the page shows, and their images, within a given size."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from mvgen.core.records import Image
from mvgen.report import layers
from mvgen.report.facts import NO_CLASS, degrees
from mvgen.store.arrays import read_maps
from mvgen.store.frames import read_frames
from mvgen.store.geometry import read_geometry
from mvgen.store.manifest import ViewRow
from mvgen.store.sheet import spread

MAX_CLIPS = 12
MAX_VIEWS = 13
_QUALITY = 85
_LAYER_QUALITY = 60
_LEAST_MOTION = 0.5  # pixels: shorter motion is never drawn opaque, or noise would look like an expression
# Image side in pixels and number of frames, the best first; with the last, even noise fits a twelfth of the page.
_LADDER = ((256, 48), (192, 48), (192, 24), (128, 24), (128, 12), (64, 8))


def choose_clips(rows: Sequence[ViewRow], count: int = MAX_CLIPS) -> list[str]:
    """Ids of clips to show, in the order of the store: balanced over the classes, and spread over the subjects."""
    frontal = [row for row in rows if row.yaw is None]
    by_class: dict[str | None, list[str]] = {}
    for row in frontal:
        by_class.setdefault(row.label, []).append(row.clip)
    share = dict.fromkeys(by_class, 0)
    while sum(share.values()) < min(count, len(frontal)):
        for label, clips in by_class.items():
            if share[label] < len(clips) and sum(share.values()) < count:
                share[label] += 1
    chosen = {clip for label, clips in by_class.items() for clip in spread(clips, share[label])}
    return [row.clip for row in frontal if row.clip in chosen]


def choose_frames(row: ViewRow, count: int) -> list[int]:
    """Positions of frames to show, evenly spread and including onset, apex and offset."""
    if row.frames <= count:
        return list(range(row.frames))
    return sorted({*spread(range(row.frames), count - 3), row.onset_index, row.apex_index, row.offset_index})


def show_clip(out: Path, rows: Sequence[ViewRow], room: int) -> dict[str, Any]:
    """Data of one clip for the page's viewer: plain values, images as data URIs.

    rows : of one clip; room : limit on the characters of its images
    Raises StoreError when a file is missing or damaged.
    """
    frontal = next(row for row in rows if row.yaw is None)
    swept = sorted((row for row in rows if row.yaw is not None), key=lambda row: row.yaw or 0.0)
    shown = [frontal, *spread(swept, MAX_VIEWS)]
    overlays, scales = _overlays(out, shown)
    for largest, count in _LADDER:
        side = min(largest, len(overlays[0]["depth"]))
        frames = choose_frames(frontal, count)
        first = _sheet(out, frontal, frames, side)
        # All views are about as large as the first: skip a size that cannot fit.
        if len(first) * len(shown) > room and (largest, count) != _LADDER[-1]:
            continue
        sheets = [first, *(_sheet(out, row, frames, side) for row in shown[1:])]
        pictures = [{name: _layer(name, layer, side) for name, layer in each.items()} for each in overlays]
        if sum(map(len, sheets)) + sum(len(uri) for each in pictures for uri in each.values()) <= room:
            break
    views = [
        {
            "name": degrees(row.yaw),
            "yaw": row.yaw,
            "seen": row.visible_attention,
            "valid": row.valid_fraction,
            "kept": row.kept,
            "sheet": sheet,
            "layers": picture,
        }
        for row, sheet, picture in zip(shown, sheets, pictures, strict=True)
    ]
    return {
        **_about(frontal, frames),
        **scales,
        "side": side,
        "columns": _columns(len(frames)),
        "source": views[0],
        "views": views[1:],
    }


def _about(row: ViewRow, frames: Sequence[int]) -> dict[str, Any]:
    """Labels and frames of a clip for the viewer."""
    return {
        "clip": row.clip,
        "subject": row.subject,
        "name": row.name,
        "emotion": row.emotion,
        "label": row.label or NO_CLASS,
        "split": row.split,
        "positions": list(frames),
        "sampled": len(frames) < row.frames,
        "frames": [row.frame_names[index] for index in frames],
        "seconds": [index / row.fps for index in frames],
        "places": [index / max(row.frames - 1, 1) for index in frames],
        "onset": frames.index(row.onset_index),
        "apex": frames.index(row.apex_index),
        "offset": frames.index(row.offset_index),
        "estimated": row.apex_estimated,
        "notes": row.notes,
    }


def _overlays(out: Path, rows: Sequence[ViewRow]) -> tuple[list[dict[str, layers.Layer]], dict[str, Any]]:
    """The layers of every view of a clip, with common scales, and these scales."""
    found = read_geometry(out, rows[0])
    camera = found.depth.camera
    maps = [read_maps(out, row, flow="apex") for row in rows]
    flows = [each.flow.apex for each in maps]
    attention = [
        layers.project_attention(found.attention, each.depth, camera.at(row.yaw or 0.0), camera)
        for row, each in zip(rows, maps, strict=True)
    ]
    surface = np.concatenate([each.depth[np.isfinite(each.depth)] for each in maps])
    lowest, highest = np.quantile(surface, (0.01, 0.99)).tolist() if len(surface) else (0.0, 0.0)
    longest = max(_LEAST_MOTION, *(float(np.quantile(np.linalg.norm(flow, axis=-1), 0.995)) for flow in flows))
    most = float(np.quantile(found.attention, 0.995))
    drawn = [
        {
            "unseen": layers.unseen_layer(each.valid, each.depth),
            "depth": layers.depth_layer(each.depth, lowest, highest),
            "motion": layers.motion_layer(flow, longest),
            "attention": layers.attention_layer(seen, most),
        }
        for each, flow, seen in zip(maps, flows, attention, strict=True)
    ]
    return drawn, {"far": lowest, "near": highest, "longest": longest}


def _columns(frames: int) -> int:
    return math.ceil(math.sqrt(frames))


def _sheet(out: Path, row: ViewRow, frames: Sequence[int], side: int) -> str:
    """Frames of a view, row by row in one image, as a data URI."""
    colour: Image = read_frames(out, row, frames)
    columns = _columns(len(frames))
    sheet = Pillow.new("RGB", (columns * side, math.ceil(len(frames) / columns) * side))
    for index, pixels in enumerate(colour):
        sheet.paste(resized(Pillow.fromarray(pixels), side), (index % columns * side, index // columns * side))
    return data_uri(sheet, "WEBP", _QUALITY)


def _layer(name: str, layer: layers.Layer, side: int) -> str:
    """A layer as a data URI: the mask at the size of the frames, the smooth layers at half of it."""
    picture = Pillow.fromarray(layer, "RGBA")
    if name == "unseen":
        return data_uri(resized(picture, side), "PNG")
    return data_uri(resized(picture, side // 2), "WEBP", _LAYER_QUALITY)


def resized(picture: Pillow.Image, side: int) -> Pillow.Image:
    """A picture at another side, pixels."""
    return picture if picture.width == side else picture.resize((side, side), Pillow.Resampling.LANCZOS)


def data_uri(picture: Pillow.Image, image_format: str, quality: int = 0) -> str:
    """A picture as a data URI. image_format : as Pillow names it; quality : of WEBP"""
    buffer = io.BytesIO()
    options = {"quality": quality, "method": 2} if image_format == "WEBP" else {}
    picture.save(buffer, format=image_format, **options)
    return f"data:image/{image_format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
