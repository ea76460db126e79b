"""Prepare a finished dataset for publishing: its recipe, or the dataset itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mvgen.core.config import canonical_json, file_digest
from mvgen.core.errors import PublishError
from mvgen.forget.tombstones import read_forgotten
from mvgen.publish import metrics
from mvgen.publish.card import recipe_card
from mvgen.publish.licence import access_to, check_permission, check_pixels_allowed, terms_of
from mvgen.publish.pixels import pixel_parts
from mvgen.publish.plan import Plan, part_of
from mvgen.publish.recipe import CARD, MANIFEST, RECIPE, Recipe, RecipeResult, RecipeSource, manifest_bytes
from mvgen.publish.statement import Format
from mvgen.publish.targets.address import parse_target
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.manifest import ViewRow, read_failures, read_table
from mvgen.store.state import read_markers
from mvgen.verification import verify

_SHOWN = 5


def plan_publishing(
    out: Path,
    address: str,
    *,
    pixels: bool | None = None,
    kind: Format | None = None,
    public: bool = False,
    permission: str | None = None,
    creator: str | None = None,
    url: str | None = None,
) -> Plan:
    """Plan the publication of a dataset; nothing is written yet.

    out : folder that `mvgen build` wrote; address : the target, see `parse_target`
    pixels : publish the dataset itself; False its recipe; None the recipe if the source forbids more
    kind : file format of the views, Parquet by default
    public : make the repository on the Hub public
    permission : of the source's owner, in the publisher's words; recorded
    creator, url : who publishes, and the address of the published dataset
    Raises LicenceError where the source's terms forbid it, PublishError for an unusable target or a damaged dataset,
    StoreError where there is no dataset.
    """
    about = read_about(out)
    source = about["source"]
    permission = check_permission(permission)
    target = parse_target(address, public=public)
    pixels = terms_of(source) != "forbidden" if pixels is None else pixels
    if pixels:
        check_pixels_allowed(source, permission, target.visibility)
    else:
        _refuse_for_recipes({"--format": kind, "--creator": creator, "--url": url})
    target.check(out)
    findings = verify(out).findings
    if findings:
        listed = "".join(f"\n  {finding}" for finding in findings[:_SHOWN])
        raise PublishError(f"{out} is damaged (`mvgen verify {out}` lists everything):{listed}")
    if pixels:
        rows, failures = read_table(out / layout.TABLE), read_failures(out / layout.FAILURES)
        if not rows:
            raise PublishError(f"{out} has no views: none of its clips could be built; see {layout.FAILURES}")
        parts = pixel_parts(
            out,
            about,
            rows,
            failures,
            target=target,
            kind=kind or "parquet",
            permission=permission,
            creator=creator,
            url=url,
        )
    else:
        parts = tuple(part_of(name, content) for name, content in recipe_files(out, about, permission).items())
    plan = Plan(target, parts, guarded=pixels and terms_of(source) != "open")
    target.check(out, plan.names)
    if plan.guarded:
        target.refuse_exposed()
    return plan


def recipe_files(out: Path, about: Mapping[str, Any], permission: str | None) -> dict[str, bytes]:
    """The files of a recipe, name -> content. Raises PublishError for a dataset without its build records."""
    rows, failures = read_table(out / layout.TABLE), read_failures(out / layout.FAILURES)
    manifest = manifest_bytes(result_digests(out, about, rows))
    recipe = Recipe(
        config=about["config"],
        counts=about["counts"],
        forgotten=read_forgotten(out),
        metrics=metrics.describe(rows, failures),
        permission=permission,
        result=RecipeResult(files=manifest.count(b"\n"), manifest=hashlib.sha256(manifest).hexdigest()),
        software=about["software"],
        source=_source(out, about),
        weights=about["weights"],
    )
    return {
        CARD: recipe_card(recipe).encode(),
        RECIPE: canonical_json(recipe.model_dump(mode="json")).encode(),
        MANIFEST: manifest,
    }


def result_digests(out: Path, about: Mapping[str, Any], rows: Sequence[ViewRow]) -> dict[str, str]:
    """Every file of a dataset -> its sha256, without the build records."""
    files = {path: digest for row in rows for path, digest in row.files().items()}
    return {layout.DATASET: file_digest(out / layout.DATASET), **about["files"], **files}


def _refuse_for_recipes(flags: Mapping[str, str | None]) -> None:
    given = [flag for flag, value in flags.items() if value is not None]
    if given:
        raise PublishError(f"a recipe has no {given[0]}; add --pixels to publish the dataset itself")


def _source(out: Path, about: Mapping[str, Any]) -> RecipeSource:
    markers = read_markers(out)
    if not markers:
        raise PublishError(f"{out} has no build records ({layout.DONE}), which a recipe needs to describe the source")
    source = about["source"]
    annotations = {
        PurePosixPath(path).name: digest
        for path, digest in about["files"].items()
        if PurePosixPath(path).parts[0] == layout.ANNOTATIONS
    }
    return RecipeSource(
        name=source["name"],
        title=source["title"],
        version=source["version"],
        licence=source["licence"],
        redistribution=terms_of(source),
        access=access_to(source),
        annotations=annotations,
        clips={clip: marker.source for clip, marker in sorted(markers.items())},
    )
