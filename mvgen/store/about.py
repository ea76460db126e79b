"""`dataset.json`: what a finished store is, and whether a folder is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mvgen.core.config import BuildConfig
from mvgen.core.errors import ConfigError, StoreError
from mvgen.core.files import read_json
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
    about = read_json(path, "build the dataset again")
    if about.get("schema") != layout.SCHEMA:
        raise StoreError(
            f"{path} has schema {about.get('schema')!r}, this mvgen reads {layout.SCHEMA}; "
            "build it again or change mvgen"
        )
    if wrong := other_parts(about, _PARTS):
        raise StoreError(
            f"{path} is damaged: missing, unknown or of another type: {', '.join(wrong)}; build the dataset again"
        )
    try:
        stored_config(about)
    except ConfigError as error:
        raise StoreError(f"{path} has a config that this mvgen cannot use: {error}; build the dataset again") from None
    return about


def check_identity(path: Path, identity: Mapping[str, Any]) -> None:
    """Raise StoreError where what `.build.json` holds, read from `path`, is not what a build begins with."""
    beginning = ("schema", "config", "source", "software", "weights")
    if identity.get("schema") != layout.SCHEMA:
        raise StoreError(f"{path} has schema {identity.get('schema')!r}, this mvgen reads {layout.SCHEMA}")
    if wrong := other_parts(identity, {part: _PARTS[part] for part in beginning}):
        raise StoreError(f"{path} is damaged: missing, unknown or of another type: {', '.join(wrong)}; build it again")


def other_parts(values: Mapping[str, Any], parts: Mapping[str, Callable[[Any], bool]]) -> list[str]:
    """Names that are missing, have a value that their part does not allow, or are no part."""
    return [part for part, fits in parts.items() if part not in values or not fits(values[part])] + sorted(
        set(values) - set(parts)
    )


def _is_config(value: Any) -> bool:
    if not (isinstance(value, dict) and all(isinstance(part, dict) for part in value.values())):
        return False
    threshold = value.get("attention", {}).get("threshold")
    return isinstance(threshold, int | float) and not isinstance(threshold, bool) and 0 <= threshold <= 1


def _is_counts(value: Any) -> bool:
    names = {"clips", "subjects", "views", "kept", "frames"}
    splits = value.get("splits") if isinstance(value, dict) else None
    return (
        isinstance(splits, dict)
        and set(splits) == {"train", "test"}
        and set(value) == {*names, "failures", "splits"}
        and all(isinstance(split, dict) and set(split) == names for split in splits.values())
        and all(
            isinstance(each, int) for some in (value, *splits.values()) for each in some.values() if each is not splits
        )
    )


def _is_source(value: Any) -> bool:
    return _texts(value) and {"name", "title", "version", "licence", "redistribution", "clips"} <= set(value)


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


# What `dataset.json` holds.
_PARTS: dict[str, Callable[[Any], bool]] = {
    "config": _is_config,
    "counts": _is_counts,
    "files": _texts,
    "schema": lambda value: value == layout.SCHEMA,
    "software": lambda value: isinstance(value, dict) and _texts({k: v for k, v in value.items() if v is not None}),
    "source": _is_source,
    "views": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "weights": _texts,
}


def stored_config(about: Mapping[str, Any]) -> BuildConfig:
    """The settings a store was built with, of its `dataset.json`, but for its weights. Raises ConfigError."""
    return from_identity(about["config"])
