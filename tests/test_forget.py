"""A subject leaves a store: everything of theirs is gone, all else is as it was, and nothing brings them back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fake_build import FakeStages, make_config, make_source, tree_bytes

from mvgen import open_dataset
from mvgen.building.build import build
from mvgen.building.merge import merge
from mvgen.building.work import Progress
from mvgen.cli import run
from mvgen.core.config import BuildConfig, canonical_json
from mvgen.core.errors import ConfigError, StoreError
from mvgen.forget.store import forget
from mvgen.forget.tombstones import bury, parse_forgotten, read_forgotten, write_forgotten
from mvgen.sources.base import ClipFailure, Listing, subject_key
from mvgen.sources.marks import MARK, write_mark
from mvgen.store import layout
from mvgen.store.manifest import Failure, digest_of, failure_lines, read_failures, read_table
from mvgen.store.refine import refine
from mvgen.store.shards import Shard
from mvgen.verification.forgotten import check_forgotten

pytestmark = pytest.mark.slow

REASON = "consent was withdrawn"
NAMES = ("sub0416", "sub0417", "sub0418")
LEAVER = NAMES[1]
# What may differ in a store that somebody has left: what describes the whole of it.
WHOLE = {layout.DATASET, layout.TABLE, layout.FAILURES, layout.SHEET, layout.FORGOTTEN}


class NamedStages(FakeStages):
    """Subjects with names that no other bytes hold, in the names of folders and frames; the attention head has none."""

    def read(self, config: BuildConfig) -> Listing:
        listing = super().read(config)
        clips = tuple(
            replace(
                clip,
                subject_key=subject_key(clip.subject),
                frames=tuple(replace(frame, name=f"{clip.subject}-{frame.name}") for frame in clip.frames),
            )
            for clip in listing.clips
        )
        return replace(listing, clips=clips, annotation_files=(*listing.annotation_files, self.root / MARK))

    def fit_attention(self, observed: Sequence[str], config: BuildConfig) -> bytes:
        return digest_of(list(observed)).encode()


class Heard(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def stages(root: Path) -> NamedStages:
    """Two clips of each subject; everybody has lost one, and one clip of the leaver has no face."""
    lost = [ClipFailure(f"pics__{name}__none", f"no frames in {name}/none", root / "pics" / name) for name in NAMES]
    return NamedStages(root, face=frozenset({f"pics__{LEAVER}__clip2"}), failures=tuple(lost))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source and the store that is built of it."""
    folder = tmp_path_factory.mktemp("forget")
    root = make_source(folder / "root", subjects=len(NAMES))
    for number, name in enumerate(NAMES, 1):
        (root / "pics" / f"s{number}").rename(root / "pics" / name)
    (root / "labels.xlsx").write_bytes(f"a workbook that names {NAMES}".encode())
    write_mark(root, "Fake")
    build(make_config(root, folder / "out"), stages(root))
    return folder


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    """A store to change, with what a report leaves there."""
    shutil.copytree(built / "out", tmp_path / "out")
    (tmp_path / "out/report").mkdir()
    (tmp_path / "out" / layout.REPORT).write_text(f"pictures of {LEAVER}")
    return tmp_path / "out"


def traces(out: Path, name: str = LEAVER) -> list[str]:
    """Files whose path or content names a subject, and folders that do. The table is compressed: it is read."""
    table = read_table(out / layout.TABLE) if (out / layout.TABLE).is_file() else []
    folders = [path.relative_to(out).as_posix() for path in out.rglob("*") if name in path.relative_to(out).as_posix()]
    rows = [row.clip for row in table if name in str(row)]
    return sorted({*folders, *rows, *(path for path, content in tree_bytes(out).items() if name.encode() in content)})


# What goes and what stays


def test_nothing_of_the_subject_is_left_and_all_else_is_as_it_was(built: Path, store: Path) -> None:
    before = tree_bytes(built / "out")
    assert len(traces(store)) > 20
    gone = forget(store, LEAVER, REASON)
    assert traces(store) == []
    assert (gone.clips, gone.views) == (tuple(f"pics__{LEAVER}__{name}" for name in ("clip1", "clip2", "none")), 4)
    after = tree_bytes(store)
    workbook = f"{layout.ANNOTATIONS}/labels.xlsx"
    assert set(before) - set(after) == {path for path in before if LEAVER in path} | {workbook}
    assert set(after) - set(before) == {layout.FORGOTTEN}
    assert {path for path in after if after[path] != before.get(path)} == WHOLE
    assert gone.workbooks == ("labels.xlsx",)
    rows, was = read_table(store / layout.TABLE), read_table(built / "out" / layout.TABLE)
    assert rows == [row for row in was if row.subject != LEAVER]
    assert {failure.clip for failure in read_failures(store / layout.FAILURES)} == {
        f"pics__{name}__none" for name in NAMES if name != LEAVER
    }
    assert len(open_dataset(store).rows) == len(rows)


def test_a_page_that_went_is_written_again_by_whoever_finishes(store: Path) -> None:
    forget(store, LEAVER, REASON)  # as one that is killed before it writes the page
    assert not (store / layout.REPORT).exists()
    assert run(["forget", str(store), "--subject", LEAVER]) == 0
    assert (store / layout.REPORT).is_file()
    assert traces(store) == []


def test_the_tombstone_names_nobody_and_has_no_date(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "again")
    for out, name in ((store, LEAVER), (tmp_path / "again", "417")):  # the key means the same person
        forget(out, name, REASON)
    assert tree_bytes(store) == tree_bytes(tmp_path / "again")
    (stone,) = read_forgotten(store)
    clips = json.loads((store / layout.DATASET).read_text())["source"]["clips"]
    assert stone == bury("fake", "417", clips, REASON)
    assert set(json.loads((store / layout.FORGOTTEN).read_text())) == {"forgotten"}
    assert layout.FORGOTTEN in json.loads((store / layout.DATASET).read_text())["files"]


def test_everybody_may_leave_one_by_one(store: Path) -> None:
    for name in NAMES:
        forget(store, name, REASON)
    assert read_table(store / layout.TABLE) == []
    assert {path.split("/")[0] for path in tree_bytes(store)} == {
        *WHOLE,
        layout.BUILD,
        layout.ANNOTATIONS,
        "geometry",
    }
    assert len(read_forgotten(store)) == len(NAMES)


def test_a_stranger_in_their_folder_goes_a_clip_in_a_clip_stays(store: Path) -> None:
    """Files that nobody lists go with the folder that they are in; another's clip below theirs does not."""
    own = store / "views/source/pics" / LEAVER / "notes.txt"
    own.write_text("hair cut")
    (row, *_) = [row for row in read_table(store / layout.TABLE) if row.subject == LEAVER]
    stray = store / row.frames_directory / "thumbnail.png"
    stray.write_bytes(b"")
    forget(store, LEAVER, REASON)
    assert not (store / "views/source/pics" / LEAVER).exists()


def test_the_rest_of_a_killed_build_goes_too(store: Path) -> None:
    clip = f"pics__{LEAVER}__clip1"
    for path in (
        f"{layout.PARTIAL}/{clip}/0",
        f"{layout.PARTIAL}/{layout.TABLE}",
        f"{layout.TURNS}/clip {clip}",
        f"{layout.DONE}/.{clip}.json.tmp",
        f".{layout.SHEET}.tmp",
        f"{layout.SHARDS}/.1-of-2.json.tmp",
    ):
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_text(LEAVER)
    forget(store, LEAVER, REASON)
    assert traces(store) == []


def test_a_dry_run_lists_what_goes_and_writes_nothing(store: Path) -> None:
    before = tree_bytes(store)
    would = forget(store, LEAVER, REASON, dry_run=True)
    assert tree_bytes(store) == before
    went = forget(store, LEAVER, REASON)
    assert would == went
    assert set(would.files) == set(before) - set(tree_bytes(store))


def test_a_store_that_leads_out_of_itself_loses_nothing(store: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    shutil.move(store / "views/yaw+45", outside)
    (store / "views/yaw+45").symlink_to(outside)
    before = tree_bytes(outside)
    with pytest.raises(StoreError, match="lies outside it"):
        forget(store, LEAVER, REASON)
    assert tree_bytes(outside) == before
    assert (store / layout.DATASET).is_file()


# Refusals


def test_an_unknown_subject_is_refused_with_the_nearest(store: Path, tmp_path: Path) -> None:
    before = tree_bytes(store)
    with pytest.raises(StoreError, match=rf"no subject 'sub0471'; the nearest are .*{LEAVER}"):
        forget(store, "sub0471", REASON)
    assert tree_bytes(store) == before
    with pytest.raises(StoreError, match="no mvgen dataset"):
        forget(tmp_path / "nowhere", LEAVER, REASON)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("reason", [" ", f"{LEAVER} asked for it", LEAVER.upper()])
def test_a_reason_that_says_nothing_or_too_much_is_refused(store: Path, reason: str) -> None:
    with pytest.raises(ConfigError, match=r"--reason (is empty|names the subject)"):
        forget(store, LEAVER, reason)


def test_a_store_that_is_being_refined_is_left_to_that(store: Path) -> None:
    (store / layout.DATASET).rename(store / layout.REFINING)
    with pytest.raises(StoreError, match="run `mvgen refine` again"):
        forget(store, LEAVER, REASON)


# What comes after


def test_forgetting_again_changes_nothing(store: Path) -> None:
    forget(store, LEAVER, REASON)
    before = tree_bytes(store)
    assert forget(store, LEAVER, "another reason").before
    assert tree_bytes(store) == before


def test_a_build_into_the_same_folder_does_not_bring_them_back(built: Path, store: Path) -> None:
    forget(store, LEAVER, REASON)
    before = tree_bytes(store)
    root, heard = built / "root", Heard()
    assert build(make_config(root, store), stages(root), heard).nothing_to_do
    assert heard.notes == ["clips left out because their subjects have left: 2"]
    build(make_config(root, store), stages(root), retry_failed=True)
    assert tree_bytes(store) == before
    (store / layout.DATASET).unlink()
    (row, *_) = read_table(store / layout.TABLE)
    (store / layout.marker_path(row.clip)).unlink()
    build(make_config(root, store), stages(root))
    assert tree_bytes(store) == before


def test_a_store_that_is_built_without_them_is_the_same_but_for_what_was_fitted(built: Path, tmp_path: Path) -> None:
    """A tombstone in an empty folder: neither the attention head nor anything else ever sees them."""
    root, out = built / "root", tmp_path / "new"
    shutil.copytree(built / "out", tmp_path / "old")
    forget(tmp_path / "old", LEAVER, REASON)
    write_forgotten(out, read_forgotten(tmp_path / "old"))
    build(make_config(root, out), stages(root))
    assert traces(out) == []
    old, new = tree_bytes(tmp_path / "old"), tree_bytes(out)
    assert {path for path in {*old, *new} if old.get(path) != new.get(path)} <= {layout.ATTENTION, layout.DATASET}


def test_a_tombstone_that_is_brought_by_hand_is_carried_out_by_a_build(built: Path, store: Path) -> None:
    shutil.rmtree(store / "report")
    clips = json.loads((store / layout.DATASET).read_text())["source"]["clips"]
    write_forgotten(store, [bury("fake", "417", clips, REASON)])
    stones = read_forgotten(store)
    found = list(check_forgotten(store, "fake", stones, read_table(store / layout.TABLE), []))
    assert f"views/source/pics/{LEAVER}/clip1/{LEAVER}-img8.jpg" in {finding.file for finding in found}
    build(make_config(built / "root", store), stages(built / "root"))
    assert traces(store) == []
    assert list(check_forgotten(store, "fake", stones, read_table(store / layout.TABLE), [])) == []


def test_a_refined_store_forgets_and_a_store_that_forgot_is_refined(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "other")
    refine(store, 0.9)
    forget(store, LEAVER, REASON)
    forget(tmp_path / "other", LEAVER, REASON)
    refine(tmp_path / "other", 0.9)
    assert tree_bytes(store) == tree_bytes(tmp_path / "other")


def test_a_store_without_the_records_of_its_build_forgets_too(store: Path) -> None:
    shutil.rmtree(store / layout.DONE)
    (store / layout.BUILD).unlink()
    forget(store, LEAVER, REASON)
    assert traces(store) == []


def test_a_build_that_is_not_finished_forgets_and_goes_on(built: Path, store: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "out", tmp_path / "wanted")
    forget(tmp_path / "wanted", LEAVER, REASON)
    shutil.rmtree(store / "report")
    for path in (layout.DATASET, layout.TABLE, layout.FAILURES, layout.SHEET):
        (store / path).unlink()
    other = f"pics__{NAMES[0]}__clip1"
    (store / layout.marker_path(other)).unlink()
    assert forget(store, LEAVER, REASON).views == 4
    assert traces(store) == []
    assert not (store / layout.DATASET).exists()
    assert traces(store, NAMES[0])
    build(make_config(built / "root", store), stages(built / "root"))
    assert tree_bytes(store) == tree_bytes(tmp_path / "wanted")


def test_in_a_folder_of_videos_the_table_says_whose_the_lost_clips_were(store: Path) -> None:
    """Their folders need not: here one of the leaver's is called like another subject."""
    about = json.loads((store / layout.DATASET).read_text())
    about["source"]["name"] = "folder"
    (store / layout.DATASET).write_text(canonical_json(about))
    table = f"clip,subject\nodd/take.mp4,{LEAVER}\npics/{NAMES[0]}/none,{NAMES[0]}\n"
    (store / layout.ANNOTATIONS / "labels.xlsx").rename(store / layout.ANNOTATIONS / "labels.csv").write_text(table)
    lost = [Failure("odd__take", "folder", "source", "no frame"), *read_failures(store / layout.FAILURES)]
    (store / layout.FAILURES).write_text(failure_lines(lost))
    assert "odd__take" in forget(store, LEAVER, REASON).clips
    assert {failure.clip for failure in read_failures(store / layout.FAILURES)} == {
        f"pics__{name}__none" for name in NAMES if name != LEAVER
    }


# Killed in the middle


class KilledError(BaseException):
    """Stands for the end of the process."""


def forget_until(step: int, out: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Forget, and die at the given file operation; whether it came to that."""
    real = {os: os.replace, Path: Path.unlink}
    calls = iter(range(10000))

    def replace_file(before: Path, after: Path) -> None:
        if next(calls) == step:
            raise KilledError
        real[os](before, after)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name != layout.LOCK and next(calls) == step:
            raise KilledError
        real[Path](path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_file)
        patch.setattr(Path, "unlink", unlink)
        try:
            forget(out, LEAVER, REASON)
        except KilledError:
            return True
    return False


@pytest.mark.parametrize("mended_by", ["forget", "build"])
def test_killed_between_any_two_files_it_is_mended(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mended_by: str
) -> None:
    shutil.copytree(built / "out", tmp_path / "wanted")
    forget(tmp_path / "wanted", LEAVER, REASON)
    wanted, step = tree_bytes(tmp_path / "wanted"), 0
    while True:
        out = tmp_path / str(step)
        shutil.copytree(built / "out", out)
        if not forget_until(step, out, monkeypatch):
            break
        if step:
            with pytest.raises(StoreError, match="run `mvgen forget` again"):
                open_dataset(out)
        if mended_by == "forget":
            forget(out, LEAVER, REASON)
        elif (out / layout.FORGOTTEN).is_file():
            build(make_config(built / "root", out), stages(built / "root"))
        else:
            step += 1
            continue
        assert tree_bytes(out) == wanted, step
        shutil.rmtree(out)
        step += 3 if step > 8 else 1
    assert step > 20


# Shards


def shards(built: Path, outs: list[Path]) -> None:
    for number, out in enumerate(outs, 1):
        build(make_config(built / "root", out), stages(built / "root"), shard=Shard(len(outs), number))


@pytest.mark.parametrize("apart", [False, True])
def test_a_merge_does_not_bring_them_back(built: Path, tmp_path: Path, apart: bool) -> None:
    """Only one part knows that they left; the others hold clips of theirs still."""
    shutil.copytree(built / "out", tmp_path / "wanted")
    forget(tmp_path / "wanted", LEAVER, REASON)
    parts = [tmp_path / (f"part{number}" if apart else "part") for number in range(4)]
    shards(built, parts)
    part = next(part for part in parts if traces(part / layout.DONE))
    forget(part, LEAVER, REASON)
    assert traces(part) == []
    merge(list(dict.fromkeys(parts)), tmp_path / "out")
    assert tree_bytes(tmp_path / "out") == tree_bytes(tmp_path / "wanted")
    merge(list(dict.fromkeys(parts)), tmp_path / "out")
    assert tree_bytes(tmp_path / "out") == tree_bytes(tmp_path / "wanted")


def test_a_merge_into_a_part_that_holds_them_removes_them(built: Path, tmp_path: Path) -> None:
    parts = [tmp_path / f"part{number}" for number in range(2)]
    shards(built, parts)
    holding = [part for part in parts if traces(part / "views")]
    knowing = next(part for part in parts if part != holding[0])
    forget(knowing, LEAVER, REASON)
    merge(parts, holding[0])
    assert traces(holding[0]) == []


def test_a_shard_that_goes_on_leaves_them_out(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shards(built, [out] * 2)
    forget(out, LEAVER, REASON)
    shards(built, [out] * 2)
    assert traces(out) == []
    merge([out], out)
    shutil.copytree(built / "out", tmp_path / "wanted")
    forget(tmp_path / "wanted", LEAVER, REASON)
    assert tree_bytes(out) == tree_bytes(tmp_path / "wanted")


def test_someone_who_leaves_while_a_build_begins_is_not_built(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, root = tmp_path / "out", built / "root"
    shutil.copytree(built / "out", out)
    (out / layout.DATASET).unlink()
    begun = NamedStages.weights

    def weights(self: NamedStages, config: BuildConfig) -> dict[str, str]:
        forget(out, LEAVER, REASON)
        return begun(self, config)

    monkeypatch.setattr(NamedStages, "weights", weights)
    with pytest.raises(StoreError, match="run the same line again"):
        build(make_config(root, out), stages(root))
    assert traces(out) == []


# Records


@pytest.mark.parametrize("content", [b"", b"[]", b'{"forgotten": 3}', b'{"forgotten": [{"digest": "x"}]}'])
def test_a_damaged_record_is_named(store: Path, content: bytes) -> None:
    (store / layout.FORGOTTEN).write_bytes(content)
    with pytest.raises(StoreError, match=r"\.forgotten\.json is damaged"):
        read_forgotten(store)
    with pytest.raises(ValueError, match=r".+"):
        parse_forgotten(content)


# The command


def test_the_command_says_what_went_and_what_cannot_be_undone(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["forget", str(store), "--subject", LEAVER]
    assert run([*line, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert f"geometry/pics__{LEAVER}__clip1.npz" in printed
    assert "nothing was removed" in printed
    assert traces(store)
    shutil.rmtree(store / "report")
    assert run([*line, "--reason", "asked to"]) == 0
    printed = capsys.readouterr().out
    assert "labels.xlsx, which names everybody" in printed
    assert "the attention head" in printed
    assert "copies that others made" in printed
    assert traces(store) == []
    assert run(line) == 0
    assert "has left already" in capsys.readouterr().out
    assert run(["forget", str(store), "--subject", "nobody"]) == 2
    assert "no subject 'nobody'" in capsys.readouterr().err
