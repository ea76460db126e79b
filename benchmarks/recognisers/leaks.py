"""Does a split leak? Labels are shuffled between clips, so that only a leak can be learned. Prints a Markdown table.

    python benchmarks/recognisers/leaks.py --data DATASET --second DATASET --draws 5 --out leaks.json

Every protocol, with several draws of labels and folds; trained on all views, tested on all views of other clips. Recall
is averaged over the classes (UAR), since predicting the most frequent one is no leak: chance is one over the number of
classes. A second dataset is for the composite protocol, which needs two; the first one's clips under another name will
do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from benchmarks.common import Report, command_line, run_script
from mvgen.evaluation.tables import Rows
from recognizer.bench.run import run_bench
from recognizer.config import BenchConfig
from recognizer.evaluation.protocols import Name

FOLDS = {"subject-folds": 3, "novel-view": 3, "lovo": 6}


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--second", type=Path)
    parser.add_argument("--systems", default="lbp-top,bi-woof", help="names between commas")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/leaks"), help="folder of the trained systems")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    rows: Rows = []
    systems = [{"name": name} for name in given.systems.split(",")]
    for protocol in get_args(Name):
        stores = [given.data]
        if protocol == "megc":
            if given.second is None:
                continue
            stores.append(given.second)
        found = [_shuffled(protocol, draw, stores, systems, given.runs, given.workers) for draw in range(given.draws)]
        for number, system in enumerate(systems):
            figures = [results["systems"][number]["trained_on"]["all"]["all"]["uar"] for results in found]
            chance = 1 / len(found[0]["classes"])
            within = sum(figure["interval"][0] <= chance <= figure["interval"][1] for figure in figures)
            mean = sum(figure["mean"] for figure in figures) / len(figures)
            spans = ", ".join("{:.2f} to {:.2f}".format(*figure["interval"]) for figure in figures)
            rows.append([protocol, system["name"], chance, mean, f"{within} of {len(figures)}", spans])
    header = ("protocol", "system", "chance", "UAR, labels shuffled", "chance within 95 %", "intervals")
    Report(__file__, given).table(header, rows)


def _shuffled(  # noqa: PLR0917
    protocol: str, draw: int, stores: list[Path], systems: list[dict[str, str]], out: Path, workers: int
) -> dict[str, Any]:
    settings = BenchConfig(
        data={"stores": stores}, protocol={"name": protocol, "folds": FOLDS.get(protocol), "seed": draw},
        train=("all",), seeds=1, systems=systems, shuffle_labels=True,
    )  # type: ignore[arg-type]  # fmt: skip
    folder = out / f"{protocol}-{draw}"
    return run_bench(settings, folder, folder=out / "inputs", workers=workers, tensorboard=False, say=lambda _: None)


if __name__ == "__main__":
    run_script(main)
