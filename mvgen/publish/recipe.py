"""A recipe: all that is needed to rebuild a dataset, and digests of the result, without any of its pixels."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mvgen.core.errors import RecipeError
from mvgen.core.files import parse_json, read_regular, reason_of
from mvgen.core.records import Redistribution
from mvgen.forget.tombstones import Tombstone

RECIPE = "recipe.json"
MANIFEST = "manifest-sha256.txt"
CARD = "README.md"
CROISSANT = "croissant.json"


class RecipeSource(BaseModel):
    """The source of a dataset: release and edition, terms, and digests of the files that were read.

    clips : clip id -> digest over its labels, frame numbers, and names and sizes of its frames; see `clip_digest`
    annotations : file name -> sha256
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    version: str
    licence: str
    redistribution: Redistribution
    access: str
    annotations: dict[str, str]
    clips: dict[str, str]


class RecipeResult(BaseModel):
    """Result of the build. manifest : sha256 of the manifest; files : number of files listed in it"""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: int
    manifest: str


class Recipe(BaseModel):
    """`recipe.json`.

    config, software : settings and versions that the bytes depend on; weights : network -> sha256
    counts : of `dataset.json`; metrics : see `metrics.describe`
    permission : of the source's owner, in the publisher's words, or None
    forgotten : tombstones of people who have left: digest, salt, reason
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = 2
    config: dict[str, dict[str, Any]]
    counts: dict[str, Any]
    forgotten: tuple[Tombstone, ...] = ()
    metrics: dict[str, Any]
    permission: str | None
    result: RecipeResult
    software: dict[str, str | None]
    source: RecipeSource
    weights: dict[str, str]


def read_recipe(path: Path) -> tuple[Recipe, dict[str, str]]:
    """A recipe and its manifest, path in the dataset -> sha256; `path` is the recipe's folder or its `recipe.json`.

    Raises RecipeError for a folder without one, a damaged one, or one of another version.
    """
    folder = path if path.is_dir() else path.parent
    file = path / RECIPE if path.is_dir() else path
    if not file.is_file():
        raise RecipeError(f"{path} is not a recipe: it has no {file.name}; make one with `mvgen publish OUT --to DIR`")
    try:
        content = read_regular(file)
        parse_json(content)  # refuses what nests too deep
        recipe = Recipe.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecipeError(
            f"{file} is damaged or of another version of mvgen: {where + ': ' if where else ''}{first['msg']}"
        ) from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{file} is damaged: {reason_of(error)}; download it again") from None
    try:
        content = read_regular(folder / MANIFEST)
    except OSError as error:
        raise RecipeError(f"{folder / MANIFEST} cannot be read: {error.strerror}; it belongs to the recipe") from None
    if hashlib.sha256(content).hexdigest() != recipe.result.manifest:
        raise RecipeError(f"{folder / MANIFEST} is not the manifest that {file.name} names; download both again")
    return recipe, parse_manifest(content)


def manifest_bytes(digests: Mapping[str, str]) -> bytes:
    """Path -> sha256 as lines, sorted, in the format of `sha256sum --check`."""
    lines = []
    for path in sorted(digests):
        escaped = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{chr(92) if escaped != path else ''}{digests[path]}  {escaped}\n")
    return "".join(lines).encode()


def parse_manifest(content: bytes) -> dict[str, str]:
    """The inverse of `manifest_bytes`. Raises RecipeError for a malformed line or a path outside the dataset."""
    digests = {}
    for line in content.decode(errors="replace").split("\n")[:-1]:
        match = re.fullmatch(r"(\\?)([0-9a-f]{64})  (.+)", line)
        if not match:
            raise RecipeError(f"{MANIFEST} has a line that is not a digest and a path: {line[:80]!r}")
        path = re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), match[3])
        path = path if match[1] else match[3]
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise RecipeError(f"{MANIFEST} names a file outside the dataset: {path!r}")
        digests[path] = match[2]
    return digests
