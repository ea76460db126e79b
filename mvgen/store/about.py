"""`dataset.json`: what a finished store is, and whether a folder is one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mvgen.core.config import BuildConfig
from mvgen.core.errors import StoreError
from mvgen.core.settings import from_identity
from mvgen.store import layout


def read_about(out: Path) -> dict[str, Any]:
    """`dataset.json` of a finished store. Raises StoreError when there is none of this schema."""
    path = out / layout.DATASET
    if not path.is_file():
        if (out / layout.REFINING).is_file():
            raise StoreError(f"{out} is being refined, or that was interrupted; run `mvgen refine` again to finish it")
        if (out / layout.FORGETTING).is_file():
            raise StoreError(f"a subject is leaving {out}, or that was interrupted; run `mvgen forget` again to end it")
        if (out / layout.BUILD).is_file():
            raise StoreError(f"{out} is an unfinished build; run the line that began it again to finish it")
        raise StoreError(
            f"{out} is no mvgen dataset: it has no {layout.DATASET}; make one with `mvgen build --out {out}`"
        )
    return parse_about(path)


def parse_about(path: Path) -> dict[str, Any]:
    """A file of the form of `dataset.json`. Raises StoreError when it is damaged or of another schema."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}; build the dataset again") from None
    if not isinstance(about, dict) or about.get("schema") != layout.SCHEMA:
        found = about.get("schema") if isinstance(about, dict) else None
        raise StoreError(
            f"{path} has schema {found!r}, this mvgen reads {layout.SCHEMA}; build it again or change mvgen"
        )
    return about


def stored_config(about: Mapping[str, Any]) -> BuildConfig:
    """The settings a store was built with, of its `dataset.json`, but for its weights. Raises ConfigError."""
    return from_identity(about["config"])
