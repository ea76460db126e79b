"""Cards of recipes and datasets: README.md with the front matter that dataset hubs read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any, get_args

import yaml

from mvgen.core.records import Label
from mvgen.publish.formats.columns import COLUMNS
from mvgen.publish.recipe import CROISSANT, MANIFEST, RECIPE, Recipe
from mvgen.publish.statement import Statement, departures
from mvgen.store import layout

# Size categories of dataset hubs, by rows.
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def recipe_card(recipe: Recipe) -> str:
    """A recipe's card, as Markdown."""
    source, counts = recipe.source, recipe.counts
    front = {
        "pretty_name": f"Recipe of a multi-view {source.title}",
        **_licence(source.licence, source.access),
        "source_datasets": [source.name],
        "tags": ["mvgen", "recipe", "multi-view", "micro-expression"],
    }
    title = _plain(source.title)
    left = departures([one.reason for one in recipe.forgotten])
    parts = [
        _front_matter(front),
        f"# Recipe of a multi-view {title}",
        f"This recipe contains no images, depth, flow or landmarks of anyone. With a copy of {title} it rebuilds the "
        f"same dataset ({_counted(counts)}) and checks that every byte is the same.",
        "```bash\n"
        f"pip install mvgen=={recipe.software.get('mvgen')}\n"
        "mvgen rebuild THIS_FOLDER --root FOLDER_OF_THE_SOURCE --out multi-view\n"
        "```",
        f"- Source: {title} ({_plain(source.version)}), read as `{source.name}`\n"
        f"- Its terms: {_plain(source.licence)}; redistribution: {source.redistribution}\n"
        f"- Access: {_plain(source.access)}\n"
        f"- Permission: {_plain(recipe.permission) if recipe.permission else 'none claimed, none needed'}",
        f"`{RECIPE}` lists the settings, the software versions, and the digests of the weights, the annotations and "
        f"every clip of the source. `{MANIFEST}` lists the sha256 of all {recipe.result.files} files of the dataset, "
        "in the format of `sha256sum --check`.",
        f"## Results\n\n{_outcome(recipe.metrics)}",
        *([f"## Withdrawals\n\n{_plain(left)}"] if left else []),
        f"## Made with\n\n{_software(recipe.software, recipe.weights)}",
    ]
    return "\n\n".join(parts) + "\n"


def dataset_card(facts: Statement) -> str:
    """The card of a dataset with its pixels, as Markdown."""
    source, title = facts.source, _plain(facts.source["title"])
    splits = [split for split, count in facts.counts["splits"].items() if count["views"]]
    front = {
        "pretty_name": facts.title,
        **_licence(source["licence"], facts.access),
        "source_datasets": [source["name"]],
        "task_categories": ["video-classification"],
        "size_categories": [next((name for limit, name in _SIZES if facts.counts["views"] < limit), "n>10M")],
        "tags": ["mvgen", "multi-view", "micro-expression", "optical-flow", "depth"],
        **_gate(facts),
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*{facts.suffix}"} for split in sorted(splits)],
            }
        ],
    }
    parts = [
        _front_matter(front),
        f"# {_plain(facts.title)}",
        f"{_counted(facts.counts)}, made from {title} with mvgen {_plain(str(facts.software.get('mvgen')))}: the face "
        "of each clip is reconstructed in 3D and rendered from other angles. Each subject is in one split only.",
    ]
    if facts.stand_in:
        parts.append(
            f"**These are stand-ins:** synthetic performances of parametric heads in the layout of {title}. They "
            "contain no frame of the release, and results on stand-ins are not results on the release."
        )
    parts += [
        f"- Source: {title} ({_plain(source['version'])}), read as `{source['name']}`\n"
        f"- Its terms: {_plain(source['licence'])}; redistribution: {facts.terms}\n"
        f"- Access to the source: {_plain(facts.access)}\n"
        f"- Permission: {_plain(facts.permission) if facts.permission else 'none claimed'}\n"
        f"- Published by: {_plain(facts.creator)}; for {facts.readers}",
        f"## Loading\n\n{_opening(facts)}",
        f"## Columns\n\nOne row for each view of each clip. `label` is one of {_classes()}.\n\n{_columns()}",
        f"`{layout.DATASET}` lists all settings, versions and digests of the build; `{CROISSANT}` describes the files "
        f"to software; `sha256sum --check {MANIFEST}` checks every file.",
        f"## Results\n\n{_outcome(facts.metrics)}",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in (*facts.limits, *facts.biases)),
        f"## People\n\n{facts.people}",
        *([f"## Withdrawals\n\n{_plain(facts.departures)}"] if facts.departures else []),
        f"## Made with\n\n{_software(facts.software, facts.weights)}",
    ]
    if facts.citation:
        parts.append(f"## Citation\n\nCite the source:\n\n```bibtex\n{facts.citation}\n```")
    return "\n\n".join(parts) + "\n"


def _front_matter(front: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=1000)}---"


def _licence(name: str, access: str) -> dict[str, str]:
    # Hubs expect an identifier as the name of a licence that is not on their list.
    identifier = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    link = link_in(access)
    return {"license": "other", "license_name": identifier, **({"license_link": link} if link else {})}


def link_in(text: str) -> str | None:
    """The first web address in a text."""
    found = re.search(r"https?://[^\s,)]+", text)
    return found[0] if found else None


def _gate(facts: Statement) -> dict[str, Any]:
    if facts.terms == "open":
        return {}
    title = facts.source["title"]
    return {
        "extra_gated_prompt": f"This dataset is made from {title} and is under its terms: {facts.source['licence']}. "
        f"Access to the source: {facts.access}.",
        "extra_gated_fields": {
            "Name": "text",
            "Affiliation": "text",
            "Purpose": "text",
            f"I hold {title} under its terms": "checkbox",
            "I will not pass this on, and will not try to identify the people": "checkbox",
        },
    }


def _opening(facts: Statement) -> str:
    if facts.format == "parquet":
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
    lines[-2] = lines[-2].replace("MAPS", 'views[0]["maps"]' if facts.format == "parquet" else 'view["maps.npz"]')
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
        + f"{_listed(metrics['failures']) or 'none'}. Means over clips: {metrics['registered']:.0%} "
        + f"of the frames registered onto the onset frame; largest head motion {metrics['head_pixels']:.1f} pixels, "
        + f"largest head turn {metrics['head_degrees']:.1f} degrees. Frames left out because they could not be "
        + f"registered: {metrics['left_out']}."
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _software(software: Mapping[str, str | None], weights: Mapping[str, str]) -> str:
    # Digests of mvgen's own code, such as `mvgen.motion`, are of no use to people.
    there = {name: version for name, version in software.items() if version is not None and "mvgen." not in name}
    lines = [f"- {name} {version}" for name, version in sorted(there.items())]
    lines += [f"- weights `{name}`: sha256 `{digest}`" for name, digest in sorted(weights.items())]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text of a source with its markup escaped."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", escape(text, quote=False))
