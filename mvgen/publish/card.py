"""The card of a recipe: README.md, with the front matter that dataset hubs read."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import yaml

from mvgen.publish.recipe import MANIFEST, RECIPE, Recipe


def recipe_card(recipe: Recipe) -> str:
    """Markdown of a recipe's card."""
    source, counts = recipe.source, recipe.counts
    link = re.search(r"https?://[^\s,)]+", source.access)
    front: dict[str, Any] = {
        "pretty_name": f"Recipe of a multi-view {source.title}",
        "license": "other",
        "license_name": source.licence,
        **({"license_link": link[0]} if link else {}),
        "source_datasets": [source.name],
        "tags": ["mvgen", "recipe", "multi-view", "micro-expression"],
    }
    title = _plain(source.title)
    size = (
        f"{counts['clips']} clips of {counts['subjects']} subjects, {counts['views']} views, {counts['frames']} frames"
    )
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=1000)}---",
        f"# Recipe of a multi-view {title}",
        f"This is no data: it holds no picture, depth, flow or landmark of anyone. Whoever holds {title} builds from "
        f"it the same dataset, {size}, and is told whether every byte is the same.",
        "```bash\n"
        f"pip install mvgen=={recipe.software.get('mvgen')}\n"
        "mvgen rebuild THIS_FOLDER --root FOLDER_OF_THE_SOURCE --out multi-view\n"
        "```",
        f"- Source: {title} ({_plain(source.version)}), read as `{source.name}`\n"
        f"- Its terms: {_plain(source.licence)}; redistribution: {source.redistribution}\n"
        f"- Access: {_plain(source.access)}\n"
        f"- Permission: {_plain(recipe.permission) if recipe.permission else 'none was claimed, none is needed'}",
        f"`{RECIPE}` has the settings, the versions of the software, and the digests of the weights, of the "
        f"annotations and of every clip of the source. `{MANIFEST}` has the sha256 of all {recipe.result.files} files "
        "of the dataset; `sha256sum --check` reads it.",
        f"## What comes out\n\n{_views_table(recipe.metrics)}",
        f"Classes: {_listed(recipe.metrics['labels'])}. Clips that could not be built: "
        f"{_listed(recipe.metrics['failures']) or 'none'}. Of a clip's frames {recipe.metrics['registered']:.0%} were "
        f"moved onto the onset frame, on {recipe.metrics['inliers']:.0f} matches.",
        f"## Made with\n\n{_software(recipe)}",
    ]
    return "\n\n".join(parts) + "\n"


def _views_table(metrics: dict[str, Any]) -> str:
    lines = ["| view | clips | kept | visible attention | valid fraction |", "|---|---|---|---|---|"]
    lines += [
        f"| {view} | {of['clips']} | {of['kept']} | {of['visible_attention']:.3f} | {of['valid_fraction']:.3f} |"
        for view, of in metrics["views"].items()
    ]
    return "\n".join(lines)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _software(recipe: Recipe) -> str:
    there = {name: version for name, version in recipe.software.items() if version is not None}
    lines = [f"- {name} {version}" for name, version in sorted(there.items())]
    lines += [f"- weights `{name}`: sha256 `{digest}`" for name, digest in sorted(recipe.weights.items())]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Words of a source as words: nothing in them is markup."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", escape(text, quote=False))
