"""Reading a licensed release from disk: its trees, its workbook, and its rows as clips."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar, NamedTuple

from mvgen.core.errors import ClipError, SourceError
from mvgen.core.names import unstorable
from mvgen.core.records import Clip, Frame, Kind, Label, Redistribution
from mvgen.sources import SOURCES, get_source
from mvgen.sources.base import ClipFailure, Listing, Problem, Source, Variant, store_annotations, subject_key
from mvgen.sources.frames import list_frames
from mvgen.sources.labels import action_units
from mvgen.sources.spans import NO_APEX, gaps, settle_span
from mvgen.sources.trees import FoundTree, Tree, clip_folders, find_trees, folders, subject_folders
from mvgen.sources.workbook import (
    WORKBOOK_SUFFIXES,
    Sheet,
    find_table,
    find_workbook,
    is_blank,
    number,
    read_sheets,
    text,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One annotated expression.

    where : row and workbook, in words
    folder : name by which the folder of its frames is looked up; in trees of clips, the name of the clip
    action_units, objective_class, kind, filmed_as : as in `records.Clip`
    fps : frames per second, where a release tells it of each clip
    fault : why the row cannot be used; empty if it can
    """

    where: str
    subject: str
    name: str
    folder: str
    emotion: str
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    fault: str = ""
    action_units: tuple[str, ...] = ()
    objective_class: str | None = None
    kind: Kind | None = None
    filmed_as: str | None = None
    fps: float | None = None


@dataclass(slots=True)
class Findings:
    """Clips, problems and failures collected while reading one release.

    root : the release's folder; places are relative to it
    """

    root: Path
    clips: list[Clip] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    failures: list[ClipFailure] = field(default_factory=list)

    def repaired(self, where: str, reason: str) -> None:
        self.problems.append(Problem(where, "repaired", reason))

    def dropped(self, where: str, reason: str) -> None:
        self.problems.append(Problem(where, "dropped", reason))


class Release(Source):
    """A release of folders of frames and a workbook.

    has_apex : whether the release annotates apexes at all
    fps : frames per second
    trees : its folder trees, in the order in which `variant="auto"` prefers them
    workbooks : file name patterns of its workbook, the preferred edition first
    labels : emotion as released (lower case) -> 3-class label; None if it belongs to no class
    """

    redistribution: ClassVar[Redistribution] = "forbidden"
    stand_in: ClassVar[bool] = True
    has_apex: ClassVar[bool] = True
    fps: ClassVar[float]
    trees: ClassVar[tuple[Tree, ...]]
    workbooks: ClassVar[tuple[str, ...]]
    labels: ClassVar[Mapping[str, Label | None]]

    @abstractmethod
    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        """Rows of the workbook, in its order; invalid rows are reported in the findings."""

    def _folders(self, found: FoundTree) -> dict[tuple[str, str], Path]:
        """Folders of frames by the key of their row."""
        return clip_folders(found)

    def _key(self, row: Row) -> tuple[str, str]:
        """What a row's folder is looked up by: the subject's key, and the folder's name in lower case."""
        return subject_key(row.subject), row.folder.lower()

    def _place(self, found: FoundTree, subject: str, row: Row) -> Path:
        """Where the frames of a row without a folder would be. subject : name of the subject's folder"""
        return found.folder / subject / row.name

    def _fps(self, found: FoundTree) -> float:
        return self.fps

    def recognises(self, root: Path) -> bool:
        return bool(find_trees(root, self.trees) or find_workbook([root], self.workbooks))

    def _read(self, root: Path, annotations: Path | None, variant: Variant) -> Listing:
        found = self.find_tree(root, variant)
        findings = Findings(root)
        workbook = self.find_annotations(root, found, annotations, findings)
        rows = self._rows(workbook, read_sheets(workbook), found, findings)
        if not rows:
            raise SourceError(
                f"workbook {workbook} is empty: it holds no annotated clip; copy it from the release again"
            )
        self.collect(found, rows, findings)
        return self.listing(findings, f"{workbook.name}, {found.tree.variant} frames", (workbook,))

    def listing(self, findings: Findings, version: str, annotation_files: tuple[Path, ...]) -> Listing:
        """A listing of the findings, sorted."""
        return Listing(
            dataset=self.name,
            title=self.title,
            licence=self.licence,
            redistribution=self.redistribution,
            version=version,
            clips=tuple(sorted(findings.clips, key=lambda clip: clip.directory)),
            problems=tuple(findings.problems),
            failures=tuple(sorted(findings.failures, key=lambda failure: (failure.clip, failure.reason))),
            annotation_files=annotation_files,
        )

    def find_tree(self, root: Path, variant: Variant) -> FoundTree:
        """The tree to read, in the root or in the one folder it was unpacked into."""
        trees = [tree for tree in self.trees if tree.long or not self.chosen.video_frames]
        for base in (root, *folders(root)):
            found = find_trees(base, trees)
            if not found and base == root and not any(other.recognises(root) for other in self._others()):
                found = find_trees(base, trees, inside=True)
            wanted = [one for one in found if variant in ("auto", one.tree.variant)]
            if wanted:
                return wanted[0]
            if found:
                have = ", ".join(f"{one.folder.name} ({one.tree.variant})" for one in found)
                raise SourceError(
                    f"root {root} holds no {variant} frames of {self.title}, only {have}; leave out --variant"
                )
        if self.chosen.video_frames and self.recognises(root):
            raise SourceError(f"root {root} holds no long videos of {self.title}; leave out --video-frames")
        raise SourceError(self._refusal(root, f"root {root} holds none of the folders of {self.title}"))

    def find_annotations(self, root: Path, found: FoundTree, annotations: Path | None, findings: Findings) -> Path:
        """The workbook: as given, or in the root, beside the tree, or in the store of which the root is a view."""
        expected = " or ".join(self.workbooks)
        if annotations is not None and annotations.is_file():
            return annotations
        if annotations is not None:
            workbooks = find_workbook([annotations], self.workbooks)
            if not workbooks:
                workbooks = find_workbook([annotations], [f"*{suffix}" for suffix in WORKBOOK_SUFFIXES])
                if len(workbooks) != 1:
                    raise SourceError(f"annotations {annotations} hold no {expected}; give the workbook itself")
        else:
            workbooks = find_workbook(self.annotation_folders(root, found), self.workbooks)
        if not workbooks:
            missing = f"the workbook of {self.title} ({expected}) is not in root {root}; give it with --annotations"
            raise SourceError(self._refusal(root, missing))
        for other in workbooks[1:]:
            findings.dropped(other.name, f"another edition of the workbook; {workbooks[0].name} is read")
        return workbooks[0]

    @staticmethod
    def annotation_folders(root: Path, found: FoundTree) -> tuple[Path, ...]:
        """Folders that may contain the annotations, the likeliest first."""
        between = [parent for parent in (found.folder, *found.folder.parents) if parent.is_relative_to(root)]
        return tuple(dict.fromkeys([root, *reversed(between), root / "annotations", *store_annotations(root)]))

    def collect(self, found: FoundTree, rows: Sequence[Row], findings: Findings) -> None:
        """Turn rows into clips, failures and problems."""
        index = self._folders(found)
        subjects = {subject_key(folder.name): folder.name for folder in subject_folders(found)}
        keys = [self._key(row) for row in rows]
        times = Counter(keys)
        seen: dict[tuple[str, str], str] = {}
        for row, key in zip(rows, keys, strict=True):
            if row.kind is not None and self.chosen.kind not in ("both", row.kind):
                continue
            if (earlier := seen.setdefault((key[0], row.name.lower()), row.where)) != row.where:
                findings.dropped(row.where, f"{row.subject}/{row.name} is already in {earlier}")
                continue
            if unusable := unstorable(row.name) or unstorable(row.subject):
                parts = (*found.folder.relative_to(findings.root).parts, row.subject, row.name)
                reason = f"the name {row.subject}/{row.name} {unusable} ({row.where})"
                findings.failures.append(ClipFailure("__".join(parts), reason, found.folder))
                continue
            place = index.get(key)
            # Clips of one long video would share a folder, and so their ids: each gets a folder of its own below it.
            own = place or self._place(found, subjects.get(key[0], row.subject), row)
            if found.tree.long and times[key] > 1 and (place or own.name != row.name):
                own = own / row.name
            directory = PurePosixPath(own.relative_to(findings.root).as_posix())
            try:
                if place is None:
                    raise ClipError("source", f"no folder for this clip in {found.folder.name}")
                # A view of a store holds the span of a long video in the clip's own folder.
                clip = self._clip(row, directory, own if own.is_dir() else place, found, findings)
                if self.chosen.video_frames and row.filmed_as is None:
                    # Frames around one expression may be those of another of the same video.
                    clip = replace(clip, filmed_as="__".join(place.relative_to(findings.root).parts))
            except ClipError as error:
                reason = f"{row.fault or error.reason} ({row.where})"
                findings.failures.append(ClipFailure("__".join(directory.parts), reason, place or found.folder))
            else:
                findings.clips.append(clip)
        if not found.tree.long:
            for folder in sorted(index[key] for key in index.keys() - set(keys)):
                where = folder.relative_to(findings.root).as_posix()
                findings.dropped(where, "the annotations do not mention this folder")

    def _clip(self, row: Row, directory: PurePosixPath, place: Path, found: FoundTree, findings: Findings) -> Clip:
        if row.fault:
            raise ClipError("source", row.fault)
        try:
            frames, dropped = list_frames(place)
        except OSError as error:
            raise ClipError("source", f"the folder cannot be read: {error.strerror}", place) from None
        for name, reason in dropped:
            findings.dropped((place / name).relative_to(findings.root).as_posix(), reason)
        if found.tree.long:
            if row.onset is None or not row.offset:
                raise ClipError("source", "a clip of a long video needs onset and offset")
            frames = _around(frames, row.onset, row.offset, self.chosen.video_frames or 0)
        span = settle_span(row.onset, row.apex, row.offset, frames)
        notes = [*span.notes, *filter(None, [gaps(frames)])]
        for note in notes:
            if note != NO_APEX or self.has_apex:
                findings.repaired(row.where, f"{row.subject}/{row.name}: {note}")
        if row.emotion.lower() not in self.labels:
            findings.repaired(row.where, f"unknown emotion {row.emotion!r}: kept without a 3-class label")
        return Clip(
            dataset=self.name,
            subject=row.subject,
            subject_key=subject_key(row.subject),
            name=row.name,
            emotion=row.emotion,
            label=self.labels.get(row.emotion.lower()),
            onset=span.onset,
            apex=span.apex,
            offset=span.offset,
            fps=row.fps or self._fps(found),
            directory=directory,
            frames=frames,
            licence=self.licence,
            redistribution=self.redistribution,
            notes=tuple(notes),
            action_units=row.action_units,
            objective_class=row.objective_class,
            kind=row.kind,
            filmed_as=row.filmed_as,
        )

    def _others(self) -> list[Source]:
        return [get_source(name) for name in sorted(SOURCES.built_in) if name != self.name]

    def _refusal(self, root: Path, what: str) -> str:
        """Error message for a root that is not this release; it names the release that the root looks like."""
        # CAS(ME)² and CASME II are often confused.
        for other in self._others():
            if other.recognises(root):
                return f"{what}: it looks like {other.title}. Use --dataset {other.name}."
        return f"{what}.\n{self.expectation()}"


def _around(frames: Sequence[Frame], onset: int, offset: int, least: int) -> tuple[Frame, ...]:
    """The frames of a video from onset to offset, with as many on either side as make `least`, if it has them."""
    inside = [index for index, frame in enumerate(frames) if onset <= frame.number <= offset]
    if not inside:
        return ()
    count = min(max(len(inside), least), len(frames))
    first = min(max(inside[0] - (count - len(inside)) // 2, 0), len(frames) - count)
    return tuple(frames[first : first + count])


class CodedClip(NamedTuple):
    """A row of a workbook that codes a clip. subject : its key; cells : of all columns, by field"""

    where: str
    subject: str
    name: str
    cells: Mapping[str, object]


def coded_clips(
    workbook: Path,
    sheets: Sequence[Sheet],
    columns: Mapping[str, Sequence[str]],
    findings: Findings,
    optional: Sequence[str] = (),
) -> Iterator[CodedClip]:
    """The coded clips of a workbook with a header; rows without a name or a subject's number are reported.

    columns : with "subject" and "name", see `find_table`, whose errors are raised
    """
    for record in find_table(workbook, sheets, columns, optional):
        where = f"row {record.line} of {workbook.name}"
        subject, name = subject_key(text(record.cells["subject"])), text(record.cells["name"])
        if name and subject.isdecimal():
            yield CodedClip(where, subject, name, record.cells)
        else:
            findings.dropped(where, f"not a coded clip: {written(record.cells.values())}")


def make_row(
    where: str,
    subject: str,
    name: str,
    emotion: str,
    cells: Mapping[str, object],
    *,
    kind: Kind | None = None,
    folder: str = "",
    filmed_as: str | None = None,
    fps: float | None = None,
) -> Row:
    """A row from cells.

    cells : of onset, apex, offset, action units ("units") and objective class ("objective"), as far as the release has
        them; an invalid frame number becomes the fault of the row
    folder : name of the folder of frames; the clip's name by default
    """
    values: dict[str, int | None] = dict.fromkeys(("onset", "apex", "offset"))
    faults = []
    for what in values:
        try:
            values[what] = number(cells.get(what))
        except ValueError as error:
            faults.append(f"{what}: {error}")
    onset, apex, offset = values.values()
    objective = text(cells.get("objective"))
    return Row(
        where,
        subject,
        name,
        folder or name,
        emotion,
        onset,
        apex,
        offset,
        "; ".join(faults),
        action_units=action_units(cells.get("units")),
        objective_class=None if is_blank(objective) else objective,
        kind=kind,
        filmed_as=filmed_as,
        fps=fps,
    )


def written(cells: Iterable[object]) -> str:
    """The non-empty cells of a row, for a message."""
    return ", ".join(text(cell) for cell in cells if text(cell))[:80]
