"""Run a benchmark: its units are run and stored, then summarised in tables.

results.json results.md results.tex       the results; the same bytes whether or not the run was interrupted
accuracy_over_yaw.png confusion.png
bench.json units/                         settings of the benchmark, and a file for every finished unit
inputs/ samples/                          prepared inputs and cached samples; may be removed at the end
checkpoints/ tensorboard/
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mvgen.core.config import canonical_json
from mvgen.core.errors import StoreError
from mvgen.core.files import disk_errors, write_atomically
from mvgen.engine import local
from mvgen.store.manifest import digest_of
from mvgen.store.state import locked
from recognizer.bench.action_units import summarise_units, units_markdown
from recognizer.bench.results import summarise
from recognizer.bench.tables import latex, markdown
from recognizer.bench.units import (
    Plan,
    Prediction,
    Unit,
    bench_identity,
    list_units,
    make_worker,
    open_bench_data,
    prepared,
    read_unit,
    write_unit,
)
from recognizer.code import TRAINING_CODE, code_digest
from recognizer.config import BenchConfig
from recognizer.learning.fit import Device

Say = Callable[[str], None]

_BENCH, _RESULTS = "bench.json", "results.json"


def run_bench(
    config: BenchConfig,
    out: Path,
    *,
    folder: Path | None = None,
    device: Device | None = None,
    workers: int = 1,
    tensorboard: bool = True,
    say: Say = print,
) -> dict[str, Any]:
    """Run or resume a benchmark, and write its results.

    folder : of prepared inputs, `out` by default; benchmarks of the same data may share one
    workers : parallel units, each with one thread; results do not depend on it
    Returns the content of results.json. Raises StoreError for a folder with another benchmark or other files, and the
    errors of the data and the systems.
    """
    device = device or Device()
    folder = folder or out
    _check_folder(out)
    data = open_bench_data(config, folder)
    code = code_digest(TRAINING_CODE)
    identity = bench_identity(config, data, code) | {"precision": "bfloat16" if device.half else "float32"}
    _check_identity(out, identity)
    plan = Plan(config, out, folder, device, digest_of(identity), tensorboard)
    units = list_units(config, data)
    with locked(out):
        with disk_errors(out):
            write_atomically(out / _BENCH, canonical_json(identity).encode())
        found = {unit: stored for unit in units if (stored := read_unit(plan, unit)) is not None}
        if found:
            say(f"resuming: {len(found)} of {len(units)} runs are finished already")
        todo = [unit for unit in units if unit not in found]
        for number in dict.fromkeys(unit.system for unit in todo):
            prepared(
                plan, data, number, workers, partial(_report_progress, say, f"{config.systems[number].title}: prepared")
            )
        # All systems in one run: workers start once, and none waits for the last unit of a system.
        for outcome in local.run(todo, partial(make_worker, plan), workers):
            if outcome.error is not None:
                raise outcome.error
            assert outcome.result is not None
            unit = outcome.item
            write_unit(plan, unit, outcome.result)
            found[unit] = outcome.result
            title, hits = config.systems[unit.system].title, _hits(data.entries, outcome.result)
            say(f"[{len(found)}/{len(units)}] {title}, {_unit_text(unit)}: {hits}")
        if any(entry.units for entry in data.entries):
            results = summarise_units(config, data, found)
            with disk_errors(out):
                write_atomically(out / "results.md", units_markdown(results).encode())
                write_atomically(out / _RESULTS, canonical_json(results).encode())
            return results
        results = summarise(config, data, found)
        _write(out, results)
    return results


def _unit_text(unit: Unit) -> str:
    return f"trained on {unit.views}, {unit.fold}, seed {unit.seed}"


def _hits(entries: Any, predictions: tuple[Prediction, ...]) -> str:
    if any(entry.units for entry in entries):
        units = {(entry.clip, entry.view): np.array(entry.units) for entry in entries}
        right = [(np.array(each.scores) > 0.5) == units[each.clip, each.view] for each in predictions]
        return f"{np.mean(right):.0%} of the action units of {len(predictions)} test views"
    labels = {(entry.clip, entry.view): entry.label for entry in entries}
    hits = sum(max(range(len(each.scores)), key=each.scores.__getitem__) == labels[each.clip, each.view]
               for each in predictions)  # fmt: skip
    return f"{hits} of {len(predictions)} test views"


def _report_progress(say: Say, what: str, done: int, total: int) -> None:
    if done == total or done % max(1, total // 10) == 0:
        say(f"{what} {done} of {total} views")


def _check_folder(out: Path) -> None:
    """Raises StoreError for a folder with other files."""
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out} is a file; give a folder with --out")
    if out.exists() and any(out.iterdir()) and not (out / _BENCH).is_file():
        own = {"samples", "inputs", ".lock"}
        foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in own)
        if foreign:
            raise StoreError(f"{out} holds files of no benchmark ({foreign[0]}); choose an empty folder for --out")


def _check_identity(out: Path, identity: dict[str, Any]) -> None:
    """Raises StoreError, naming the differences, for a folder with another benchmark."""
    path = out / _BENCH
    if not path.is_file():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise StoreError(f"{path} is damaged; remove {out} or choose another --out") from None
    if before == identity:
        return
    settings, there = identity["settings"], before.get("settings", {})
    differing = [name for name in settings if settings[name] != there.get(name)]
    differing += [name for name in ("classes", "views", "code", "precision") if identity[name] != before.get(name)]
    raise StoreError(
        f"{out} holds a benchmark that differs in {', '.join(differing)}; "
        "use the same settings and data to resume it, or choose another --out"
    )


def _write(out: Path, results: dict[str, Any]) -> None:
    from recognizer.bench.plots import plots

    with disk_errors(out):
        for name, content in plots(results).items():
            write_atomically(out / name, content)
        write_atomically(out / "results.md", markdown(results).encode())
        write_atomically(out / "results.tex", latex(results).encode())
        write_atomically(out / _RESULTS, canonical_json(results).encode())
