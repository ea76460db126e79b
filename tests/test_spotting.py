from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from factories import write_video

import mvgen
from mvgen.cli import run
from mvgen.core.console import run_app
from mvgen.core.errors import ConfigError, SourceError, StoreError
from mvgen.core.records import Image
from mvgen.evaluation.spotting import Counts, compare, compare_tables, overlap, read_spans
from mvgen.motion.spotting import Interval, spot_intervals
from mvgen.pipeline import recordings, spot
from mvgen.scans.corpora.anny import AnnyHeads
from mvgen.sources.frames import Stream
from mvgen.synth.performance import expression_curve
from mvgen.synth.recording import record, write_recording
from recognizer.cli import app

FPS = 30
PLACES = 26


def still(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Motion (T, 2 K) of noise of 0.2 pixels that wanders slowly, and open eyes."""
    generator = np.random.default_rng(seed)
    slow = np.cumsum(generator.normal(0, 0.01, (frames, 2 * PLACES)), axis=0)
    return slow + generator.normal(0, 0.2, (frames, 2 * PLACES)), np.zeros(frames)


def act(motion: np.ndarray, span: tuple[int, int, int], seed: int = 1, pixels: float = 2.0) -> None:
    """Add an expression that moves half of the places."""
    direction = np.random.default_rng(seed).normal(size=motion.shape[1]) * (np.arange(motion.shape[1]) % 4 < 2)
    curve = expression_curve(len(motion), *span)
    motion += curve[:, None] * direction * pixels / np.abs(direction).max()


def spans(found: list[Interval]) -> list[tuple[int, int]]:
    return [(one.onset, one.offset) for one in found]


def test_expressions_are_found_with_their_kind_and_nothing_else() -> None:
    motion, lids = still(1800)
    true = [(200, 206, 212), (500, 530, 570), (900, 905, 913), (1400, 1420, 1460)]
    for seed, span in enumerate(true):
        act(motion, span, seed)
    found = spot_intervals(motion, lids, FPS)
    assert compare(spans(found), [(a, c) for a, _, c in true]) == Counts(4, 4, 4)
    assert [one.kind for one in found] == ["micro", "macro", "micro", "macro"]
    assert all(abs(one.apex - apex) < 6 for one, (_, apex, _) in zip(found, true, strict=True))


def test_blinks_and_changes_of_posture_are_no_expressions() -> None:
    motion, lids = still(1800)
    leak = np.random.default_rng(5).normal(size=motion.shape[1])
    for frame in range(60, 1740, 90):
        closed = expression_curve(1800, frame, frame + 3, frame + 8)
        lids = np.maximum(lids, closed)
        motion += 1.5 * closed[:, None] * leak
    for frame in (400, 1000):
        motion[frame:] += np.random.default_rng(frame).normal(size=motion.shape[1])
    act(motion, (1190, 1197, 1204))  # with a blink at its side
    assert compare(spans(spot_intervals(motion, lids, FPS)), [(1190, 1204)]) == Counts(1, 1, 1)


def test_nothing_is_found_where_the_face_was_lost_or_too_little_was_seen() -> None:
    motion, lids = still(900)
    act(motion, (400, 406, 412))
    motion[404:407] = np.nan
    assert spot_intervals(motion, lids, FPS) == []
    for frames in (0, 1, 5, 12):
        assert spot_intervals(*still(frames), FPS) == []


def test_a_long_recording_is_searched_in_blocks_as_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = 5 * 60 * FPS
    motion, lids = still(frames)
    true = [(at, at + 6, at + 13) for at in range(100, frames - 100, 371)]
    for seed, span in enumerate(true):
        act(motion, span, seed)
    nothing = np.zeros((2, 2, 3), np.uint8)
    monkeypatch.setattr(spot, "stream_frames", lambda _: Stream(FPS, None, ((n + 1, nothing) for n in range(frames))))
    rows = zip(motion.astype(np.float32), lids, strict=True)
    kept: list[int] = []
    searched = spot.spot_intervals

    def search(block: np.ndarray, *others: object) -> list[Interval]:
        kept.append(len(block))
        return searched(block, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(spot, "spot_intervals", search)
    found = list(spot.spot_video(Path("long.mkv"), lambda _: lambda _frame: next(rows), name="long.mkv"))
    # Frames of a video count from 1.
    assert compare([(one.onset - 1, one.offset - 1) for one in found], [(a, c) for a, _, c in true]).f1 > 0.95
    assert len(kept) == 3
    assert max(kept) < 150 * FPS


def test_f1_counts_a_true_interval_once_and_kinds_apart() -> None:
    assert overlap((10, 19), (15, 24)) == pytest.approx(1 / 3)
    assert compare([(10, 20), (11, 20), (40, 50)], [(10, 20), (43, 70)]) == Counts(1, 3, 2)
    assert Counts(1, 3, 2).f1 == pytest.approx(0.4)
    assert Counts(0, 0, 0).f1 == 1
    true = [("a", "micro", (1, 9)), ("b", "macro", (1, 9))]
    found = [("a", "macro", (1, 9)), ("b", "macro", (1, 9))]
    assert compare_tables(found, true) == Counts(2, 2, 2)
    assert compare_tables(found, true, "micro") == Counts(0, 0, 1)
    assert compare_tables(found, true, "macro") == Counts(1, 2, 1)


@pytest.fixture(scope="module")
def recording(heads: AnnyHeads, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`videos` with a recording of 20 s, and `truth`."""
    folder = tmp_path_factory.mktemp("long")
    record(out=folder / "videos", truth=folder / "truth", seconds=20, seed=4, heads=heads)
    return folder


def test_the_same_recording_has_the_same_bytes(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    for name in ("a.mkv", "b.mkv"):
        write_recording(tmp_path / name, iter(frames), 30, (32, 32))
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


def test_a_table_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").write_text("")
    with pytest.raises(StoreError, match="taken"):
        recordings.write_clips(tmp_path / "taken", [])


def test_python_gets_records_of_what_the_command_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    motion, lids = still(150)
    act(motion, (60, 66, 72), pixels=4.0)
    rows = zip(motion.astype(np.float32), lids, strict=True)
    monkeypatch.setattr(spot.FaceMotion, "load", lambda device, fps: lambda _frame: next(rows))
    write_video(tmp_path / "videos/good.mkv", np.zeros((150, 16, 16, 3), np.uint8), fps=FPS)
    (tmp_path / "videos/text.mp4").write_text("no video")
    found = mvgen.spot(tmp_path / "videos", threshold=3.0, quiet=True)
    (one,) = found.expressions
    assert (one.file, one.kind) == ("good.mkv", "micro")
    assert abs(one.apex - 67) <= 2  # frames of a video count from 1
    assert found.recordings == ("good.mkv",)
    assert found.failures.keys() == {"text.mp4"}
    assert "unreadable video" in found.failures["text.mp4"]
    found.save(tmp_path / "clips.csv")
    assert read_spans(tmp_path / "clips.csv") == [("good.mkv", "micro", (one.onset, one.offset))]
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ConfigError, match="device"):
        mvgen.spot(tmp_path / "videos", device="tpu")
    with pytest.raises(SourceError, match="does not exist"):
        mvgen.spot(tmp_path / "gone")


@pytest.mark.slow
def test_expressions_planted_in_a_recording_are_found(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = recording / "clips.csv"
    assert run(["spot", str(recording / "videos"), "--out", str(table)]) == 0
    true, found = read_spans(recording / "truth" / "clips.csv"), read_spans(table)
    assert len(true) >= 3
    assert len(read_spans(recording / "truth" / "blinks.csv")) >= 3
    assert compare_tables(found, true).f1 >= 0.6
    assert f"{len(found)} expressions" in capsys.readouterr().out


@pytest.mark.slow
def test_a_video_is_predicted_expression_by_expression(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = next((recording / "videos").glob("*.mkv"))
    line = ["predict", str(video), "--views", "25", "--out", str(tmp_path)]
    assert run_app(app, "recognizer", line) == 0
    assert "Trained on synthetic stand-ins, not on people." in capsys.readouterr().out
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    true = [span for _, _, span in read_spans(recording / "truth" / "clips.csv")]
    front = [row for row in rows if row["view"] == "source"]
    assert compare([(int(row["onset"]), int(row["offset"])) for row in front], true).f1 >= 0.6
    assert [row["view"] for row in rows] == ["source", "yaw+25"] * len(front)
    for row in rows:
        shares = {name: float(row[name]) for name in ("negative", "positive", "surprise")}
        assert sum(shares.values()) == pytest.approx(1, abs=0.01)
        assert row["expression"] == max(shares, key=lambda name: shares[name])
        assert float(row["onset_seconds"]) == pytest.approx((int(row["onset"]) - 1) / FPS, abs=0.01)
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")


def noise(frames: int) -> Iterator[Image]:
    generator = np.random.default_rng(0)
    return (generator.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(frames))


@pytest.mark.slow
def test_what_cannot_be_searched_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "clips.csv")]
    assert run(["spot", str(tmp_path / "gone.mp4"), *out]) == 2
    assert "gone.mp4 does not exist" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(["spot", str(tmp_path / "empty"), *out]) == 2
    assert "no video" in capsys.readouterr().err
    (tmp_path / "text.mp4").write_text("no video")
    write_video(tmp_path / "noise.mkv", np.stack(list(noise(4))))
    assert run(["spot", str(tmp_path), *out]) == 1
    said = capsys.readouterr().err
    assert "text.mp4: " in said
    assert "unreadable video" in said
    assert "no frame shows a face" in said
    assert (tmp_path / "clips.csv").read_text().count("\n") == 1
