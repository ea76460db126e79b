"""The cards, README.md with the front matter that dataset hubs read: of a recipe, and of a dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any, get_args

import yaml

from mvgen.core.records import Label
from mvgen.publish.formats.columns import COLUMNS
from mvgen.publish.recipe import CROISSANT, MANIFEST, RECIPE, Recipe
from mvgen.publish.statement import Statement
from mvgen.store import layout

# Sizes as hubs count them, by rows.
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def recipe_card(recipe: Recipe) -> str:
    """Markdown of a recipe's card."""
    source, counts = recipe.source, recipe.counts
    front = {
        "pretty_name": f"Recipe of a multi-view {source.title}",
        **_licence(source.licence, source.access),
        "source_datasets": [source.name],
        "tags": ["mvgen", "recipe", "multi-view", "micro-expression"],
    }
    title = _plain(source.title)
    parts = [
        _front_matter(front),
        f"# Recipe of a multi-view {title}",
        f"This is no data: it holds no picture, depth, flow or landmark of anyone. Whoever holds {title} builds from "
        f"it the same dataset, {_counted(counts)}, and is told whether every byte is the same.",
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
        f"## What comes out\n\n{_outcome(recipe.metrics)}",
        f"## Made with\n\n{_software(recipe.software, recipe.weights)}",
    ]
    return "\n\n".join(parts) + "\n"


def dataset_card(said: Statement) -> str:
    """Markdown of the card of a dataset with its pixels."""
    source, title = said.source, _plain(said.source["title"])
    splits = [split for split, count in said.counts["splits"].items() if count["views"]]
    front = {
        "pretty_name": said.title,
        **_licence(source["licence"], said.access),
        "source_datasets": [source["name"]],
        "task_categories": ["video-classification"],
        "size_categories": [next((name for limit, name in _SIZES if said.counts["views"] < limit), "n>10M")],
        "tags": ["mvgen", "multi-view", "micro-expression", "optical-flow", "depth"],
        **_gate(said),
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*{said.suffix}"} for split in sorted(splits)],
            }
        ],
    }
    parts = [
        _front_matter(front),
        f"# {_plain(said.title)}",
        f"{_counted(said.counts)}, made from {title} with mvgen {_plain(str(said.software.get('mvgen')))}: the face of "
        "every clip is reconstructed in 3D and seen from other angles, its motion kept. A subject is in one split.",
    ]
    if said.stand_in:
        parts.append(
            f"**These are stand-ins.** The clips were acted by parametric heads in the layout of {title}; no frame of "
            "the release is among them, and figures on stand-ins say nothing about the release."
        )
    parts += [
        f"- Source: {title} ({_plain(source['version'])}), read as `{source['name']}`\n"
        f"- Its terms: {_plain(source['licence'])}; redistribution: {said.terms}\n"
        f"- Access to the source: {_plain(said.access)}\n"
        f"- Permission: {_plain(said.permission) if said.permission else 'none was claimed'}\n"
        f"- Published by: {_plain(said.creator)}; for {said.readers}",
        f"## Open it\n\n{_opening(said)}",
        f"## What a row holds\n\nOne row for each view of each clip. `label` is one of {_classes()}.\n\n{_columns()}",
        f"`{layout.DATASET}` has all settings, versions and digests of the build; `{CROISSANT}` describes the files to "
        f"machines; `{MANIFEST}` has the sha256 of every file here, and `sha256sum --check {MANIFEST}` reads it.",
        f"## What comes out\n\n{_outcome(said.metrics)}",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in (*said.limits, *said.biases)),
        f"## The people in it\n\n{said.people}",
        f"## Made with\n\n{_software(said.software, said.weights)}",
    ]
    if said.citation:
        parts.append(f"## Citation\n\nCite the source:\n\n```bibtex\n{said.citation}\n```")
    return "\n\n".join(parts) + "\n"


def _front_matter(front: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=1000)}---"


def _licence(name: str, access: str) -> dict[str, str]:
    # Hubs take an identifier for the name of a licence that they do not know.
    identifier = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    link = link_in(access)
    return {"license": "other", "license_name": identifier, **({"license_link": link} if link else {})}


def link_in(text: str) -> str | None:
    """The first web address in a text."""
    found = re.search(r"https?://[^\s,)]+", text)
    return found[0] if found else None


def _gate(said: Statement) -> dict[str, Any]:
    if said.terms == "open":
        return {}
    title = said.source["title"]
    return {
        "extra_gated_prompt": f"This is made from {title}, under its terms: {said.source['licence']}. "
        f"Access to the source: {said.access}.",
        "extra_gated_fields": {
            "Name": "text",
            "Affiliation": "text",
            "Purpose": "text",
            f"I hold {title} under its terms": "checkbox",
            "I will not pass this on, nor try to find out who the people are": "checkbox",
        },
    }


def _opening(said: Statement) -> str:
    if said.format == "parquet":
        lines = [
            "from datasets import load_dataset",
            "",
            'views = load_dataset("THIS_FOLDER", split="train")',
            'views[0]["frames"], views[0]["depth"], views.features["label"].names',
        ]
    else:
        lines = [
            "import webdataset",
            "",
            'views = webdataset.WebDataset("THIS_FOLDER/data/train-SHARDS.tar", shardshuffle=False)',
            'view = next(iter(views))  # the bytes of "0000.jpg", ..., "depth.png", "valid.png", "maps.npz", "json"',
        ]
    lines += [
        "",
        "import io, numpy",
        "maps = numpy.load(io.BytesIO(MAPS))",
        'maps["flow"] * maps["flow_step"]  # pixels',
    ]
    lines[-2] = lines[-2].replace("MAPS", 'views[0]["maps"]' if said.format == "parquet" else 'view["maps.npz"]')
    return "```python\n" + "\n".join(lines) + "\n```"


def _columns() -> str:
    return "\n".join(["| column | |", "|---|---|", *(f"| `{column.name}` | {column.about} |" for column in COLUMNS)])


def _classes() -> str:
    return ", ".join(f"{index} `{name}`" for index, name in enumerate(get_args(Label)))


def _counted(counts: Mapping[str, Any]) -> str:
    return (
        f"{counts['clips']} clips of {counts['subjects']} subjects, {counts['views']} views, {counts['frames']} frames"
    )


def _outcome(metrics: Mapping[str, Any]) -> str:
    lines = ["| view | clips | kept | visible attention | valid fraction |", "|---|---|---|---|---|"]
    lines += [
        f"| {view} | {of['clips']} | {of['kept']} | {of['visible_attention']:.3f} | {of['valid_fraction']:.3f} |"
        for view, of in metrics["views"].items()
    ]
    return (
        "\n".join(lines)
        + f"\n\nClasses: {_listed(metrics['labels'])}. Clips that could not be built: "
        + f"{_listed(metrics['failures']) or 'none'}. Of a clip's frames {metrics['registered']:.0%} were moved onto "
        + f"the onset frame; heads moved the face by {metrics['head_pixels']:.1f} pixels and turned by "
        + f"{metrics['head_degrees']:.1f} degrees at most, mean over clips. Frames left out because they could not be "
        + f"registered: {metrics['left_out']}."
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _software(software: Mapping[str, str | None], weights: Mapping[str, str]) -> str:
    # Digests of mvgen's own code, `mvgen.motion` and the like, are for machines.
    there = {name: version for name, version in software.items() if version is not None and "mvgen." not in name}
    lines = [f"- {name} {version}" for name, version in sorted(there.items())]
    lines += [f"- weights `{name}`: sha256 `{digest}`" for name, digest in sorted(weights.items())]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Words of a source as words: nothing in them is markup."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", escape(text, quote=False))
