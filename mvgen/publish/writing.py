"""From a finished dataset to its recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mvgen.config import canonical_json, file_digest
from mvgen.errors import PublishError, SourceError
from mvgen.publish import metrics
from mvgen.publish.card import recipe_card
from mvgen.publish.licence import allow_pixels, check_permission, terms_of
from mvgen.publish.recipe import CARD, MANIFEST, RECIPE, Recipe, RecipeResult, RecipeSource, manifest_bytes
from mvgen.publish.target import check_target, target_folder
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.manifest import ViewRow, read_failures, read_table
from mvgen.store.state import read_markers
from mvgen.store.writer import disk_errors, write_atomically
from mvgen.verify import verify

_FILES = frozenset({RECIPE, MANIFEST, CARD})
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What publishing writes: a folder and its files, name -> content."""

    folder: Path
    files: dict[str, bytes]

    def write(self) -> None:
        """Write the files. Raises StoreError when the disk is full or may not be written."""
        with disk_errors(self.folder):
            for name, content in self.files.items():
                write_atomically(self.folder / name, content)


def plan_publishing(out: Path, target: str, *, pixels: bool = False, permission: str | None = None) -> Plan:
    """What publishing a dataset would write; nothing is written yet.

    out : folder that `mvgen build` wrote; target : where to
    pixels : publish the dataset itself; False publishes its recipe
    permission : of the source's owner, in the publisher's words; recorded
    Raises LicenceError where the source's terms forbid it, PublishError for a target that will not do and for a dataset
    that is not as it was built, StoreError where there is none.
    """
    about = read_about(out)
    permission = check_permission(permission)
    if pixels:
        allow_pixels(about["source"], permission)
        raise PublishError(
            "publishing pixels is not available in this version of mvgen; leave out --pixels to publish the recipe"
        )
    folder = target_folder(target)
    check_target(folder, out, _FILES)
    findings = verify(out).findings
    if findings:
        listed = "".join(f"\n  {finding}" for finding in findings[:_SHOWN])
        raise PublishError(f"{out} is not as it was built (`mvgen verify {out}` lists it all):{listed}")
    return Plan(folder, recipe_files(out, about, permission))


def recipe_files(out: Path, about: Mapping[str, Any], permission: str | None) -> dict[str, bytes]:
    """The files of a recipe, name -> content. Raises PublishError for a dataset without the records of its build."""
    rows, failures = read_table(out / layout.TABLE), read_failures(out / layout.FAILURES)
    manifest = manifest_bytes(result_digests(out, about, rows))
    recipe = Recipe(
        config=about["config"],
        counts=about["counts"],
        metrics=metrics.describe(rows, failures),
        permission=permission,
        result=RecipeResult(files=manifest.count(b"\n"), manifest=hashlib.sha256(manifest).hexdigest()),
        software=about["software"],
        source=_source(out, about),
        weights=about["weights"],
    )
    return {
        RECIPE: canonical_json(recipe.model_dump(mode="json")).encode(),
        MANIFEST: manifest,
        CARD: recipe_card(recipe).encode(),
    }


def result_digests(out: Path, about: Mapping[str, Any], rows: Sequence[ViewRow]) -> dict[str, str]:
    """Every file of a dataset -> its sha256; without the records that only a build needs."""
    files = {path: digest for row in rows for path, digest in row.files().items()}
    return {layout.DATASET: file_digest(out / layout.DATASET), **about["files"], **files}


def _source(out: Path, about: Mapping[str, Any]) -> RecipeSource:
    from mvgen.sources import get_source

    markers = read_markers(out)
    if not markers:
        raise PublishError(f"{out} has no records of its build ({layout.DONE}), which tell what the source was")
    source = about["source"]
    annotations = {
        PurePosixPath(path).name: digest
        for path, digest in about["files"].items()
        if PurePosixPath(path).parts[0] == layout.ANNOTATIONS
    }
    try:
        access = get_source(source["name"]).access
    except SourceError:
        access = "not stated"
    return RecipeSource(
        name=source["name"],
        title=source["title"],
        version=source["version"],
        licence=source["licence"],
        redistribution=terms_of(source),
        access=access,
        annotations=annotations,
        clips={clip: marker.source for clip, marker in sorted(markers.items())},
    )
