"""Action units as a task of several labels: data, protocols, training and figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from recognizer_trees import SIZE, PatternReader, install_systems, make_store

import recognizer.bench.units
from mvgen.core.config import canonical_json, file_digest
from mvgen.core.console import run_app
from mvgen.store import layout
from mvgen.store.manifest import read_table, write_table
from recognizer.bench.action_units import unit_f1
from recognizer.bench.run import run_bench
from recognizer.cli import app
from recognizer.config import BenchConfig
from recognizer.errors import RecogniserError
from recognizer.evaluation.protocols import Protocol, make_folds
from recognizer.learning.fit import training_loss
from recognizer.readers.base import ClassRule
from recognizer.readers.config import DataConfig, open_data
from recognizer.records import Sample

install_systems()


class UnitReader(PatternReader):
    """Each unit of a clip adds a pattern of its own; clips show none, one or both."""

    classes = ("AU4", "AU12")

    def __init__(self, **settings: Any) -> None:
        super().__init__(strength=0.0, **settings)
        shown = ((1, 0), (0, 1), (1, 1), (0, 0))
        numbers = {clip: index for index, clip in enumerate(sorted({entry.clip for entry in self.entries}))}
        units = {clip: shown[number % 4] for clip, number in numbers.items()}
        self.entries = tuple(
            replace(entry, units=units[entry.clip], label=(*units[entry.clip], 1).index(1)) for entry in self.entries
        )

    def read(self, index: int) -> Sample:
        sample = super().read(index)
        draws = [np.random.default_rng(unit).normal(0, 2, (SIZE, SIZE, 2)) for unit in range(2)]
        added = sum(there * draw for there, draw in zip(self.entries[index].units, draws, strict=True))
        return replace(sample, apex_flow=np.asarray(sample.apex_flow + added, np.float32))


def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> dict[str, Any]:
    monkeypatch.setattr(recognizer.bench.units, "open_data", lambda config, keep: UnitReader(subjects=8, clips=8))
    systems = [{"name": "tiny-network", "training": {"epochs": 20}}, {"name": "nearest"}]
    config = BenchConfig(systems=systems, train=("all",), seeds=1, **settings)
    return run_bench(config, tmp_path / "out", say=lambda _: None, tensorboard=False)


@pytest.mark.slow
def test_networks_and_classifiers_learn_every_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = results(tmp_path, monkeypatch, protocol={"name": "subject-folds", "folds": 4})
    assert found["data"]["of_class"] == {"AU4": 32, "AU12": 32}
    for system in found["systems"]:
        figures = system["trained_on"]["all"]["all"]
        assert min(figures["f1"]) > 0.9
        assert figures["mean_f1"] == pytest.approx(np.mean(figures["f1"]), abs=1e-5)
        assert figures["interval"][0] <= figures["mean_f1"] <= figures["interval"][1]
    written = (tmp_path / "out/results.md").read_text()
    assert "| system | trained on | AU4 | AU12 | mean F1 | 95 % |" in written
    assert json.loads((tmp_path / "out/results.json").read_text()) == found


@pytest.mark.slow
def test_shuffled_units_are_not_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = results(tmp_path, monkeypatch, protocol={"name": "lovo", "folds": 4}, shuffle_labels=True)
    for system in found["systems"]:
        assert system["trained_on"]["all"]["all"]["mean_f1"] < 0.7  # by chance a half


def test_f1_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    draw = np.random.default_rng(0)
    there, said = draw.integers(0, 2, (2, 40, 3))
    counts = [[(t & s).sum(), ((1 - t) & s).sum(), (t & (1 - s)).sum()] for t, s in zip(there.T, said.T, strict=True)]
    np.testing.assert_allclose(unit_f1(np.array(counts)), f1_score(there, said, average=None))
    assert unit_f1(np.zeros((1, 3))) == [0]


def test_the_loss_of_several_labels_is_binary_for_each() -> None:
    logits, labels = torch.tensor([[2.0, -1.0]]), torch.tensor([[1, 0]])
    expected = -np.log([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))]).mean()
    for kind in ("cross_entropy", "balanced"):
        assert float(training_loss(logits, labels, kind)) == pytest.approx(expected, abs=1e-6)


def test_units_with_too_few_expressions_are_left_out() -> None:
    cells = [("AU4", "L12"), ("4",), ("12",), ("10or11",), ()]
    clips = [SimpleNamespace(action_units=units, dataset="d", expression=str(n)) for n, units in enumerate(cells)]
    twice = SimpleNamespace(action_units=("9",), dataset="d", expression="same")
    rule = ClassRule("action-units", least=2).over([*clips, twice, twice])
    assert rule.names == ("AU4", "AU12")
    assert [rule.units(clip) for clip in clips] == [(1, 1), (1, 0), (0, 1), (0, 0), (0, 0)]
    assert [rule.of(clip) for clip in clips] == [0, 0, 1, 2, None]
    with pytest.raises(RecogniserError, match="no action unit is named for 9 expressions; lower `least_positives`"):
        ClassRule("action-units", least=9).over(clips)


def test_a_fold_without_a_unit_to_learn_is_refused() -> None:
    entries = [
        replace(entry, units=(entry.units[0], int(entry.subject == "p00"))) for entry in UnitReader(subjects=4).entries
    ]
    with pytest.raises(RecogniserError, match="fold p00 has no training clip of class 'AU12'"):
        make_folds(entries, UnitReader.classes, Protocol("loso"))


def test_units_are_read_from_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = make_store(tmp_path, subjects=2, clips=2)
    table = store / layout.TABLE
    units = {"clip1": ["4", "L12"], "clip2": ["12"]}
    write_table([replace(row, action_units=units[row.name]) for row in read_table(table)], table)
    about = json.loads((store / layout.DATASET).read_text())
    about["files"][layout.TABLE] = file_digest(table)
    (store / layout.DATASET).write_text(canonical_json(about))
    reader = open_data(DataConfig(stores=(store,), classes="action-units", least_positives=2))
    assert reader.classes == ("AU4", "AU12")
    assert {(entry.clip[-5:], entry.units) for entry in reader.entries} == {("clip1", (1, 1)), ("clip2", (0, 1))}
    (tmp_path / "bench.yaml").write_text(
        "data: {classes: action-units, least_positives: 2}\nprotocol: {name: loso}\ntrain: [source]\nseeds: 1\n"
        "systems: [{name: nearest}]\n"
    )
    line = ["bench", str(tmp_path / "bench.yaml"), "--data", str(store), "--out", str(tmp_path / "out")]
    assert run_app(app, "recognizer", line) == 0
    assert "mean F1" in capsys.readouterr().out
