"""The mark file that `mvgen synth` writes into a stand-in, so that it is not mistaken for the release."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

MARK = "STAND-IN.txt"


def find_mark(folders: Iterable[Path]) -> Path | None:
    """The mark file in the first folder that has one, or None."""
    return next((folder / MARK for folder in folders if (folder / MARK).is_file()), None)


def write_mark(root: Path, title: str) -> None:
    """Mark a folder as a stand-in. title : of the imitated release"""
    root.mkdir(parents=True, exist_ok=True)
    text = (
        f"This is a stand-in, not {title}: mvgen synth made it, parametric heads act its clips, nobody was filmed.\n"
        "Figures on it are figures on a stand-in, never on the release. What is built from it keeps this file.\n"
    )
    (root / MARK).write_text(text, encoding="utf-8")
