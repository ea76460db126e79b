"""Rebuild the dataset of a recipe from its source, and check whether it is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvgen.building.build import Summary, build
from mvgen.building.work import Progress, Stages
from mvgen.core.config import WEIGHTS, BuildConfig, file_digest
from mvgen.core.errors import ConfigError, RecipeError
from mvgen.core.settings import SETTINGS, by_part, from_identity
from mvgen.forget.tombstones import Leavers, kept_annotations
from mvgen.publish.recipe import Recipe
from mvgen.store import layout
from mvgen.store.manifest import clip_digest
from mvgen.verification.files import walk

if TYPE_CHECKING:
    from mvgen.sources.base import Listing

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of a rebuilt dataset with its recipe: paths of files, sorted.

    extra : files that the recipe does not list; the records of the build itself are not compared
    software : packages with a different version here, in words
    """

    equal: tuple[str, ...]
    different: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    software: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not (self.different or self.missing or self.extra)


def rebuild_config(recipe: Recipe, given: Mapping[str, Mapping[str, Any]]) -> BuildConfig:
    """The settings of a recipe, for this machine.

    given : settings that a recipe leaves to the machine, part -> name -> value: of where files lie, and of the run
    Raises RecipeError for weights that are not the recipe's, ConfigError for settings of another version of mvgen.
    """
    for part, name in WEIGHTS:
        _check_weights(f"{part}.{name}", recipe.config.get(part, {}).get(name), given.get(part, {}).get(name))
    # A recipe from elsewhere must not decide where files are: only settings of the identity are taken from it.
    known = BuildConfig().identity()
    paths = ((part, name) for part, values in recipe.config.items() for name in values)
    foreign = sorted(f"{part}.{name}" for part, name in paths if name not in known.get(part, {}))
    if foreign:
        raise RecipeError(f"the recipe has settings that this version of mvgen does not know: {', '.join(foreign)}")
    run = {**by_part({"device": recipe.software.get("device")}).get("run", {}), **given.get("run", {})}
    config = from_identity(recipe.config, {**given, "run": run})
    if config.identity() != recipe.config:
        raise RecipeError("the recipe's settings are for another version of mvgen; install the version that it names")
    return config


def rebuild(
    recipe: Recipe,
    manifest: Mapping[str, str],
    config: BuildConfig,
    stages: Stages | None = None,
    progress: Progress | None = None,
) -> tuple[Summary, Comparison]:
    """Build the dataset of a recipe, and compare every byte.

    config : see `rebuild_config`
    Raises RecipeError, before anything is written, when the source or the weights differ from the recipe's; and the
    errors of `build`. After an interruption the same call continues.
    """
    stages = stages or _real_stages()
    progress = progress or Progress()
    check_source(recipe, stages.read(config))
    weights = stages.weights(config)
    differing = [name for name in sorted({*recipe.weights, *weights}) if recipe.weights.get(name) != weights.get(name)]
    if differing:
        lines = [f"{name}: {recipe.weights.get(name)} in the recipe, {weights.get(name)} here" for name in differing]
        raise RecipeError("the networks' weights are not those of the recipe:\n  " + "\n  ".join(lines))
    software = software_differences(recipe, stages.software(config))
    for line in software:
        progress.note(f"software differs from the recipe's, so bytes may differ: {line}")
    if recipe.forgotten:
        progress.note(
            f"subjects who have left the recipe's dataset: {len(recipe.forgotten)}; they are left out here too. "
            "Where they were for training, the attention head is fitted without them, and what follows from it differs"
        )
    summary = build(config, stages, progress, forgotten=recipe.forgotten)
    return summary, compare(config.run.out, manifest, software)


def check_source(recipe: Recipe, listing: Listing) -> None:
    """Raise RecipeError, naming them, when clips or annotations differ from those of the recipe."""
    listed = listing.clips[: recipe.config["source"]["limit"]]
    who = Leavers.of_clips(recipe.forgotten, listing.dataset, listed)
    files = kept_annotations(listing.annotation_files) if recipe.forgotten else listing.annotation_files
    annotations = {path.name: file_digest(path) for path in files}
    clips = {clip.id: clip_digest(clip) for clip in listed if not who.left(clip.subject_key)}
    lines = _changes("annotations", recipe.source.annotations, annotations)
    lines += _changes("clip", recipe.source.clips, clips)
    if lines:
        more = f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise RecipeError(
            f"the source is not that of the recipe ({recipe.source.title}, {recipe.source.version}):\n  "
            + "\n  ".join(lines[:_SHOWN])
            + more
        )


def software_differences(recipe: Recipe, here: Mapping[str, str | None]) -> tuple[str, ...]:
    """Packages whose version here differs from the recipe's, in words."""
    there = recipe.software
    names = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
    return tuple(f"{name} {there.get(name) or 'absent'} in recipe, {here.get(name) or 'absent'} here" for name in names)


def compare(out: Path, manifest: Mapping[str, str], software: Sequence[str] = ()) -> Comparison:
    """Compare every file of a manifest, path -> sha256, with a dataset."""
    there = {path: file_digest(out / path) if (out / path).is_file() else None for path in sorted(manifest)}
    records = (layout.BUILD, f"{layout.DONE}/")
    return Comparison(
        equal=tuple(path for path, digest in there.items() if digest == manifest[path]),
        different=tuple(path for path, digest in there.items() if digest not in (None, manifest[path])),
        missing=tuple(path for path, digest in there.items() if digest is None),
        extra=tuple(path for path in walk(out) if path not in manifest and not path.startswith(records)),
        software=tuple(software),
    )


def _real_stages() -> Stages:
    from mvgen.pipeline.stages import PipelineStages

    return PipelineStages()


def _check_weights(path: str, wanted: object, given: Path | None) -> None:
    flag = next(f"--{setting.flag}" for setting in SETTINGS.values() if setting.path == path)
    if wanted is None:
        if given is not None:
            raise RecipeError(f"the recipe was made without {flag}; leave it out")
    elif given is None:
        raise RecipeError(f"the recipe was made with {flag} of sha256 {wanted}; give that file with {flag}")
    elif not given.is_file():
        raise ConfigError(f"{flag}: {given} does not exist")
    elif file_digest(given) != wanted:
        raise RecipeError(f"{flag} {given} has sha256 {file_digest(given)}, the recipe's have {wanted}")


def _changes(what: str, there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    lines = []
    for name in sorted({*there, *here}):
        if name not in here:
            lines.append(f"{what} {name}: missing here")
        elif name not in there:
            lines.append(f"{what} {name}: not in the recipe")
        elif here[name] != there[name]:
            lines.append(f"{what} {name}: changed")
    return lines
