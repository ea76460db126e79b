"""Any directory of videos or of folders of frames, with labels from an optional CSV table."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import cast

from mvgen.core.errors import ClipError, SourceError
from mvgen.core.records import Clip, Frame, Kind, Label
from mvgen.sources.base import ClipFailure, Listing, Problem, Source, Variant, store_annotations, subject_key
from mvgen.sources.frames import IMAGE_SUFFIXES, VIDEO_SUFFIXES, list_frames, list_video, unread
from mvgen.sources.labels import action_units
from mvgen.sources.parts import around, as_labels, lists_parts
from mvgen.sources.spans import NO_APEX, settle_span
from mvgen.sources.workbook import number, read_sheets, text

COLUMNS = (
    *("clip", "subject", "emotion", "label", "onset", "apex", "offset", "fps"),
    *("action_units", "objective_class", "kind"),
)
LABELS = ("negative", "positive", "surprise")
DEFAULT_FPS = 30.0
# The emotions of the releases, for tables that have no label column, with other words for them.
_WORDS: dict[Label, dict[str, tuple[str, ...]]] = {
    "negative": {
        "anger": ("angry",),
        "contempt": ("contemptuous",),
        "disgust": ("disgusted",),
        "fear": ("fearful", "afraid", "scared"),
        "repression": ("repressed",),
        "sadness": ("sad",),
        "negative": (),
    },
    "positive": {"happiness": ("happy", "joy", "joyful", "amusement", "amused"), "positive": ()},
    "surprise": {"surprise": ("surprised",)},
}
_LABEL_OF = {word: label for label, words in _WORDS.items() for word in words}
_SAME_AS = {other: word for words in _WORDS.values() for word, others in words.items() for other in others}
_NO_CLASS = ("none", "neutral", "other", "others")


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row of the table; blank fields are None."""

    where: str
    subject: str | None = None
    emotion: str | None = None
    label: Label | None = None
    onset: int | None = None
    apex: int | None = None
    offset: int | None = None
    fps: float | None = None
    action_units: tuple[str, ...] = ()
    objective_class: str | None = None
    kind: Kind | None = None


class Folder(Source):
    """Each video and each folder of frames is a clip. Its subject is that in the table, else its topmost folder."""

    name = "folder"
    title = "a folder of videos or frames"
    rate = "as the video states, else 30"
    licence = "unknown: the terms of the files' owner"
    redistribution = "gated"
    access = "your own files"
    tree = """
ROOT/any/name/video.mp4         (.mp4 .avi .mov .mkv .webm), or
ROOT/any/name/frame001.jpg      (.jpg .jpeg .png .bmp), and optionally
ROOT/labels.csv                 clip,subject,emotion,label,onset,apex,offset,fps,action_units,objective_class,kind
"""

    def _read(self, root: Path, annotations: Path | None, variant: Variant) -> Listing:
        table = _find_table(root, annotations)
        rows = {} if table is None else read_labels(table)
        problems: list[Problem] = []
        failures: list[ClipFailure] = []
        clips: list[Clip] = []
        used: set[str] = set()
        parted = table is not None and lists_parts(table)
        for directory, path, key in _in_table(root, rows, parted, problems):
            used.update([key] if key else [])
            row = rows[key] if key else LabelRow("")
            try:
                clip = self._clip(directory, path, row, problems)
            except ClipError as error:
                where = f" ({row.where})" if row.where else ""
                failures.append(ClipFailure("__".join(directory.parts), f"{error.reason}{where}", error.path or path))
            else:
                clips.append(clip)
        for name, row in rows.items():
            if name not in used:
                identity = "__".join(PurePosixPath(name).parts)
                failures.append(ClipFailure(identity, f"no video and no frames are there; {row.where} lists it"))
        if any(row.emotion or row.label for row in rows.values()) and clips and not any(clip.label for clip in clips):
            problems.append(Problem(table.name if table else "", "dropped", "its emotions and labels class no clip"))
        if not clips and not failures:
            raise SourceError(f"root {root} holds no video and no image.\n{self.expectation()}")
        release = _release_at(root)
        terms = release or self
        if release is not None:
            reason = f"it looks like {release.title}, whose terms hold: {release.redistribution}"
            problems.append(Problem(".", "repaired", reason))
            clips = [replace(one, licence=terms.licence, redistribution=terms.redistribution) for one in clips]
        return Listing(
            dataset=self.name,
            title=self.title,
            licence=terms.licence,
            redistribution=terms.redistribution,
            version=table.name if table else "without a table",
            clips=tuple(sorted(clips, key=lambda clip: clip.directory)),
            problems=tuple(problems),
            failures=tuple(sorted(failures, key=lambda failure: failure.clip)),
            annotation_files=(table,) if table else (),
        )

    def _clip(self, directory: PurePosixPath, path: Path, row: LabelRow, problems: list[Problem]) -> Clip:
        frames, rate = _frames(path, problems)
        span = settle_span(row.onset, row.apex, row.offset, frames)
        if row.onset is not None and row.offset:
            frames = around(frames, span.onset, span.offset)
        # Without a table there is nothing to repair.
        notes = tuple(note for note in span.notes if row.where or note == NO_APEX)
        fps = row.fps or rate
        if fps is None:
            notes += (f"no frame rate is stated: {DEFAULT_FPS:g} is taken",)
        subject = row.subject or (directory.parts[0] if len(directory.parts) > 1 else directory.name)
        emotion = row.emotion or row.label or "none"
        # A blank cell was not repaired.
        repairs = [note for note in span.notes if row.where and not note.startswith("no ")]
        label, repair = _label(emotion) if row.label is None else (row.label, None)
        for reason in (*repairs, *([repair] if repair else [])):
            problems.append(Problem(row.where, "repaired", f"{directory}: {reason}"))
        return Clip(
            dataset=self.name,
            subject=subject,
            subject_key=subject_key(subject),
            name=directory.name,
            emotion=emotion,
            label=label,
            onset=span.onset,
            apex=span.apex,
            offset=span.offset,
            fps=fps or DEFAULT_FPS,
            directory=directory,
            frames=frames,
            licence=self.licence,
            redistribution=self.redistribution,
            notes=notes + ((repair,) if repair else ()),
            action_units=row.action_units,
            objective_class=row.objective_class,
            kind=row.kind,
        )


def _release_at(root: Path) -> Source | None:
    """The release that a folder, the one it lies in, or one in it looks like; the strictest, None where it is none."""
    from mvgen.sources import SOURCES

    whole = root.resolve()
    places = [whole, whole.parent, *(entry for entry in whole.iterdir() if entry.is_dir())]
    releases: list[Source] = [SOURCES.make(name) for name in SOURCES.built_in if name not in ("folder", "demo")]
    for release in sorted(releases, key=lambda one: one.redistribution != "forbidden"):
        for place in places:
            with suppress(OSError):
                if release.recognises(place):
                    return release
    return None


def _label(emotion: str) -> tuple[Label | None, str | None]:
    """The class of an emotion, and what had to be assumed, in words."""
    word = emotion.strip().lower()
    label = _LABEL_OF.get(_SAME_AS.get(word, word))
    if word in _SAME_AS:
        return label, f"emotion {emotion!r} is read as {_SAME_AS[word]}, the class {label}"
    if label is None and word not in _NO_CLASS:
        return None, f"unknown emotion {emotion!r}: kept without a class; a column 'label' can give it one"
    return label, None


def read_labels(path: Path) -> dict[str, LabelRow]:
    """Rows of a label table by the clip's path, relative to the root.

    Raises SourceError naming the line for an unknown column (with the nearest known one), a repeated clip, an unknown
    label or a cell that is not a number.
    """
    (sheet,) = read_sheets(path)[:1]
    lines = as_labels(sheet.rows, COLUMNS, path)
    header = [text(cell).lower() for cell in lines[0]]
    _check_header(path, header)
    rows: dict[str, LabelRow] = {}
    for line, cells in enumerate(lines[1:], start=2):
        row = dict(zip(header, map(text, cells), strict=False))
        if not any(row.values()):
            continue
        where = f"row {line} of {path.name}"
        clip = PurePosixPath(row["clip"].replace("\\", "/")).as_posix()
        if not row["clip"]:
            raise SourceError(f"table {path}, line {line}: the clip is missing")
        if clip in rows:
            raise SourceError(f"table {path}, line {line}: clip {clip!r} is already in {rows[clip].where}")
        for column, known in (("label", LABELS), ("kind", ("micro", "macro"))):
            row[column] = row.get(column, "").lower()
            if row[column] not in ("", *known):
                raise SourceError(
                    f"table {path}, line {line}: unknown {column} {row[column]!r}; known: {', '.join(known)}, or blank"
                )
        try:
            onset, apex, offset = (number(row.get(what)) for what in ("onset", "apex", "offset"))
            fps = float(row["fps"]) if row.get("fps") else None
        except ValueError as error:
            raise SourceError(f"table {path}, line {line}: {error}") from None
        if fps is not None and not 0 < fps < 1e5:
            raise SourceError(f"table {path}, line {line}: fps {fps:g} is out of range")
        rows[clip] = LabelRow(
            where,
            row.get("subject") or None,
            row.get("emotion") or None,
            cast("Label | None", row["label"] or None),
            onset,
            apex,
            offset,
            fps,
            action_units(row.get("action_units")),
            row.get("objective_class") or None,
            cast("Kind | None", row["kind"] or None),
        )
    if not rows:
        raise SourceError(f"table {path} is empty: there is no row below its header")
    return rows


def _check_header(path: Path, header: Sequence[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            close = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise SourceError(f"table {path}: unknown column {name!r}; {hint}Known: {', '.join(COLUMNS)}")
    if "clip" not in header:
        raise SourceError(f"table {path} has no column 'clip'; known columns: {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        raise SourceError(f"table {path} has the same column twice: {', '.join(header)}")


def _find_table(root: Path, annotations: Path | None) -> Path | None:
    if annotations is not None and annotations.is_file():
        return annotations
    places = [annotations] if annotations else [root, *store_annotations(root)]
    for place in places:
        if (place / "labels.csv").is_file():
            return place / "labels.csv"
        tables = sorted(place.glob("*.csv")) if place != root and place.is_dir() else []
        if len(tables) == 1:
            return tables[0]
    if annotations is not None:
        raise SourceError(f"annotations {annotations} hold no labels.csv; give the table itself")
    return None


def _left_out(place: Path, here: PurePosixPath, folders: list[str], files: list[str]) -> Iterator[Problem]:
    """What of a folder looks like clips, and is not read."""
    for name in folders:
        if (place / name).is_symlink():
            reason = "a link to a folder is not followed; put the folder there"
            yield Problem((here / name).as_posix(), "dropped", reason)
    if reason := unread(files):
        yield Problem(here.as_posix(), "dropped", reason)


def _places(root: Path, problems: list[Problem]) -> Iterator[tuple[PurePosixPath, Path]]:
    """(directory in the store, video or folder of frames) of every clip below a root, in the order of their paths."""
    taken: set[PurePosixPath] = set()
    loose = False
    for place, folders, files in os.walk(root, onerror=_refuse):
        if ".build.json" in files:
            folders[:] = []  # the output of a build, which may be beside the videos
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = PurePosixPath(Path(place).relative_to(root).as_posix())
        visible = sorted(name for name in files if not name.startswith("."))
        problems += _left_out(Path(place), here, folders, visible)
        if any(name.lower().endswith(IMAGE_SUFFIXES) for name in visible):
            if here.parts:
                taken.add(here)
                yield here, Path(place)
            else:
                loose = True
        for name in visible:
            if name.lower().endswith(VIDEO_SUFFIXES):
                directory = here / Path(name).stem
                # `a.mp4` beside `a.avi` or a folder `a`: keep the ending to tell them apart.
                if directory in taken or Path(place, Path(name).stem).is_dir():
                    directory = here / name
                taken.add(directory)
                yield directory, Path(place, name)
    if loose and not taken:
        # The root itself is one clip.
        yield PurePosixPath(root.resolve().name), root
    elif loose:
        problems.append(Problem(".", "dropped", "images beside the folders of clips belong to no clip"))


def recordings(root: Path) -> list[Path]:
    """The videos and the folders of frames below a folder, which may be one itself, in the order of their names."""
    return [path for _, path in _places(root, [])]


def _in_table(
    root: Path, rows: Mapping[str, LabelRow], parted: bool, problems: list[Problem]
) -> Iterator[tuple[PurePosixPath, Path, str | None]]:
    """Directory, video or folder of frames, and name in the table of every clip; None for one that is not in it.

    parted : the table lists parts of recordings, each of which is a clip
    """
    parts: dict[str, list[str]] = {}
    for part in rows if parted else ():
        parts.setdefault(PurePosixPath(part).parent.as_posix(), []).append(part)
    for directory, path in _places(root, problems):
        names = _names_in_table(root, directory, path)
        key: str | None = next((name for name in names if name in rows), None)
        own = [part for name in dict.fromkeys(names) for part in parts.get(name, ())]
        if key is None and own:
            yield from ((directory / PurePosixPath(part).name, path, part) for part in own)
            continue
        if rows and key is None:
            problem = Problem(directory.as_posix(), "repaired", "not in the table: kept without a label")
            if parted:
                problem = Problem(directory.as_posix(), "dropped", "no part of it is in the table")
            problems.append(problem)
        if not parted or key is not None:
            yield directory, path, key


def _refuse(error: OSError) -> None:
    raise error


def _names_in_table(root: Path, directory: PurePosixPath, path: Path) -> tuple[str, ...]:
    """Names that a table may use for a clip: its folder, or the video with its ending."""
    in_root = path.relative_to(root).as_posix()
    # In a view of a store the video is a folder of frames, but the table still names the video.
    videos = tuple(f"{directory.as_posix()}{suffix}" for suffix in VIDEO_SUFFIXES)
    parts = tuple(f"{directory.parent.as_posix()}{suffix}/{directory.name}" for suffix in VIDEO_SUFFIXES)
    return (in_root, directory.as_posix(), *((*videos, *parts) if path.is_dir() else ()))


@lru_cache(maxsize=1)
def _video(path: Path, _changed: int) -> tuple[tuple[Frame, ...], float | None]:
    """`list_video`, once for all parts of a recording."""
    return list_video(path)


def _frames(path: Path, problems: list[Problem]) -> tuple[tuple[Frame, ...], float | None]:
    if not path.is_dir():
        return _video(path, path.stat().st_mtime_ns) if path.is_file() else list_video(path)
    try:
        frames, dropped = list_frames(path)
    except OSError as error:
        raise ClipError("source", f"the folder cannot be read: {error.strerror}", path) from None
    if not frames and dropped:
        # Photographs without numbers: the names are the only order.
        names = [name for name, _ in dropped]
        frames = tuple(Frame(path / name, index + 1, name) for index, name in enumerate(names))
        problems.append(Problem(path.name, "repaired", "no frame numbers in the names: sorted by name"))
        return frames, None
    problems += [Problem(f"{path.name}/{name}", "dropped", reason) for name, reason in dropped]
    return frames, None
