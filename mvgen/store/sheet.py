"""The contact sheet: a row per clip, a column per angle, at the apex frame. One look says whether a build is sound."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont

from mvgen.store.frames import read_frame
from mvgen.store.manifest import ViewRow

T = TypeVar("T")

MAX_CLIPS = 8
MAX_VIEWS = 13
_CELL, _GAP, _LABEL, _HEAD, _SIDE = 144, 8, 20, 34, 210
_PAPER, _INK, _SOFT, _DROPPED = (250, 250, 248), (34, 34, 34), (120, 120, 120), (176, 58, 46)


def contact_sheet(out: Path, rows: Sequence[ViewRow]) -> bytes:
    """Draw the sheet from stored frames.

    rows : every row of the store; at most 8 clips and 13 angles, evenly spread, are shown
    Returns the bytes of a PNG.
    """
    clips = spread(list(dict.fromkeys(row.clip for row in rows)), MAX_CLIPS)
    swept = sorted({row.yaw for row in rows if row.yaw is not None})
    yaws: list[float | None] = [None, *spread(swept, MAX_VIEWS)]
    by_place = {(row.clip, row.yaw): row for row in rows}
    width = _SIDE + len(yaws) * (_CELL + _GAP) + _GAP
    height = _HEAD + max(len(clips), 1) * (_CELL + _LABEL + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    head, small = ImageFont.load_default(15), ImageFont.load_default(12)
    for column, yaw in enumerate(yaws):
        title = "source" if yaw is None else f"{yaw:+g}°"
        draw.text((_left(column) + _CELL / 2, _HEAD / 2), title, fill=_INK, font=head, anchor="mm")
    if not clips:
        draw.text((width / 2, height - _CELL / 2), "no clip was built", fill=_SOFT, font=head, anchor="mm")
    for line, clip in enumerate(clips):
        top = _HEAD + line * (_CELL + _LABEL + _GAP)
        first = by_place[clip, None] if (clip, None) in by_place else next(row for row in rows if row.clip == clip)
        _describe(draw, first, top, head, small)
        for column, yaw in enumerate(yaws):
            row = by_place.get((clip, yaw))
            if row is None:
                continue
            frame = Image.fromarray(read_frame(out, row, row.apex_index))
            cell = frame.resize((_CELL, _CELL), Image.Resampling.LANCZOS)
            sheet.paste(cell, (_left(column), top))
            caption = f"sees {row.visible_attention:.0%}" + ("" if row.kept else ", not kept")
            place = (_left(column) + _CELL / 2, top + _CELL + _LABEL / 2)
            draw.text(place, caption, fill=_SOFT if row.kept else _DROPPED, font=small, anchor="mm")
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _describe(draw: ImageDraw.ImageDraw, row: ViewRow, top: int, head: Font, small: Font) -> None:
    apex = f"apex {row.frame_names[row.apex_index]}" + (", estimated" if row.apex_estimated else "")
    emotion = f"{row.emotion} ({row.label or 'no class'})"
    lines = [row.clip, f"subject {row.subject}, {row.split}", emotion, apex]
    draw.text((_GAP, top + 16), _fit(draw, row.name, head), fill=_INK, font=head, anchor="lm")
    for index, line in enumerate(lines):
        draw.text((_GAP, top + 40 + 18 * index), _fit(draw, line, small), fill=_SOFT, font=small, anchor="lm")


def _fit(draw: ImageDraw.ImageDraw, text: str, font: Font) -> str:
    room = _SIDE - 2 * _GAP
    if draw.textlength(text, font=font) <= room:
        return text
    while text and draw.textlength(text + "…", font=font) > room:
        text = text[:-1]
    return text + "…"


def _left(column: int) -> int:
    return _SIDE + column * (_CELL + _GAP)


def spread(items: Sequence[T], count: int) -> list[T]:
    """So many items, evenly spread from the first to the last; all where there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / max(count - 1, 1))] for index in range(count)]
