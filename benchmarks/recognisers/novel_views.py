"""How well are faces read from the side after training on the front, on our views, and on true side views?

    python benchmarks/recognisers/novel_views.py --ict ICT-FaceKit --out novel_views.json

One command makes a stand-in, builds it, trains and tests. Heads are ICT's, which drift, under lamps that stay; the
pipeline is as shipped. Tested are true side views, in which the face is found by the same detector and landmarks as in
any clip. All settings are in `configs/bench/novel_view_small.yaml`; they were chosen on a stand-in of another seed:

    python benchmarks/recognisers/novel_views.py --ict ICT-FaceKit --choose --subjects 12

tries the same number of settings of every system there, four, and prints the accuracy of each. A setting's figure is
its mean over training on the front, on our views and on true side views, each tested on subjects that it was not
trained on.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import Report, command_line, run_script
from mvgen.building.build import build
from mvgen.core.angles import parse_angles
from mvgen.core.settings import load_config
from mvgen.evaluation.tables import Rows
from mvgen.synth.commands import synth
from recognizer.bench.run import run_bench
from recognizer.config import BenchConfig, load_bench
from recognizer.readers.config import DataConfig, open_data
from recognizer.readers.truth import face_is_shown

CONFIGS = Path("configs/bench")
CHOSEN, TRIED = CONFIGS / "novel_view_small.yaml", CONFIGS / "novel_view_choice.yaml"
CHOICE_SEED, SEED = 1, 2
ANGLES, DRIFT = "-45:45:30", 0.7  # degrees
ROWS = {"source": "the front", "all": "our views", "any": "our views, any angle", "true": "true side views (oracle)"}

_say = partial(print, flush=True)


class Clock:
    """Wall and processor seconds of each stage."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []

    def total(self) -> tuple[str, float, float]:
        return "all", sum(row[1] for row in self.rows), sum(row[2] for row in self.rows)

    @contextmanager
    def __call__(self, stage: str) -> Any:
        began, used = time.monotonic(), _processor()
        yield
        wall, processor = time.monotonic() - began, _processor() - used
        self.rows.append((stage, wall / 60, processor / 60))
        _say(f"{stage}: {wall / 60:.1f} min, processor {processor / 60:.1f} min")


def _processor() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def make_data(given: argparse.Namespace, seed: int, clock: Clock) -> dict[str, Any]:
    """A stand-in and its store, made unless they are there; the data of a benchmark."""
    folder = given.work / f"seed-{seed}"
    with clock("stand-in"):
        if not (folder / "truth" / "truth.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            synth(
                layout="smic", out=folder / "stand-in", truth=folder / "truth", subjects=given.subjects,
                clips=given.clips, frames=given.frames, size=(320, 240), seed=seed, ict=given.ict,
                angles=parse_angles(ANGLES), drift=DRIFT, maps=False, report=_say, workers=given.workers,
            )  # fmt: skip
    with clock("build"):
        run = {"out": folder / "dataset", "workers": given.workers}
        summary = build(
            load_config(
                None,
                {
                    "source": {"dataset": "smic", "root": folder / "stand-in"},
                    "camera": {"angles": parse_angles(ANGLES), "size": 128},
                    "run": run,
                },
            )
        )
        _say(f"{summary.clips} clips, {len(summary.failures)} failures")
    return {"stores": (folder / "dataset",), "truth": folder / "truth"}


def bench(given: argparse.Namespace, config: BenchConfig, name: str, cache: Path) -> dict[str, Any]:
    """Results of a benchmark. name : of its folder in WORK; cache : samples and inputs"""
    return run_bench(config, given.work / name, folder=cache, workers=given.workers, tensorboard=False, say=_say)


def choose(given: argparse.Namespace, report: Report) -> None:
    """Print the figure of every setting that was tried."""
    clock = Clock()
    data = make_data(given, CHOICE_SEED, clock)
    with clock("training and testing"):
        results = bench(given, load_bench(TRIED, {"data": data}), "choice", given.work / "choice-cache")
    rows: Rows = []
    for system in results["systems"]:
        found = {views: groups["true"]["accuracy"]["mean"] for views, groups in system["trained_on"].items()}
        mean = sum(found[views] for views in ("source", "all", "true")) / 3
        rows.append([system["label"], *(100 * found[views] for views in found), 100 * mean])
    report.section(f"Settings tried on a stand-in of seed {CHOICE_SEED}: accuracy on true side views, %")
    report.table(("system", *(ROWS[views] for views in results["systems"][0]["trained_on"]), "figure"), rows, 1)
    report.section("Time, minutes")
    report.table(("stage", "wall", "processor"), [*clock.rows, clock.total()], 1)


def measure(given: argparse.Namespace, report: Report) -> None:
    """Print the table of novel views."""
    clock, cache = Clock(), given.work / "cache"
    data = make_data(given, SEED, clock)
    config = load_bench(CHOSEN, {"data": data})
    with clock("training and testing"):
        results = bench(given, config, "bench", cache)
    _say(f"\n{results['data']}\n")
    report.section("Accuracy on true side views, %, with 95 % intervals over subjects, their clips and seeds")
    report.table(("system", "trained on", "accuracy", "95 %", "UF1", "gain, points", "share of the oracle's gain"),
                 headline_rows(results))  # fmt: skip
    yaws = [group for group in results["groups"] if group.startswith("true yaw")]
    report.section("By yaw")
    report.table(("system", "trained on", "front", *yaws), by_yaw(results, ["source", *yaws]), 1)
    report.section("Recall by class, true side views")
    report.table(("system", "trained on", *results["classes"]), by_class(results), 1)
    report.section("Faces that were not found in true side views")
    report.table(("view", "clips", "no face found"), not_found(config, cache))
    report.section("Settings")
    report.table(("system", "options", "training"), settings_rows(results))
    if given.ablations:
        with clock("ablations"):
            ablations(given, data, cache, report)
    report.section("Time, minutes")
    report.table(("stage", "wall", "processor"), [*clock.rows, clock.total()], 1)


def headline_rows(results: Mapping[str, Any]) -> Rows:
    """A row for each system and kind of training views."""
    rows: Rows = []
    for system in results["systems"]:
        for views, groups in system["trained_on"].items():
            found, gain = groups["true"], system["gain"].get(views)
            share = None if gain is None else gain.get("share_of_oracle")
            rows.append(
                [
                    system["label"], ROWS[views], f"{100 * found['accuracy']['mean']:.1f}",
                    _span(found["accuracy"]["interval"]), f"{found['uf1']['mean']:.3f}",
                    "-" if gain is None else f"{100 * gain['mean']:+.1f} ({_span(gain['interval'])})",
                    "-" if share is None or share["mean"] is None
                    else f"{share['mean']:.0%} ({_span(share['interval'], 0)})",
                ]
            )  # fmt: skip
    return rows


def _span(interval: Sequence[float | None], digits: int = 1) -> str:
    """An interval of shares in per cent."""
    low, high = interval
    return "-" if low is None or high is None else f"{100 * low:.{digits}f} to {100 * high:.{digits}f}"


def by_yaw(results: Mapping[str, Any], groups: Sequence[str]) -> Rows:
    return [
        [system["label"], ROWS[views], *(100 * found[group]["accuracy"]["mean"] for group in groups)]
        for system in results["systems"]
        for views, found in system["trained_on"].items()
    ]


def by_class(results: Mapping[str, Any]) -> Rows:
    rows: Rows = []
    for system in results["systems"]:
        for views, found in system["trained_on"].items():
            counts = found["true"]["confusion"]
            rows.append([system["label"], ROWS[views], *(100 * row[n] / sum(row) for n, row in enumerate(counts))])
    return rows


def not_found(config: BenchConfig, cache: Path) -> Rows:
    """How many clips of each true view show no face to the detector and the landmarks; they are tested on all black."""
    reader = open_data(config.data, cache / "samples")
    views: dict[str, list[bool]] = {}
    for index, entry in enumerate(reader.entries):
        if entry.kind == "true":
            views.setdefault(entry.view, []).append(face_is_shown(reader.read(index)))
    return [[view, len(shown), len(shown) - sum(shown)] for view, shown in views.items()]


def settings_rows(results: Mapping[str, Any]) -> Rows:
    def text(values: Mapping[str, Any] | None) -> str:
        return "-" if values is None else ", ".join(f"{name} {value}" for name, value in values.items())

    return [[system["label"], text(system["options"]), text(system["training"])] for system in results["systems"]]


def ablations(given: argparse.Namespace, data: Mapping[str, Any], cache: Path, report: Report) -> None:
    """What `motion-views` gains from what only a store has; one seed. True views have no signals."""
    (chosen,) = (one for one in load_bench(CHOSEN, {"data": data}).systems if one.name == "motion-views")
    without = {
        "with mask and context": {"mask": True, "context": True}, "without mask": {"mask": False, "context": True},
        "without context": {"mask": True, "context": False}, "without both": {"mask": False, "context": False},
    }  # fmt: skip
    signals = open_data(DataConfig(stores=data["stores"])).read(0).signals
    assert signals is not None
    known = {**without, "with all, and signals": {"mask": True, "context": True, "signals": signals.shape[1]}}
    rows: Rows = []
    for tested, cases, truth in (("true", without, data["truth"]), ("all", known, None)):
        settings: dict[str, Any] = {
            "data": {**data, "truth": truth}, "protocol": {"name": "novel-view", "folds": 3}, "train": ("all",),
            "seeds": 1, "systems": [
                {"name": chosen.name, "label": label, "training": chosen.training, "options": {**chosen.options, **own}}
                for label, own in cases.items()
            ],
        }  # fmt: skip
        config = BenchConfig(**settings)
        results = bench(given, config, f"ablations-{tested}", cache)
        for system in results["systems"]:
            found = system["trained_on"]["all"][tested]["accuracy"]
            what = "true side views" if tested == "true" else "front and our views"
            rows.append([system["label"], what, f"{100 * found['mean']:.1f}", _span(found["interval"], 100)])
    report.section("motion-views trained on our views: what a store's extras give, one seed, %")
    report.table(("inputs", "tested on", "accuracy", "95 %"), rows)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--ict", type=Path, help="a clone of ICT-FaceKit; without it the heads are Anny's")
    parser.add_argument("--work", type=Path, help="folder that is kept, to resume; by default a temporary one")
    parser.add_argument("--choose", action="store_true", help="print the figures that the settings were chosen by")
    parser.add_argument("--subjects", type=int, default=16)
    parser.add_argument("--clips", type=int, default=6, help="of a subject")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-ablations", dest="ablations", action="store_false", help="leave out what extras give")
    given = parser.parse_args()
    about = f"heads of {'Anny' if given.ict is None else 'ICT'}; stand-ins, never a release"
    with tempfile.TemporaryDirectory() as folder:
        given.work = given.work or Path(folder)
        report = Report(__file__, given, about)
        (choose if given.choose else measure)(given, report)


if __name__ == "__main__":
    run_script(main)
