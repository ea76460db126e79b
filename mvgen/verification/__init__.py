"""Check a finished dataset: every byte, its records, its labels and its geometry.

findings  problems, and how to fix them
table     compares the table, `dataset.json` and the build records with one another
files     compares every file with its digest
labels    compares the table with the source's workbook
forgotten  looks for traces of subjects who have left
provenance  looks for rendered frames that do not say that they are synthetic
sample    reads a sample of views; geometry checks them
source_depth, meshes  compare a dataset with what its source measured; origin finds that, differences tells it
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mvgen.core.errors import StoreError
from mvgen.sources.marks import find_mark
from mvgen.store import layout
from mvgen.store.about import parse_about, read_about, stored_config
from mvgen.store.checks import row_problems
from mvgen.store.manifest import ViewRow, read_failures, read_rows
from mvgen.verification.files import check_clips, check_digests, check_extra, check_listed, expected_files
from mvgen.verification.findings import WHOLE, Finding
from mvgen.verification.forgotten import check_forgotten, read_tombstones
from mvgen.verification.labels import check_labels
from mvgen.verification.provenance import check_provenance
from mvgen.verification.table import check_about, check_records, check_rows
from mvgen.verification.videos import check_videos

__all__ = ["Finding", "Verification", "verify"]

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of a check.

    files : number of files compared with their digests; views : number of views whose geometry was checked
    findings : sorted; empty if the dataset is intact
    stand_in : whether the source is a stand-in made by `mvgen synth`
    """

    out: Path
    files: int
    views: int
    findings: tuple[Finding, ...]
    stand_in: bool

    @property
    def exit_code(self) -> int:
        return 1 if self.findings else 0

    @property
    def clips(self) -> tuple[str, ...]:
        """Ids of the clips to build again, sorted."""
        return tuple(sorted({finding.clip for finding in self.findings if finding.clip is not None}))


def verify(out: Path, sample: int = 100, seed: int = 0) -> Verification:
    """Check a finished dataset; nothing is changed.

    sample : number of views whose geometry is checked; seed : of their random choice
    Raises StoreError for a folder that holds no finished dataset.
    """
    if not (out / layout.DATASET).is_file():
        read_about(out)  # its error explains what the folder is instead
    about, found = _readable(parse_about, out, layout.DATASET)
    if about is None:
        return _verification(out, found)
    whole = [*check_listed(about["files"]), *check_digests(out, about["files"])]
    # What cannot be relied on is not read.
    if any(finding.file in (layout.DATASET, layout.TABLE, layout.FAILURES) for finding in whole):
        return _verification(out, whole, len(about["files"]))
    rows, found = _readable(read_rows, out, layout.TABLE)
    failures, unlisted = _readable(read_failures, out, layout.FAILURES)
    found += unlisted
    if rows is None or failures is None or found:
        return _verification(out, [*whole, *found], len(about["files"]))
    text = (out / layout.DATASET).read_text(encoding="utf-8")
    found = [*check_about(text, about, rows, failures), *check_rows(about, rows)]
    sound = [row for row in rows if not any(row_problems(row))]
    found += check_clips(out, sound)
    damaged = {finding.clip for finding in found if finding.clip is not None}
    unchanged = [row for row in sound if row.clip not in damaged]
    found += [*check_provenance(out, unchanged), *check_videos(out, unchanged)]
    found += check_records(out, about, rows, failures)
    clips = {row.clip for row in rows} | {failure.clip for failure in failures}
    found += check_extra(out, expected_files(about["files"], sound, clips))
    tombstones, unread = read_tombstones(out)
    found += [*unread, *check_forgotten(out, str(about["source"].get("name")), tombstones, rows, failures)]
    if not whole and not tombstones:  # the workbook is as it was copied; it names everybody, so nobody may have left
        found += check_labels(out, stored_config(about).source, sound)
    chosen = draw(sound, sample, seed, damaged)
    if chosen:
        from mvgen.verification.sample import check_sample  # loads OpenCV

        found += check_sample(out, about, rows, chosen)
    listed = {path for row in sound for path in row.files()} | set(about["files"])
    return _verification(out, [*whole, *found], len(listed), len(chosen))


def draw(rows: Sequence[ViewRow], count: int, seed: int, without: Collection[str]) -> list[ViewRow]:
    """A random choice of up to `count` views, in the order of the table; depends on the seed only.

    without : clips that are known to be damaged
    """
    whole = [row for row in rows if row.clip not in without]
    chosen = random.Random(seed).sample(range(len(whole)), min(count, len(whole)))
    return [whole[index] for index in sorted(chosen)]


def _readable(read: Callable[[Path], Content], out: Path, name: str) -> tuple[Content | None, list[Finding]]:
    """The result of `read` for a file, or None and a finding."""
    try:
        return read(out / name), []
    except StoreError as error:
        return None, [Finding(name, f"it cannot be read: {error}", WHOLE)]


def _verification(out: Path, found: Iterable[Finding], files: int = 0, views: int = 0) -> Verification:
    findings = tuple(sorted(set(found), key=lambda one: (one.file, one.problem)))
    return Verification(out, files, views, findings, find_mark([out / layout.ANNOTATIONS]) is not None)
