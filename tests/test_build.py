from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_build import FakeStages, Told, list_clips, make_config, make_source, tree_bytes

from mvgen.building.build import build
from mvgen.building.failures import without_folders
from mvgen.commands.console import BuildProgress, print_summary
from mvgen.core.config import BuildConfig
from mvgen.core.errors import ConfigError, MissingPartError, SourceError, StoreError
from mvgen.core.settings import by_part, load_config
from mvgen.pipeline.code_digest import files_digest
from mvgen.pipeline.stages import PipelineStages
from mvgen.sources.base import ClipFailure
from mvgen.store import layout
from mvgen.store.manifest import read_table
from mvgen.store.state import begin, check_folder

SCRIPT = Path(__file__).with_name("run_fake_build.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_source(tmp_path / "the source")


@pytest.fixture
def whole(root: Path, tmp_path: Path) -> dict[str, bytes]:
    """An uninterrupted build of the source."""
    build(make_config(root, tmp_path / "whole"), FakeStages(root))
    return tree_bytes(tmp_path / "whole")


def test_a_build_has_a_row_and_files_for_every_view_of_every_clip(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    summary = build(make_config(root, out), FakeStages(root))
    assert (summary.clips, summary.views, summary.built, summary.exit_code) == (6, 6 * 4, 6, 0)
    rows = read_table(out / layout.TABLE)
    assert [row.clip for row in rows] == sorted(row.clip for row in rows)
    assert all((out / path).is_file() for row in rows for path in row.files())
    assert (out / "annotations/labels.xlsx").read_bytes() == (root / "labels.xlsx").read_bytes()
    about = json.loads((out / layout.DATASET).read_text())
    assert about["counts"]["clips"] == 6
    assert about["views"] == ["source", "yaw-45", "yaw+00", "yaw+45"]
    assert sorted(entry.name for entry in out.iterdir() if entry.name.startswith(".")) == [layout.BUILD, layout.DONE]


def test_clips_and_views_of_a_subject_are_on_one_side(root: Path, tmp_path: Path) -> None:
    build(make_config(root, tmp_path / "out", test_share=0.5), FakeStages(root))
    rows = read_table(tmp_path / "out" / layout.TABLE)
    sides = {row.subject_key: {other.split for other in rows if other.subject_key == row.subject_key} for row in rows}
    assert all(len(side) == 1 for side in sides.values())
    assert {row.split for row in rows} == {"train", "test"}


def test_the_attention_head_is_fitted_on_training_clips_only(root: Path, tmp_path: Path) -> None:
    build(make_config(root, tmp_path / "out"), FakeStages(root))
    fitted = (tmp_path / "out" / layout.ATTENTION).read_text().splitlines()
    assert fitted == sorted({row.clip for row in read_table(tmp_path / "out" / layout.TABLE) if row.split == "train"})


@pytest.mark.slow
def test_bytes_depend_neither_on_workers_nor_on_the_folder(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(root, moved)
    build(make_config(moved, tmp_path / "other" / "out", workers=3), FakeStages(moved))
    assert tree_bytes(tmp_path / "other" / "out") == whole
    for name, content in whole.items():
        assert str(tmp_path).encode() not in content, name


def test_a_finished_build_has_nothing_to_do(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    told = Told()
    summary = build(make_config(root, tmp_path / "whole"), FakeStages(root), told)
    assert summary.nothing_to_do
    assert (summary.clips, summary.built, told.started) == (6, 0, None)
    assert tree_bytes(tmp_path / "whole") == whole


@pytest.mark.slow
def test_a_build_killed_at_any_moment_resumes_to_the_same_bytes(
    root: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    moments = random.Random(5)
    out = tmp_path / "killed"
    line = [sys.executable, str(SCRIPT), "build", "--dataset", "fake", "--root", str(root), "--out", str(out)]
    line += ["--angles", "-45:45:45", "--size", "64", "--no-report"]
    environment = os.environ | {"FAKE_SECONDS": "0.15"}
    for kill in range(3):
        before = len(list((out / layout.DONE).glob("*.json")))
        process = subprocess.Popen(
            [*line, "--workers", str(1 + kill % 2)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        # The first clip of this run is done, so it is killed among the others; the exact moment is drawn.
        while len(list((out / layout.DONE).glob("*.json"))) <= before:
            assert process.poll() is None, process.communicate()[0].decode()
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (out / layout.DATASET).exists()
    done = len(list((out / layout.DONE).glob("*.json")))
    assert 3 <= done < 6
    resumed = subprocess.run(line, capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert "of 6 clips are already built" in resumed.stderr
    assert tree_bytes(out) == whole


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out = tmp_path / "interrupted"
    line = [sys.executable, str(SCRIPT), "build", "--dataset", "fake", "--root", str(root), "--out", str(out)]
    line += ["--angles", "-45:45:45", "--size", "64", "--workers", "2"]
    process = subprocess.Popen(
        line,
        env=os.environ | {"FAKE_SECONDS": "0.3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list((out / layout.DONE).glob("*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run the same command again to resume" in errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 10
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(process.pid)
    assert not (out / layout.LOCK).exists()
    build(make_config(root, out), FakeStages(root))
    assert tree_bytes(out) == whole


def _alive(group: int) -> list[str]:
    """Command lines of a process group's processes; dead ones that nobody has waited for do not count."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, process_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(process_group) == group and state != "Z":
                found.append((entry / "cmdline").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_leftovers_of_an_unfinished_clip_are_built_again(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out = tmp_path / "whole"
    clip = list_clips(root)[2]
    (out / layout.DATASET).unlink()
    (out / layout.marker_path(clip.id)).unlink()
    (out / layout.frames_directory(45, clip.directory) / "img9.jpg").write_bytes(b"half a fra")
    (out / layout.frames_directory(45, clip.directory) / "img99.jpg").write_bytes(b"stray")
    (out / layout.PARTIAL / clip.id / "views").mkdir(parents=True)
    other = list_clips(root)[4]
    (out / layout.maps_path(0, other.directory)).unlink()
    told = Told()
    build(make_config(root, out), FakeStages(root), told)
    assert told.started == (6, 4, 2 * 4)
    assert sorted(told.clips) == sorted([clip.id, other.id])
    assert tree_bytes(out) == whole


def test_failed_clips_are_listed_and_the_others_are_built(root: Path, tmp_path: Path) -> None:
    ids = [clip.id for clip in list_clips(root)]
    lost = ClipFailure("pics__s9__none", "no frames in the folder", root / "pics/s9/none")
    stages = FakeStages(root, face=frozenset({ids[4]}), crash=frozenset({ids[1]}), failures=(lost,))
    told = Told()
    summary = build(make_config(root, tmp_path / "out"), stages, told)
    assert (summary.clips, summary.exit_code) == (4, 0)
    lines = [json.loads(line) for line in (tmp_path / "out" / layout.FAILURES).read_text().splitlines()]
    assert lines == [
        {
            "clip": ids[1],
            "dataset": "fake",
            "stage": "internal",
            "reason": "ZeroDivisionError: cannot divide pics/s1/clip2/img8.jpg",
            "file": None,
        },
        {
            "clip": ids[4],
            "dataset": "fake",
            "stage": "face",
            "reason": "no face was found",
            "file": "pics/s3/clip1/img8.jpg",
        },
        {
            "clip": lost.clip,
            "dataset": "fake",
            "stage": "source",
            "reason": "no frames in the folder",
            "file": "pics/s9/none",
        },
    ]
    assert "ZeroDivisionError" in told.traces[0]


def test_failed_clips_are_tried_again_only_when_asked(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    ids = [clip.id for clip in list_clips(root)]
    config = make_config(root, tmp_path / "out")
    build(config, FakeStages(root, face=frozenset({ids[0]})))
    assert build(config, FakeStages(root)).clips == 5
    told = Told()
    assert build(config, FakeStages(root), told, retry_failed=True).clips == 6
    assert told.clips == [ids[0]]
    assert tree_bytes(tmp_path / "out") == whole


def test_a_build_without_a_single_clip_ends_with_1(root: Path, tmp_path: Path) -> None:
    stages = FakeStages(root, face=frozenset(clip.id for clip in list_clips(root)))
    summary = build(make_config(root, tmp_path / "out"), stages)
    assert (summary.clips, len(summary.failures), summary.exit_code) == (0, 6, 1)


def test_another_config_is_refused_and_changes_nothing(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    with pytest.raises(StoreError, match=r"config\.split\.seed: 0 there, 3 now"):
        build(make_config(root, tmp_path / "whole", seed=3), FakeStages(root))
    assert tree_bytes(tmp_path / "whole") == whole


def test_other_software_may_not_finish_a_build(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out = tmp_path / "whole"
    assert build(make_config(root, out), FakeStages(root, version="2")).nothing_to_do
    (out / layout.DATASET).unlink()
    with pytest.raises(StoreError, match=r'software\.fake: "1" there, "2" now'):
        build(make_config(root, out), FakeStages(root, version="2"))


def test_a_source_that_changed_is_refused(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out = tmp_path / "whole"
    (root / "pics/s2/clip1/img9.jpg").write_bytes(b"another size")
    with pytest.raises(StoreError, match=r"1 clips made from other frames .*pics__s2__clip1"):
        build(make_config(root, out), FakeStages(root))
    shutil.rmtree(root / "pics/s2/clip1")
    with pytest.raises(StoreError, match=r"source\.clips"):
        build(make_config(root, out), FakeStages(root))
    assert tree_bytes(out) == whole


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty" / "pics").mkdir(parents=True)
    with pytest.raises(SourceError, match="no clip"):
        build(make_config(tmp_path / "empty", tmp_path / "out"), FakeStages(tmp_path / "empty"))
    assert not (tmp_path / "out").exists()


def test_how_a_build_runs_is_no_part_of_what_it_is(root: Path, tmp_path: Path) -> None:
    plain = make_config(root, tmp_path / "out")
    ways = {"engine": "ray", "address": "auto", "worker_gpus": 0.5, "attempts": 7, "clip_timeout": 3, "workers": 9}
    assert make_config(root, tmp_path / "out", **ways).identity() == plain.identity()


def test_a_clip_may_take_longer_the_more_there_is_to_do(root: Path, tmp_path: Path) -> None:
    small = make_config(root, tmp_path, size=256, clip_timeout=None)
    assert small.seconds_for(10) == 300 + 5 * 10 * 4
    assert small.changed(camera={"size": 512}).seconds_for(10) == 300 + 4 * 5 * 10 * 4
    assert small.changed(run={"clip_timeout": 7.0}).seconds_for(1000) == 7
    assert small.changed(run={"clip_timeout": 0.0}).seconds_for(1000) is None


@pytest.mark.parametrize("name", ["root", "out", "annotations", "weights"])
def test_object_stores_are_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: .*s3:// is not a folder"):
        load_config(None, by_part({name: "s3://bucket/prefix"}))


def test_without_ray_its_engine_says_how_to_install_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPartError, match=r'pip install "mvgen\[ray\]"'):
        build(make_config(root, tmp_path / "out", engine="ray"), FakeStages(root))
    assert not (tmp_path / "out").exists()


def test_limit_builds_the_first_clips(root: Path, tmp_path: Path) -> None:
    summary = build(make_config(root, tmp_path / "out", limit=2), FakeStages(root))
    assert summary.clips == 2
    assert {row.clip for row in read_table(tmp_path / "out" / layout.TABLE)} == {"pics__s1__clip1", "pics__s1__clip2"}


def test_messages_lose_the_folders_of_the_machine() -> None:
    assert without_folders("/home/me/data/img1.jpg is broken") == "img1.jpg is broken"
    assert without_folders("cannot open '/data/s1/a.png'") == "cannot open 'a.png'"
    assert (
        without_folders("HS/micro/negative has 1/2 frames, and/or none")
        == "HS/micro/negative has 1/2 frames, and/or none"
    )


def test_progress_counts_the_frames_that_are_left(capsys: pytest.CaptureFixture[str]) -> None:
    with BuildProgress() as progress:
        progress.start(3, 1, {"short": 30, "long": 900})
        progress.advance("short", None, None)
        progress.advance("long", None, None)
    said = capsys.readouterr().err
    assert "resuming: 1 of 3 clips" in said
    assert "3 of 3 clips, 930 of 930 frames" in said


def test_the_summary_tells_where_the_time_went(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_source(tmp_path / "root")
    summary = build(make_config(root, tmp_path / "out"), FakeStages(root))
    assert {"starting", "observing", "writing"} <= set(summary.seconds)
    assert all(seconds >= 0 for seconds in summary.seconds.values())
    assert summary.wall > 0
    print_summary(summary)
    printed = capsys.readouterr().out
    assert "time in writing" in printed
    assert "wall time" in printed


@pytest.mark.slow
def test_who_hands_out_clips_does_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mvgen.core.config import BuildConfig\n"
        "from mvgen.pipeline.stages import PipelineStages\n"
        "root = Path(sys.argv[1])\n"
        "config = BuildConfig(source={'dataset': 'folder', 'root': root}, run={'out': root / 'out', 'device': 'cpu'})\n"
        "stages = PipelineStages()\n"
        "stages.software(config), stages.weights(config), stages.fit_attention([], config)\n"
        "print('torch' in sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_a_changed_stage_of_our_own_may_not_finish_a_build(tmp_path: Path) -> None:
    before, after = (tmp_path / name for name in ("before", "after"))
    for folder in (before, after):
        (folder / "motion").mkdir(parents=True)
        (folder / "motion" / "flow.py").write_text("SIGMA = 1\n")
        (folder / "motion" / "notes.txt").write_text(folder.name)
    assert files_digest(before, ["motion"]) == files_digest(after, ["motion"])
    (after / "motion" / "flow.py").write_text("SIGMA = 2\n")
    assert files_digest(before, ["motion"]) != files_digest(after, ["motion"])
    known = PipelineStages().software(BuildConfig())
    assert {"mvgen.motion", "mvgen.render", "mvgen.pipeline"} <= set(known)
    out = tmp_path / "out"
    begin(out, {"software": known})
    with pytest.raises(StoreError, match=r"software\.mvgen\.motion: .* there, \"changed\" now"):
        check_folder(out, {"software": {**known, "mvgen.motion": "changed"}})
