"""How a dataset shows itself: in a line, and as pictures in a notebook."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mvgen.core.errors import StoreError
from mvgen.store.manifest import ViewRow

_SHOWN = 8  # views
_SIDE = 112  # pixels


def describe(name: str, about: Mapping[str, Any], rows: Sequence[ViewRow], views: str | None = None) -> str:
    """One line: which data, how many clips, subjects and views. views : where they are not those of the rows"""
    clips, subjects = len({row.clip for row in rows}), len({row.subject_key for row in rows})
    shown = views or f"{len(rows)} views: {', '.join(dict.fromkeys(row.view for row in rows)) or 'none'}"
    return f"<{name} of {about['source']['title']}: {clips} clips, {subjects} subjects, {shown}>"


def contact_strip(root: Path, about: Mapping[str, Any], rows: Sequence[ViewRow]) -> str:
    """HTML with the apex frame of the first clip's views, the pictures inside."""
    line = f"<p><code>{html.escape(describe('dataset', about, rows)[1:-1])}</code></p>"
    first = [row for row in rows if row.clip == rows[0].clip] if rows else []
    step = max(1, -(-len(first) // _SHOWN))
    figures = "".join(_figure(root, row) for row in first[::step])
    return f"{line}<div style='display:flex;gap:4px'>{figures}</div>"


def _figure(root: Path, row: ViewRow) -> str:
    from PIL import Image as Picture

    from mvgen.store.frames import read_frame

    try:
        picture = Picture.fromarray(read_frame(root, row, row.apex_index)).resize((_SIDE, _SIDE))
    except StoreError as error:  # a display never stops a notebook
        return f"<p>{html.escape(str(error))}</p>"
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    caption = html.escape(f"{row.view}, {row.emotion}")
    return (
        f"<figure style='margin:0'><img alt='{caption}' src='data:image/png;base64,{data}'>"
        f"<figcaption style='font-size:smaller'>{caption}</figcaption></figure>"
    )
