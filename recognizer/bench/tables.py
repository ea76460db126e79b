"""Tables of a benchmark's results, in Markdown and LaTeX, with the published figures beside the measured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from recognizer.bench.results import TRAINED_ON

Results = Mapping[str, Any]
_Rows = list[tuple[str, ...]]
_MAIN = ("source", "built", "true")
_MEASURED = {"accuracy": "accuracy", "uf1": "UF1", "uar": "UAR", "macro_f1": "macro F1", "micro_f1": "micro F1"}
_ESCAPED = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "²": r"$^2$", "³": r"$^3$",
}  # fmt: skip


class Table(NamedTuple):
    """A table as text. notes : printed below it"""

    title: str
    header: tuple[str, ...]
    rows: _Rows
    notes: tuple[str, ...] = ()


def markdown(results: Results) -> str:
    """`results.md`."""
    parts = [f"# {results['title'] or 'Benchmark'}\n"]
    parts += [f"{results['about']}\n"] if results["about"] else []
    parts.append(f"{_summary(results)}\n")
    for title, header, rows, notes in _tables(results):
        lines = [_line(header), "|" + "---|" * len(header), *map(_line, rows)]
        parts.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
        parts += ["".join(f"{note}  \n" for note in notes)] if notes else []
    if gains := gain_lines(results):
        parts.append("## Gain\n\n" + "\n".join(f"- {line}" for line in gains) + "\n")
    return "\n".join(parts)


def latex(results: Results) -> str:
    """`results.tex`: tables for \\input; they need the package booktabs."""
    parts = [f"% {line}" for line in (results["title"], _summary(results))]
    for title, header, rows, notes in _tables(results):
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
            *(rf"\par\footnotesize {_tex(note)}" for note in notes),
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


def main_table(results: Results) -> Table:
    """Accuracy in each group of views, with the kinds of training views side by side, and what was published.

    Where the config says which measured figure a published column means, that figure stands before it.
    """
    groups = [group for group in _MAIN if group in results["groups"]]
    wide = [*groups, *(group for group in results["groups"] if group.startswith("dataset "))]
    columns = _published_columns(results)
    beside = {column: name for column, name in results["beside"].items() if name != "accuracy"}
    trained = list(dict.fromkeys(views for system in results["systems"] for views in system["trained_on"]))
    order = " / ".join(TRAINED_ON[views] for views in trained)
    header = ["system", *(f"{group}: {order}" for group in wide)]
    for column in columns:
        if column in beside:
            header += [f"{_MEASURED[beside[column]]}, {group}: {order}" for group in groups]
        header.append(f"published: {column}")
    notes: list[str] = []
    others = [{"label": name, "published": row, "trained_on": {}} for name, row in results["published"].items()]
    numbered = [*(system["published_notes"] for system in results["systems"]), *results["published_notes"].values()]
    rows: _Rows = []
    for system, told in zip([*results["systems"], *others], numbered, strict=True):

        def cell(group: str, name: str = "accuracy", system: Results = system) -> str:
            found = [_mean(system["trained_on"].get(views), group, name) for views in trained]
            return " / ".join(found) if system["trained_on"] else "-"

        cells = [cell(group) for group in wide]
        for column in columns:
            if column in beside:
                cells += [cell(group, beside[column]) for group in groups]
            cells.append(_figure(system["published"].get(column)))
            if column in told:
                if told[column] not in notes:
                    notes.append(told[column])
                cells[-1] += f" [{notes.index(told[column]) + 1}]"
        rows.append((system["label"], *cells))
    title = "Accuracy, and the figures that were published" if beside else "Accuracy"
    return Table(title, tuple(header), rows, tuple(f"[{number}] {note}" for number, note in enumerate(notes, 1)))


def _tables(results: Results) -> list[Table]:
    tables = [main_table(results), _details(results)]
    if gains := _gains(results):
        tables.append(gains)
    tables += [table for table in (_compared(results), _compared_trainings(results)) if table.rows]
    if any(group.startswith(("yaw", "true yaw")) for group in results["groups"]):
        tables.append(_by_view(results))
    return [*tables, *_confusions(results)]


def _details(results: Results) -> Table:
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
    return Table("All figures (mean ± spread over seeds)", header, rows)


def _gains(results: Results) -> Table | None:
    header = ["system", "trained on", "tested on"]
    for name in ("accuracy", "UF1", "UAR"):
        header += [name, "95 %", "share of the oracle's"]
    rows: _Rows = []
    for system in results["systems"]:
        for group, gains in {results["headline"]: system["gain"], **system["gain_by_dataset"]}.items():
            for views, gain in gains.items():
                cells = []
                for one in (gain, gain["uf1"], gain["uar"]):
                    share = one.get("share_of_oracle")
                    cells += [_points(one["mean"]), _ends(one["interval"]), _share(share) if share else "-"]
                rows.append((system["label"], TRAINED_ON[views], group, *cells))
    return Table("Gain over frontal training (points)", tuple(header), rows) if rows else None


_DIFFERENCES = tuple(cell for name in ("UF1", "UAR") for cell in (f"{name} difference", "95 %", "p", "p, Holm"))


def _differences(pair: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        cell
        for one in (pair["uf1"], pair["uar"])
        for cell in (_points(one["difference"]), _ends(one["interval"]), f"{one['p']:.4f}", f"{one['p_holm']:.4f}")
    )


def _compared(results: Results) -> Table:
    rows: _Rows = [
        (
            f"{pair['first']} less {pair['second']}",
            TRAINED_ON[pair["trained_on"]],
            pair["group"],
            *_differences(pair),
        )
        for pair in results["compared"]
    ]
    return Table(
        "Systems compared, paired by subject (points)", ("systems", "trained on", "tested on", *_DIFFERENCES), rows
    )


def _compared_trainings(results: Results) -> Table:
    rows: _Rows = [
        (
            pair["system"],
            f"{TRAINED_ON[pair['first']]} less {TRAINED_ON[pair['second']]}",
            pair["group"],
            *_differences(pair),
        )
        for pair in results["compared_trainings"]
    ]
    return Table(
        "Trainings compared, paired by subject (points)", ("system", "trainings", "tested on", *_DIFFERENCES), rows
    )


def _by_view(results: Results) -> Table:
    views = [group for group in results["groups"] if group.startswith(("yaw", "true yaw"))]
    header = ("system", "trained on", "source", *views)
    rows: _Rows = [
        (system["label"], TRAINED_ON[trained], *(_mean(groups, group) for group in ("source", *views)))
        for system in results["systems"]
        for trained, groups in system["trained_on"].items()
    ]
    return Table("Accuracy by view", header, rows)


def _confusions(results: Results) -> list[Table]:
    tables = []
    group, classes = results["headline"], results["classes"]
    for system in results["systems"]:
        for views, groups in system["trained_on"].items():
            if group in groups:
                counts = groups[group]["confusion"]
                rows = [(name, *map(str, row)) for name, row in zip(classes, counts, strict=True)]
                title = f"Confusion of {system['label']}, {TRAINED_ON[views]} training, {group} views, all seeds"
                tables.append(Table(title, ("true class", *classes), rows))
        if published := system["published_confusion"]:
            counts, note = published["counts"], published["note"]
            hits, total = sum(row[place] for place, row in enumerate(counts)), sum(map(sum, counts))
            rows = [(name, *map(str, row)) for name, row in zip(classes, counts, strict=True)]
            title = f"Confusion of {system['label']} as published, {hits} of {total} right ({hits / total:.1%})"
            tables.append(Table(title, ("true class", *classes), rows, (note,) if note else ()))
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


def _ends(interval: Sequence[float | None]) -> str:
    return " to ".join(map(_points, interval))


def _share(share: Mapping[str, Any]) -> str:
    if share["mean"] is None:
        return "none to recover"
    low, high = ("no bound" if end is None else f"{end:.0%}" for end in share["interval"])
    return f"{share['mean']:.0%} ({low} to {high})"


def _mean(groups: Mapping[str, Any] | None, group: str, name: str = "accuracy") -> str:
    return "-" if groups is None or group not in groups else _number(groups[group][name]["mean"])


def _spread(figure: Mapping[str, Any]) -> str:
    return f"{_number(figure['mean'])} ± {_number(figure['spread'])}"


def _figure(value: float | str | None) -> str:
    return "-" if value is None else str(value)
