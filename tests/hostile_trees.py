"""What trees from anybody are made of: names that attack, workbooks that lead elsewhere."""

from __future__ import annotations

import io
import os
from pathlib import Path

from factories import astronaut, write_frames
from PIL import Image

from mvgen.synth.layouts import xlsx_bytes

BOOKS = {
    "casme2": "CAS(ME)^2code_final.xlsx",
    "casme-ii": "CASME2-coding-20140508.xlsx",
    "samm": "SAMM_Micro_FACS_Codes_v2.xlsx",
    "smic": "SMIC-HS-E_annotation.xlsx",
    "folder": "labels.csv",
}

HOSTILE = {
    "a newline": "line\nbreak",
    "a terminal's escape": "\x1b[2Jclear",
    "undecodable bytes": os.fsdecode(b"caf\xe9"),
    "a line separator": "a\u2028b",
    "a length that no file system takes twice": "n" * 250,
}


def jpeg() -> bytes:
    """A small picture, whole."""
    buffer = io.BytesIO()
    Image.fromarray(astronaut()[:64, :64]).save(buffer, format="JPEG")
    return buffer.getvalue()


def write_casme2(root: Path, rows: list[list[object]], tree: str, videos: list[list[object]] | None = None) -> None:
    """A CAS(ME)² release whose workbook has these rows: subject, clip, onset, apex, offset."""
    coding = [[*row, "4", "negative", "micro-expression", "anger"] for row in rows]
    sheets = {"a": coding, "b": [[15, "s15", 1]], "c": videos or [["0401", "anger1"]]}
    root.mkdir(parents=True, exist_ok=True)
    (root / BOOKS["casme2"]).write_bytes(xlsx_bytes(sheets))
    write_frames(root / tree, [f"img{index}.jpg" for index in range(1, 6)])
