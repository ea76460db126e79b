"""Curves of head pose and facial actions on the page, and the largest jump of a face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_build import FakeStages, make_config, make_source
from test_report import Elements

from mvgen.building.build import build
from mvgen.core.records import Signals
from mvgen.motion.signals import with_head
from mvgen.report.charts import curve_chart, marks
from mvgen.report.page import write_report
from mvgen.report.signals import ACTIONS, _actions, show_signals
from mvgen.store import layout
from mvgen.store.arrays import read_maps
from mvgen.store.geometry import read_signals
from mvgen.store.manifest import read_table


def test_curves_share_an_axis_that_includes_zero() -> None:
    chart = curve_chart({"a": np.array([1.0, 2.0, 4.0]), "b": np.array([1.0, -1.0, 0.0])})
    assert chart.axis.ticks[0] <= -1
    assert chart.axis.ticks[-1] >= 4
    assert 0 in chart.axis.ticks
    first, second = chart.curves
    assert [x for x, _ in first.points] == [0, 0.5, 1]
    assert first.points[2][1] == 1 - chart.axis.place(4)
    assert (first.highest, second.highest) == (4, 1)
    assert first.band == ()


def test_a_band_goes_around_its_curve_and_not_below_zero() -> None:
    chart = curve_chart({"a": np.array([0.1, 2.0])}, {"a": np.array([0.5, 0.5])})
    (curve,) = chart.curves
    assert len(curve.band) == 4
    assert chart.axis.ticks[-1] >= 2.5
    assert curve.band[0] == (0, 1 - chart.axis.place(0.6))
    assert curve.band[3] == (0, 1 - chart.axis.place(0))


def test_marks_of_one_frame_are_joined_and_near_ones_get_two_rows() -> None:
    assert [(one.name, one.place, one.row) for one in marks({"onset": 0, "apex": 10, "offset": 11}, 21)] == [
        ("onset", 0, 0),
        ("apex", 0.5, 0),
        ("offset", 0.55, 1),
    ]
    assert [one.name for one in marks({"onset": 0, "apex": 0, "offset": 0}, 1)] == ["onset, apex, offset"]


def made(actions: np.ndarray, deviation: float) -> Signals:
    names = [f"AU{number}" for number in range(actions.shape[1])]
    return with_head(np.zeros((len(actions), 6)), actions, np.full_like(actions, deviation), names)


def test_the_strongest_actions_above_the_noise_are_drawn() -> None:
    actions = np.outer([0, 1, 0.5], [0.2, 3, 0.5, 2, 1, 0.7])
    chart = _actions(made(actions, 0.1))
    assert chart is not None
    assert [curve.name for curve in chart.curves] == ["AU1", "AU3", "AU4", "AU5"]
    assert len(chart.curves) == ACTIONS
    chart = _actions(made(actions, 1.5))
    assert chart is not None
    assert [curve.name for curve in chart.curves] == ["AU1", "AU3"]
    assert _actions(made(actions, 4.0)) is None
    assert _actions(made(actions, np.nan)) is None


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curves")
    root = make_source(folder / "root", subjects=2, clips=1)
    build(make_config(root, folder / "out"), FakeStages(root))
    return folder / "out"


def test_every_clip_that_is_shown_has_its_curves_and_its_largest_jump(store: Path) -> None:
    html = write_report(store).read_text(encoding="utf-8")
    elements = Elements(html)
    blocks = [each for each in elements.named("div") if each.get("class") == "signals"]
    assert [each["data-clip"] for each in blocks] == ["0", "1"]
    assert ["hidden" in each for each in blocks] == [False, True]
    rows = read_table(store / layout.TABLE)
    for clip in dict.fromkeys(row.clip for row in rows):
        shown = show_signals(store, [row for row in rows if row.clip == clip])
        assert shown.turn is not None
        assert [curve.name for curve in shown.turn.curves] == ["yaw", "pitch", "roll"]
        assert [mark.name for mark in shown.marks] == ["onset", "apex", "offset"]
        text = " ".join(elements.text.split())
        assert f"the face jumps by {shown.row.largest_jump:.2f} px at most" in text
        assert "Face seen in 100 % of the source's frames" in text
        assert [curve.name for curve in (*shown.moved.curves, *shown.residual.curves)] == [
            "moved by",
            "jump",
            "residual",
        ]
        frontal = read_maps(store, shown.row)
        lengths = np.linalg.norm(frontal.flow.frames[:, np.isfinite(frontal.depth)], axis=-1)
        assert [curve.name for curve in shown.flow.curves] == ["95th percentile", "median"]
        assert shown.flow.curves[0].highest == pytest.approx(np.quantile(lengths, 0.95, axis=1).max())
        assert shown.flow.curves[1].highest == pytest.approx(np.median(lengths, axis=1).max())
        assert shown.flow.curves[0].points[0][1] == 1 - shown.flow.axis.place(0)  # no frame before the first
        assert shown.moved.curves[0].highest == shown.row.head_pixels
        signals = read_signals(store, next(row for row in rows if row.clip == clip))
        assert shown.actions is not None
        assert {curve.name for curve in shown.actions.curves} <= set(signals.names)


def test_a_clip_without_a_head_pose_is_marked_so(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(out: Path, row: object) -> Signals:
        found = made(np.zeros((4, 2)), 0.1)
        unknown = np.full(4, np.nan)
        return replace(found, yaw=unknown, pitch=unknown, roll=unknown, dx=unknown, dy=unknown, scale=unknown)

    monkeypatch.setattr("mvgen.report.signals.read_signals", lost)
    text = " ".join(Elements(write_report(store).read_text(encoding="utf-8")).text.split())
    assert "Not known: the clip was registered without a head pose." in text
    assert "No action exceeds the noise." in text
    assert "The head's scale" not in text
