from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fake_build import FakeStages, fill_up, list_clips, make_config, make_source, tree_bytes
from hypothesis import given
from hypothesis import strategies as st

import mvgen.building.build
from mvgen.building.build import build
from mvgen.building.merge import merge
from mvgen.cli import run
from mvgen.core.errors import ConfigError, StoreError
from mvgen.sources.base import ClipFailure
from mvgen.store import layout
from mvgen.store.shards import Shard, Share, dealt
from mvgen.store.state import locked

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("run_fake_build.py")


def stages(root: Path) -> FakeStages:
    """Six clips of which one has no face, and a seventh that the source gives up."""
    lost = ClipFailure("pics__s9__none", "no frames in the folder", root / "pics/s9/none")
    return FakeStages(root, face=frozenset({list_clips(root)[3].id}), failures=(lost,))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_source(tmp_path / "root")


@pytest.fixture
def whole(root: Path, tmp_path: Path) -> dict[str, bytes]:
    """The same source, built in one go."""
    build(make_config(root, tmp_path / "whole"), stages(root))
    return tree_bytes(tmp_path / "whole")


def build_shards(root: Path, outs: list[Path]) -> None:
    for number, out in enumerate(outs, 1):
        build(make_config(root, out), stages(root), shard=Shard(len(outs), number))


def test_shards_in_one_folder_are_merged_to_the_bytes_of_one_build(
    root: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    build_shards(root, [out] * 4)
    assert not (out / layout.DATASET).exists()
    merged = merge([out], out)
    assert (merged.shards, merged.clips, merged.failures) == (4, 5, 2)
    assert tree_bytes(out) == whole


def test_shards_in_folders_of_their_own_are_merged_to_the_bytes_of_one_build(
    root: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    parts = [tmp_path / f"part{number}" for number in range(3)]
    build_shards(root, parts)
    out = tmp_path / "deep" / "out"
    merge(list(reversed(parts)), out)
    assert tree_bytes(out) == whole
    merge(parts, out)  # again: nothing changes
    assert tree_bytes(out) == whole


def test_shards_of_one_folder_build_side_by_side(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    line = [sys.executable, str(SCRIPT), "build", "--dataset", "fake", "--root", str(root), "--out", str(out)]
    line += ["--angles", "-45:45:45", "--size", "64", "--attempts", "1", "--clip-timeout", "0"]

    def run_shard(number: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*line, "--shard", f"{number}/3"], capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(run_shard, (1, 2, 3)))
    assert [process.returncode for process in done] == [0, 0, 0], [process.stderr for process in done]
    assert f"mvgen merge {out}" in done[0].stdout
    # Whoever comes first fits the attention head, for all.
    assert sum("fitting the attention head" in process.stderr for process in done) == 1
    merged = subprocess.run([sys.executable, "-m", "mvgen.cli", "merge", str(out), "--no-report"], check=False)
    assert merged.returncode == 0
    build(make_config(root, tmp_path / "one"), FakeStages(root))
    assert tree_bytes(out) == tree_bytes(tmp_path / "one")


def test_an_interrupted_shard_goes_on_and_leaves_nothing_behind(
    root: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    build_shards(root, [out] * 2)
    clip = list_clips(root)[2]
    (out / layout.marker_path(clip.id)).unlink()
    (out / layout.frames_directory(45, clip.directory) / "img99.jpg").write_bytes(b"stray")
    with pytest.raises(StoreError, match=r"shard 1/2 in .*out: 2 of 3 clips"):
        merge([out], out)
    build(make_config(root, out), stages(root), shard=Shard(2, 1))
    merge([out], out)
    assert tree_bytes(out) == whole


def test_a_whole_build_finishes_what_shards_began(root: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    build(make_config(root, out), stages(root), shard=Shard(3, 2))
    build(make_config(root, out), stages(root))
    assert tree_bytes(out) == whole
    assert build(make_config(root, out), stages(root), shard=Shard(3, 2)).nothing_to_do
    with pytest.raises(StoreError, match="leave out --shard"):
        build(make_config(root, out), stages(root), shard=Shard(3, 2), retry_failed=True)


def test_missing_shards_are_named_and_nothing_is_written(root: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "part1", tmp_path / "part2", tmp_path / "part3"]
    build_shards(root, parts)
    before = tree_bytes(tmp_path)
    with pytest.raises(StoreError, match=r"2 of 3 shards are missing: 1, 3\. Build them with `--shard 1/3`"):
        merge([parts[1]], tmp_path / "out")
    shutil.copytree(parts[1], tmp_path / "copy")
    with pytest.raises(StoreError, match=r"shard 2/3 is given twice"):
        merge([*parts, tmp_path / "copy"], tmp_path / "out")
    shutil.rmtree(tmp_path / "copy")
    with pytest.raises(StoreError, match="has no shard of a build"):
        merge([*parts, root], tmp_path / "out")
    assert tree_bytes(tmp_path) == before


def test_shards_of_different_builds_are_refused(root: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "part1", tmp_path / "part2"]
    build_shards(root, parts)
    other = tmp_path / "other"
    build(make_config(root, other, seed=5), stages(root), shard=Shard(2, 2))
    with pytest.raises(StoreError, match=r"not shards of one build:\n  config\.split\.seed: 0 there, 5 now"):
        merge([parts[0], other], tmp_path / "out")
    with pytest.raises(StoreError, match="holds shard 1/2, which does not go with 1/3"):
        build(make_config(root, parts[0]), stages(root), shard=Shard(3, 1))
    (parts[1] / layout.ATTENTION).write_bytes(b"fitted on another kind of processor")
    with pytest.raises(StoreError, match=r"differ in files that all shards share:\n  geometry/attention"):
        merge(parts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_a_part_lost_is_named(root: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "part1", tmp_path / "part2"]
    build_shards(root, parts)
    clip = list_clips(root)[1]
    (parts[1] / layout.maps_path(0, clip.directory)).unlink()
    with pytest.raises(StoreError, match=r"part2/maps/yaw\+00/pics/s1/clip2\.npz is missing"):
        merge(parts, tmp_path / "out")


def test_merging_goes_on_where_it_stopped(
    root: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [tmp_path / "part1", tmp_path / "part2"]
    build_shards(root, parts)
    links = iter(range(40))

    def link(source: Path, target: Path) -> None:
        if next(links, None) is None:
            raise KeyboardInterrupt
        raise OSError("this disk has no links")

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", link)
        with pytest.raises(KeyboardInterrupt):
            merge(parts, tmp_path / "out")
    assert not (tmp_path / "out" / layout.DATASET).exists()
    merge(parts, tmp_path / "out")
    assert tree_bytes(tmp_path / "out") == whole


def test_whichever_write_finds_the_disk_full_the_merge_goes_on_to_the_same_bytes(
    root: Path, tmp_path: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [tmp_path / "part1", tmp_path / "part2"]
    build_shards(root, parts)
    for number in range(len(whole)):
        out = tmp_path / f"out{number}"
        words = ["merge", *map(str, parts), "--out", str(out), "--no-report"]
        with pytest.MonkeyPatch.context() as patch:
            cut = fill_up(patch, number)
            code = run(words)
        if not cut:
            break
        assert code == 2
        assert f"error: no space left for {out}; what is finished is safe" in capsys.readouterr().err
        assert run(words) == 0
        assert tree_bytes(out) == whole
    assert number > 3


def test_shards_and_a_whole_build_keep_apart(tmp_path: Path) -> None:
    with locked(tmp_path, shared=True), locked(tmp_path, shared=True):
        with pytest.raises(StoreError, match="another build"), locked(tmp_path):
            pass
        assert (tmp_path / layout.LOCK).exists()
    with locked(tmp_path), pytest.raises(StoreError, match="another build"), locked(tmp_path, shared=True):
        pass
    assert not (tmp_path / layout.LOCK).exists()


def test_a_disk_without_locks_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match="its disk has no locks"):
        build(make_config(root, tmp_path / "out"), stages(root))


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="give i/n"):
        Shard.parse(text)


@given(count=st.integers(1, 9), clips=st.integers(0, 30))
def test_the_shards_of_a_list_are_the_list_and_alike_in_size(count: int, clips: int) -> None:
    keys = [(f"clip{number}", "subject", None) for number in range(clips)]
    shards = [Shard.parse(f"{number}/{count}") for number in range(1, count + 1)]
    shares = [Share(shard, tuple(shard.of(keys)), ()) for shard in shards]
    assert dealt(shares) == keys
    sizes = [len(share.clips) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_the_command_line_of_shards(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mvgen.building.build, "_real_stages", lambda: FakeStages(root))
    line = ["build", "--dataset", "fake", "--angles", "0", "--root", str(root), "--attempts", "1", "--clip-timeout=0"]
    parts = [str(tmp_path / "a"), str(tmp_path / "b")]
    for number, part in enumerate(parts, 1):
        assert run([*line, "--out", part, "--shard", f"{number}/2"]) == 0
    assert "shard 2/2: 3 clips, 6 views, 0 failures" in capsys.readouterr().out
    assert run(["merge", *parts]) == 2
    assert "--out" in capsys.readouterr().err
    assert run(["merge", *parts, "--out", str(tmp_path / "out"), "--no-report"]) == 0
    assert "2 shards: 6 clips, 0 failures" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / layout.DATASET).read_text())["counts"]["clips"] == 6
    assert run(["merge", str(tmp_path / "out")]) == 2
    assert "nothing to merge" in capsys.readouterr().err
    assert run([*line, "--out", str(tmp_path / "c"), "--shard", "3/2"]) == 2
