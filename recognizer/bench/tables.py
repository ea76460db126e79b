"""Tables of a benchmark's results, in Markdown and LaTeX, with the published figures beside the measured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recognizer.bench.results import TRAINED_ON

Results = Mapping[str, Any]
_Rows = list[tuple[str, ...]]
_MAIN = ("source", "built", "true")
_ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "²": r"$^2$", "³": r"$^3$",
}  # fmt: skip


def markdown(results: Results) -> str:
    """`results.md`."""
    parts = [f"# {results['title'] or 'Benchmark'}\n"]
    parts += [f"{results['about']}\n"] if results["about"] else []
    parts.append(f"{_summary(results)}\n")
    for title, header, rows in _tables(results):
        lines = [_line(header), "|" + "---|" * len(header), *map(_line, rows)]
        parts.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    if gains := gain_lines(results):
        parts.append("## Gain\n\n" + "\n".join(f"- {line}" for line in gains) + "\n")
    return "\n".join(parts)


def latex(results: Results) -> str:
    """`results.tex`: tables for \\input; they need the package booktabs."""
    parts = [f"% {line}" for line in (results["title"], _summary(results))]
    for title, header, rows in _tables(results):
        body = [" & ".join(map(_tex, row)) + r" \\" for row in rows]
        parts += [
            "",
            r"\begin{table}",
            rf"\caption{{{_tex(title)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            " & ".join(map(_tex, header)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    return "\n".join(parts) + "\n"


def gain_lines(results: Results) -> list[str]:
    """A sentence for each system trained on frontal views only and also on more."""
    lines = []
    for system in results["systems"]:
        for views, gain in system["gain"].items():
            low, high = gain["interval"]
            line = (
                f"{system['label']}, {TRAINED_ON[views]} training against frontal training, on {results['headline']} "
                f"views: {_points(gain['mean'])} points ({_points(low)} to {_points(high)})"
            )
            if share := gain.get("share_of_oracle"):
                line += f"; share of the oracle's gain recovered: {_share(share)}"
            lines.append(line)
    return lines


def main_rows(results: Results) -> tuple[tuple[str, ...], _Rows]:
    """The main table: accuracy in each group of views, with the kinds of training views side by side."""
    groups = [group for group in _MAIN if group in results["groups"]]
    groups += [group for group in results["groups"] if group.startswith("dataset ")]
    columns = _published_columns(results)
    trained = list(dict.fromkeys(views for system in results["systems"] for views in system["trained_on"]))
    order = " / ".join(TRAINED_ON[views] for views in trained)
    header = ("system", *(f"{group}: {order}" for group in groups), *(f"published: {column}" for column in columns))
    rows: _Rows = []
    for system in results["systems"]:
        cells = [" / ".join(_mean(system["trained_on"].get(views), group) for views in trained) for group in groups]
        rows.append((system["label"], *cells, *(_figure(system["published"].get(column)) for column in columns)))
    for name, figures in results["published"].items():
        rows.append((name, *["-"] * len(groups), *(_figure(figures.get(column)) for column in columns)))
    return header, rows


def _tables(results: Results) -> list[tuple[str, tuple[str, ...], _Rows]]:
    header, rows = main_rows(results)
    tables = [("Accuracy", header, rows), _details(results)]
    if results["compared"]:
        tables.append(_compared(results))
    if any(group.startswith(("yaw", "true yaw")) for group in results["groups"]):
        tables.append(_by_view(results))
    return [*tables, *_confusions(results)]


def _details(results: Results) -> tuple[str, tuple[str, ...], _Rows]:
    header = ("system", "trained on", "tested on", "views", "accuracy", "95 %", "UF1", "UAR", "macro F1")
    rows: _Rows = []
    for system in results["systems"]:
        for views, groups in system["trained_on"].items():
            for group in groups:
                if group not in ("source", "built", "all", "true") and not group.startswith("dataset "):
                    continue
                found = groups[group]
                low, high = found["accuracy"]["interval"]
                spread = [_spread(found[name]) for name in ("accuracy", "uf1", "uar", "macro_f1")]
                cells = (str(found["views"]), spread[0], f"{_number(low)} to {_number(high)}", *spread[1:])
                rows.append((system["label"], TRAINED_ON[views], group, *cells))
    return "All figures (mean ± spread over seeds)", header, rows


def _compared(results: Results) -> tuple[str, tuple[str, ...], _Rows]:
    header = ("systems", "trained on", "tested on", "UF1 difference", "95 %", "p", "p, Holm")
    rows: _Rows = [
        (
            f"{pair['first']} less {pair['second']}",
            TRAINED_ON[pair["trained_on"]],
            pair["group"],
            _points(pair["uf1"]),
            " to ".join(_points(end) for end in pair["interval"]),
            f"{pair['p']:.4f}",
            f"{pair['p_holm']:.4f}",
        )
        for pair in results["compared"]
    ]
    return "Systems compared, paired by subject (points)", header, rows


def _by_view(results: Results) -> tuple[str, tuple[str, ...], _Rows]:
    views = [group for group in results["groups"] if group.startswith(("yaw", "true yaw"))]
    header = ("system", "trained on", "source", *views)
    rows: _Rows = [
        (system["label"], TRAINED_ON[trained], *(_mean(groups, group) for group in ("source", *views)))
        for system in results["systems"]
        for trained, groups in system["trained_on"].items()
    ]
    return "Accuracy by view", header, rows


def _confusions(results: Results) -> list[tuple[str, tuple[str, ...], _Rows]]:
    tables = []
    group, classes = results["headline"], results["classes"]
    for system in results["systems"]:
        for views, groups in system["trained_on"].items():
            if group in groups:
                counts = groups[group]["confusion"]
                rows = [(name, *map(str, row)) for name, row in zip(classes, counts, strict=True)]
                title = f"Confusion of {system['label']}, {TRAINED_ON[views]} training, {group} views, all seeds"
                tables.append((title, ("true class", *classes), rows))
    return tables


def _summary(results: Results) -> str:
    data, protocol = results["data"], results["protocol"]
    views = ", ".join(f"{count} {kind}" for kind, count in data["views"].items())
    side = "subjects" if protocol["by_subject"] else "clips"
    parts = [
        f"{data['clips']} clips of {data['subjects']} subjects; views: {views}",
        f"protocol {protocol['name']}, {protocol['folds']} folds, {side} apart; {len(results['seeds'])} seeds",
        "accuracy unless said otherwise; 95 % intervals by bootstrap over subjects, their clips and seeds",
    ]
    if results["labels_shuffled"]:
        parts.append("LABELS SHUFFLED: these are figures of chance")
    return ". ".join(part[0].upper() + part[1:] for part in parts) + "."


def _published_columns(results: Results) -> list[str]:
    rows = [*(system["published"] for system in results["systems"]), *results["published"].values()]
    return list(dict.fromkeys(column for row in rows for column in row))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _tex(cell: str) -> str:
    return "".join(_ESCAPED.get(letter, letter) for letter in cell)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f}"


def _share(share: Mapping[str, Any]) -> str:
    if share["mean"] is None:
        return "none to recover"
    low, high = share["interval"]
    ends = "" if low is None else f" ({low:.0%} to {high:.0%})"
    return f"{share['mean']:.0%}{ends}"


def _mean(groups: Mapping[str, Any] | None, group: str) -> str:
    return "-" if groups is None or group not in groups else _number(groups[group]["accuracy"]["mean"])


def _spread(figure: Mapping[str, Any]) -> str:
    return f"{_number(figure['mean'])} ± {_number(figure['spread'])}"


def _figure(value: float | str | None) -> str:
    return "-" if value is None else str(value)
