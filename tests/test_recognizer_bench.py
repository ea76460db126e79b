from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recognizer_trees import PatternReader, install_systems, make_store

import recognizer.bench.units
from mvgen.core.console import run_app
from mvgen.core.errors import ConfigError, StoreError
from mvgen.store import layout
from recognizer.bench.plots import plots
from recognizer.bench.results import summarise
from recognizer.bench.run import run_bench
from recognizer.bench.tables import gain_lines, latex, markdown
from recognizer.bench.units import Data, Prediction, Unit
from recognizer.cli import app
from recognizer.config import BenchConfig, figures_of, load_bench, notes_of
from recognizer.errors import RecogniserError
from recognizer.evaluation.protocols import Protocol, make_folds

pytestmark = pytest.mark.slow

install_systems()
BENCHES = sorted((Path(__file__).parent.parent / "configs" / "bench").glob("*.yaml"))
TABLES = ("results.json", "results.md", "results.tex", "confusion.png", "accuracy_over_yaw.png")


def config(**settings: Any) -> BenchConfig:
    values = {"systems": [{"name": "nearest"}], "seeds": 1, "protocol": {"name": "subject-folds", "folds": 3}}
    return BenchConfig(**{**values, **settings})


def patterns(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Let benchmarks read patterns instead of the configured data."""
    monkeypatch.setattr(recognizer.bench.units, "open_data", lambda config, keep: PatternReader(**settings))


def accuracy(results: dict[str, Any], views: str = "all", group: str = "all") -> dict[str, Any]:
    return results["systems"][0]["trained_on"][views][group]["accuracy"]


# Leaks


@pytest.mark.parametrize(
    "protocol",
    [
        {"name": "clip-holdout", "share": 0.4},
        {"name": "lovo", "folds": 6},
        {"name": "subject-holdout", "share": 0.4},
        {"name": "subject-folds", "folds": 4},
        {"name": "novel-view", "folds": 4},
        {"name": "loso"},
        {"name": "megc"},
        {"name": "stored"},
    ],
    ids=lambda protocol: protocol["name"],
)
def test_shuffled_labels_are_recognised_at_chance_under_every_protocol(
    protocol: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns(monkeypatch, subjects=12, clips=9, datasets=2, strength=0.5)
    settings = config(protocol=protocol, train=("all",), shuffle_labels=True)
    found = accuracy(run_bench(settings, tmp_path / "out", say=lambda _: None), "all")
    low, high = found["interval"]
    assert low <= round(1 / 3, 6) <= high  # results have six digits
    assert found["mean"] < 0.5


def test_a_split_that_leaks_would_be_seen_on_shuffled_labels() -> None:
    """The same classifier on views of training clips: the leak that the test above would find."""
    from recognizer_trees import Nearest

    reader, system = PatternReader(strength=0.5), Nearest()
    features = np.stack([system.prepare(reader.read(i))["features"] for i in range(len(reader.entries))])
    labels = np.repeat(np.random.default_rng(0).integers(0, 3, len(reader.entries) // 3), 3)
    side = np.array([entry.view == "source" for entry in reader.entries])
    learned = system.classifier(0).fit(features[~side], labels[~side])  # type: ignore[attr-defined]
    assert (learned.predict(features[side]) == labels[side]).mean() > 0.9


def test_what_can_be_learned_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns(monkeypatch)
    results = run_bench(config(systems=[{"name": "tiny-network"}], train=("source",)), tmp_path / "out")
    assert accuracy(results, "source")["mean"] > 0.9


# Results


def _fixed(predicted: dict[str, dict[str, list[int]]]) -> tuple[BenchConfig, Data, dict[Unit, tuple[Prediction, ...]]]:
    """Given predictions: training views -> view -> predicted class of each of six clips of three subjects."""
    reader = PatternReader(subjects=3, clips=2)
    entries = tuple(entry for entry in reader.entries if entry.view != "yaw-15")
    from dataclasses import replace

    entries = tuple(
        replace(entry, label=number // 2 % 2, kind="source" if entry.yaw is None else "true")
        for number, entry in enumerate(entries)
    )
    reader.classes = ("one", "other")
    folds = make_folds(entries, reader.classes, Protocol("loso"))
    settings = config(systems=[{"name": "nearest", "published": {"paper": 0.5}}], train=tuple(predicted))
    order = {entry.clip: number for number, entry in enumerate(e for e in entries if e.view == "source")}
    found = {}
    for views, by_view in predicted.items():
        for fold in folds:
            found[Unit(0, views, fold.name, 0)] = tuple(  # type: ignore[arg-type]
                Prediction(entry.clip, entry.view, tuple(np.eye(2)[by_view[entry.view][order[entry.clip]]].tolist()))
                for entry in entries
                if entry.clip in fold.test
            )
    return settings, Data(reader, entries, {fold.name: fold for fold in folds}), found


def test_gain_and_the_share_of_the_oracles_are_those_computed_by_hand() -> None:
    right = [0, 1, 0, 1, 0, 1]
    half, two_thirds = [0, 1, 0, 0, 1, 0], [0, 1, 0, 1, 1, 0]
    predicted = {
        "source": {"source": right, "yaw+15": half},
        "all": {"source": right, "yaw+15": two_thirds},
        "true": {"source": right, "yaw+15": right},
    }
    results = summarise(*_fixed(predicted))
    assert results["headline"] == "true"
    assert accuracy(results, "source", "source")["mean"] == 1
    assert accuracy(results, "source", "true")["mean"] == 0.5
    gain = results["systems"][0]["gain"]
    assert gain["all"]["mean"] == pytest.approx(1 / 6, abs=1e-6)
    assert gain["true"]["mean"] == 0.5
    assert gain["all"]["share_of_oracle"]["mean"] == pytest.approx(1 / 3, abs=1e-6)
    assert gain["all"]["uar"]["mean"] == pytest.approx(1 / 6, abs=1e-6)
    assert gain["true"]["uf1"]["mean"] == pytest.approx(1 - (4 / 7 + 2 / 5) / 2, abs=1e-6)
    assert gain["all"]["uf1"]["share_of_oracle"]["mean"] == pytest.approx((2 / 3 - 17 / 35) / (18 / 35), abs=1e-5)
    assert results["systems"][0]["trained_on"]["all"]["true"]["confusion"] == [[2, 1], [1, 2]]
    lines = gain_lines(results)
    assert "all views training against frontal training, on true views: +16.7 points" in lines[0]
    assert "share of the oracle's gain recovered: 33%" in lines[0]


def test_results_do_not_depend_on_the_order_in_which_runs_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    # One draw in which every clip weighs something else: two thousand would hide most of it.
    monkeypatch.setattr("recognizer.bench.results.metrics.draws", lambda subjects: 3 ** np.arange(len(subjects))[None])
    predicted = {"source": [0, 1, 0, 0, 1, 0], "yaw+15": [0, 1, 0, 1, 1, 0]}
    settings, data, found = _fixed({"source": predicted, "true": predicted})
    backwards = {unit: tuple(reversed(found[unit])) for unit in reversed(found)}
    assert summarise(settings, data, backwards) == summarise(settings, data, found)


def test_an_oracle_that_gains_nothing_leaves_no_share() -> None:
    same = {"source": [0] * 6, "yaw+15": [0] * 6}
    results = summarise(*_fixed({"source": same, "all": same, "true": same}))
    assert results["systems"][0]["gain"]["all"]["share_of_oracle"]["mean"] is None
    assert "none to recover" in gain_lines(results)[0]
    json.dumps(results, allow_nan=False)


def test_tables_show_what_was_published_beside_what_was_measured() -> None:
    same = {"source": [0] * 6, "yaw+15": [0] * 6}
    settings, data, found = _fixed({"source": same, "true": same})
    system = {
        "name": "nearest",
        "published": {"F": 0.5},
        "confusion": {"counts": [[2, 1], [0, 3]], "note": "all views"},
    }
    other = {"F": {"value": "0.33 / 0.51", "note": "on 50 % of the clips"}}
    changes = {"published": {"Others & co.": other}, "beside": {"F": "uf1"}, "systems": [system], "title": "50 %"}
    results = summarise(BenchConfig(**{**settings.model_dump(), **changes}), data, found)
    text, tex = markdown(results), latex(results)
    assert "| UF1, source: frontal / oracle | UF1, true: frontal / oracle | published: F |" in text
    assert "| nearest | 0.500 / 0.500 | 0.500 / 0.500 | 0.333 / 0.333 | 0.333 / 0.333 | 0.5 |" in text
    assert "| Others & co. | - | - | - | - | 0.33 / 0.51 [1] |" in text
    assert r"Others \& co. & - & - & - & - & 0.33 / 0.51 [1] \\" in tex
    for written in (text, tex.replace("\\", "")):
        assert "[1] on 50 % of the clips" in written
        assert "Confusion of nearest as published, 5 of 6 right (83.3%)" in written
        assert "Gain over frontal training" in written
        assert "Trainings compared" in written
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") >= 3
    assert set(plots(results)) == {"accuracy_over_yaw.png", "confusion.png"}
    assert plots(results) == plots(results)


# Resuming


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store, and a benchmark of it: 3 folds, 2 seeds, a classifier on one kind of views and a network on two."""
    folder = tmp_path_factory.mktemp("bench")
    make_store(folder, subjects=3)
    (folder / "bench.yaml").write_text(
        "title: small\n"
        f"data: {{stores: [{folder / 'store'}]}}\n"
        "protocol: {name: loso}\n"
        "seeds: 2\n"
        "systems:\n"
        "  - {name: nearest, train: [source]}\n"
        "  - {name: tiny-network, training: {epochs: 3}}\n"
    )
    return folder / "store", folder / "bench.yaml"


def _process(recipe: Path, out: Path, **variables: str) -> subprocess.Popen[bytes]:
    script = Path(__file__).parent / "run_small_bench.py"
    line = [sys.executable, str(script), "bench", str(recipe), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_benchmark_that_was_killed_ends_with_the_same_tables(bench: tuple[Path, Path], tmp_path: Path) -> None:
    _, recipe = bench
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_bench(load_bench(recipe), whole, tensorboard=False, say=lambda _: None)
    process = _process(recipe, killed, UNIT_SECONDS="0.3")
    while not list(killed.glob("units/*.json")):
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = len(list(killed.glob("units/*.json")))
    assert 0 < done < 18
    assert not (killed / "results.json").exists()
    messages: list[str] = []
    run_bench(load_bench(recipe), killed, tensorboard=False, say=messages.append)
    assert messages[0] == f"resuming: {done} of 18 runs are finished already"
    for name in TABLES:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_folder_of_another_benchmark_is_refused(bench: tuple[Path, Path], tmp_path: Path) -> None:
    _, recipe = bench
    quick = {"systems": [{"name": "nearest"}], "seeds": 1}
    run_bench(load_bench(recipe, quick), tmp_path / "out", say=lambda _: None)
    before = (tmp_path / "out" / "results.md").read_bytes()
    with pytest.raises(StoreError, match="differs in train"):
        run_bench(load_bench(recipe, {**quick, "train": ["all"]}), tmp_path / "out")
    assert (tmp_path / "out" / "results.md").read_bytes() == before
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"no benchmark \(thesis\.txt\)"):
        run_bench(load_bench(recipe, quick), tmp_path / "foreign")


# Configs and commands


@pytest.mark.parametrize("path", BENCHES, ids=lambda path: path.stem)
def test_the_benchmarks_of_the_papers_are_read(path: Path) -> None:
    settings = load_bench(path)
    assert settings.title
    assert all(system.name for system in settings.systems)
    for system in settings.systems:
        accuracy = figures_of(system.published).get("accuracy")
        assert accuracy is None or 0 < float(accuracy) < 1
        if system.confusion is not None:  # agrees with the figure beside it, or it is said that it does not
            counts = np.array(system.confusion.counts)
            agrees = accuracy is not None and round(np.trace(counts) / counts.sum(), 4) == accuracy
            assert agrees or "contradicts" in " ".join(notes_of(system.published).values())


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("systems: [{name: nearest}]\nsysems: 1", ConfigError, "sysems"),
        ("systems: []", ConfigError, "systems"),
        ("systems: [{name: nearest}]\nbeside: {F1: uf1}", ConfigError, "no published column is called 'F1'"),
        ("systems: [{name: nearest, confusion: {counts: [[1, 2]]}}]", ConfigError, "as many columns as rows"),
        ("systems: [{name: nearest}, {name: nearest}]", ConfigError, "two systems have the label 'nearest'"),
        ("systems: [{name: neares}]", RecogniserError, "did you mean 'nearest'"),
        ("systems: [{name: tiny-network, training: {epoch: 3}}]", RecogniserError, "has no 'epoch'"),
        ("systems: [{name: nearest, training: {epochs: 3}}]", RecogniserError, "no training settings"),
        ("systems: [{name: nearest}]\nselection: {best_test_epoch: true}", ConfigError, "best_test_epoch"),
        ("- a\n- b", ConfigError, "contains a list"),
        ("a: [", ConfigError, "not valid YAML"),
    ],
)
def test_benchmarks_with_mistakes_are_refused(text: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "bench.yaml").write_text(text)
    with pytest.raises(error, match=message):
        load_bench(tmp_path / "bench.yaml")


def run(*line: object) -> int:
    return run_app(app, "recognizer", [str(part) for part in line])


def test_commands_train_test_and_compare(
    bench: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, recipe = bench
    weights = tmp_path / "nearest" / "weights.safetensors"
    assert run("train", "--system", "nearest", "--data", store, "--split", "all", "--out", weights.parent) == 0
    assert str(weights) in capsys.readouterr().out
    assert run("eval", "--weights", weights, "--data", store) == 2
    assert "error: leak: the weights were trained on" in capsys.readouterr().err
    assert run("eval", "--weights", weights, "--data", store, "--split", "train", "--out", tmp_path / "f.json") == 0
    assert "yaw+45" in capsys.readouterr().out
    # Kept views were learned by heart; those at 45 degrees were not among them.
    assert json.loads((tmp_path / "f.json").read_text())["views"]["source"]["accuracy"] == 1
    assert run("bench", recipe, "--only", "nearest", "--seeds", 1, "--out", tmp_path / "bench") == 0
    assert "source: frontal" in capsys.readouterr().out
    assert (tmp_path / "bench" / "results.tex").is_file()


def test_bad_input_is_a_message(bench: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, recipe = bench
    other = tmp_path / "other"
    other.mkdir()
    (other / layout.DATASET).write_text('{"schema": 99}')
    out = ("--out", tmp_path / "out")
    lines = [
        (("train", "--system", "nearest", "--data", other, *out), "schema 99"),
        (("train", "--system", "nearst", "--data", store, *out), "did you mean 'nearest'"),
        (("train", "--system", "nearest", "--data", store, "--option", "copies", *out), "not name=value"),
        (("train", "--system", "nearest", "--data", tmp_path / "no", *out), "is not a folder"),
        (("bench", recipe, "--only", "multiview", *out), "no system 'multiview'"),
        (("bench", tmp_path / "no.yaml", *out), "does not exist"),
        (("eval", "--weights", tmp_path / "no", "--data", store), "do not exist"),
        (("predict", tmp_path / "no.mp4", "--weights", tmp_path / "no"), "do not exist"),
    ]
    for line, message in lines:
        assert run(*line) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_views_chosen_by_labels_of_test_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="use all, or protocol stored"):
        config(train=("source", "kept"))
    assert config(train=("kept",), protocol={"name": "stored"}).train == ("kept",)
