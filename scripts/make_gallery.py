"""Make the pictures of docs/gallery.md from a build of the demonstration.

mvgen build --dataset demo --angles=-45,-20,0,20,45 --out demo/gallery
python scripts/make_gallery.py demo/gallery docs
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Picture

import mvgen
from mvgen.core.records import Image
from mvgen.dataset.table import ViewTable
from mvgen.store.manifest import ViewRow

SIDE = 192  # pixels of one picture
_SHOWN = 3  # clips


def show_views(table: ViewTable, clips: list[str]) -> Image:
    """A row for each clip: the source, then the views from the lowest yaw to the highest, at the apex."""
    return np.concatenate([_beside([_apex(table, row) for row in _of(table, clip)]) for clip in clips])


def show_maps(table: ViewTable, clip: str) -> Image:
    """A row for each of three views: colour, depth (near is bright), what the source saw, flow from onset to apex."""
    rows = _of(table, clip)[1:]
    return np.concatenate([_beside(_layers(table, row)) for row in (rows[0], rows[2], rows[4])])


def _layers(table: ViewTable, row: ViewRow) -> list[Image]:
    maps, known = table.maps(row), np.isfinite(table.maps(row).depth)
    low, high = np.percentile(maps.depth[known], (1, 99))
    depth = np.where(known, np.clip((maps.depth - low) / (high - low), 0, 1) * 255, 0).astype(np.uint8)
    seen = np.where(maps.valid, 255, np.where(known, 110, 0)).astype(np.uint8)
    return [_apex(table, row), *(np.stack([each] * 3, -1) for each in (depth, seen)), _wheel(maps.flow.apex, known)]


def _wheel(flow: np.ndarray, known: np.ndarray) -> Image:
    """Flow as colour: hue is direction, brightness is length, up to the longest."""
    length, angle = cv2.cartToPolar(flow[..., 0], flow[..., 1], angleInDegrees=True)
    value = np.where(known, length / max(length[known].max(), 1e-6) * 255, 0)
    hsv = np.stack([angle / 2, np.full_like(angle, 200), value], -1).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _of(table: ViewTable, clip: str) -> list[ViewRow]:
    rows = [row for row in table if row.clip == clip]
    return sorted(rows, key=lambda row: -999 if row.yaw is None else row.yaw)


def _apex(table: ViewTable, row: ViewRow) -> Image:
    return table.frames(row)[row.apex_index]


def _beside(pictures: list[Image]) -> Image:
    return np.concatenate([cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for each in pictures], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    table = mvgen.open_table(given.store)
    # The photograph, and one clip of each of the first acted people.
    clips = {row.subject: row.clip for row in reversed(table.rows)}
    acted = [clip for subject, clip in sorted(clips.items()) if subject != "astronaut"]
    for name, picture in (
        ("gallery-views", show_views(table, [clips["astronaut"], *acted[: _SHOWN - 1]])),
        ("gallery-maps", show_maps(table, acted[0])),
    ):
        Picture.fromarray(picture).save(given.out / f"{name}.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
