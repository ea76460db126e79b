"""People who have left a dataset: how a store remembers that without naming them, and how all they left behind goes.

`.forgotten.json` holds a tombstone for each: a digest of the source and the subject, and a reason. A build, a merge and
a rebuild ask it before they take on a clip. There are few subjects in a release, so whoever holds the release can find
out which digest is whose.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from mvgen.core.config import canonical_json
from mvgen.core.errors import SourceError, StoreError
from mvgen.core.files import disk_errors, parse_json, read_regular, write_atomically
from mvgen.core.records import Clip
from mvgen.sources.base import subject_key
from mvgen.sources.marks import MARK
from mvgen.store import layout
from mvgen.store.checks import inside, record_of
from mvgen.store.manifest import Failure, ViewRow, digest_of, failure_lines, read_failures, read_table
from mvgen.store.shards import Share, read_shares, write_share
from mvgen.store.state import read_markers

Rows = Sequence[ViewRow]


@dataclass(frozen=True, slots=True, order=True)
class Tombstone:
    """One person who has left. digest : see `bury`; salt : keeps digests of two datasets apart; reason : for people"""

    digest: str
    salt: str
    reason: str


def bury(dataset: str, key: str, salt: str, reason: str) -> Tombstone:
    """The tombstone of a subject. dataset : the source's name; key : the subject key; salt : digest of its clips."""
    return Tombstone(digest_of([salt, dataset, key]), salt, reason)


def read_forgotten(out: Path) -> tuple[Tombstone, ...]:
    """Tombstones of a store, none where nobody left. Raises StoreError for a file that cannot be read."""
    path = inside(out, layout.FORGOTTEN)
    if not path.exists():
        return ()
    try:
        return parse_forgotten(read_regular(path))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} is damaged ({error}); restore it from a copy, it says who has left") from None


def parse_forgotten(content: bytes) -> tuple[Tombstone, ...]:
    """Tombstones in the content of a file. Raises ValueError for a damaged one."""
    values = parse_json(content)
    if not isinstance(values, dict) or not isinstance(values.get("forgotten"), list):
        raise ValueError("it holds no list of tombstones")
    return unite([record_of(Tombstone, one) for one in values["forgotten"]])


def forgotten_bytes(tombstones: Sequence[Tombstone]) -> bytes:
    """The content of `.forgotten.json`: no date, so that the same people leave the same bytes."""
    return canonical_json({"forgotten": [asdict(one) for one in unite(tombstones)]}).encode()


def write_forgotten(out: Path, tombstones: Sequence[Tombstone]) -> None:
    """Write tombstones down, nothing where there are none."""
    if tombstones:
        with disk_errors(out):
            write_atomically(out / layout.FORGOTTEN, forgotten_bytes(tombstones))


def unite(*several: Iterable[Tombstone]) -> tuple[Tombstone, ...]:
    """Tombstones of several stores, each person once, sorted."""
    by_digest = {one.digest: one for one in sorted((one for some in several for one in some), reverse=True)}
    return tuple(sorted(by_digest.values()))


class Leavers:
    """Who has left, asked by subject or by clip.

    dataset : the source's name
    known : (clip id, folder in the source or None, subject key) of clips whose subject is known
    named : clip id -> subject key, as annotations say it, of clips that could not be built
    """

    def __init__(
        self,
        tombstones: Sequence[Tombstone],
        dataset: str,
        known: Iterable[tuple[str, PurePosixPath | None, str]] = (),
        named: Mapping[str, str] | None = None,
    ) -> None:
        self.tombstones = tuple(tombstones)
        self._dataset = dataset
        self._keys = dict(named or {})
        self._answers: dict[str, bool] = {}
        self._depths: set[int] | None = None  # where in a clip's folder its subject stands, the same in all clips
        for clip, directory, key in known:
            self._keys[clip] = key
            if directory is not None:
                here = {depth for depth, part in enumerate(directory.parts) if subject_key(part) == key}
                self._depths = here if self._depths is None else self._depths & here

    @classmethod
    def of_clips(cls, tombstones: Sequence[Tombstone], dataset: str, clips: Iterable[Clip]) -> Leavers:
        """The same, asked with the clips that a source lists."""
        return cls(tombstones, dataset, [(clip.id, clip.directory, clip.subject_key) for clip in clips])

    def left(self, key: str) -> bool:
        """Whether the subject of this key has left."""
        if key not in self._answers:
            digests = (digest_of([one.salt, self._dataset, key]) == one.digest for one in self.tombstones)
            self._answers[key] = any(digests)
        return self._answers[key]

    def left_clip(self, clip: str) -> bool:
        """Whether the subject of a clip has left. Of a clip that could not be built, its id names the subject."""
        if clip in self._keys:
            return self.left(self._keys[clip])
        parts = clip.split("__")
        places = self._depths or range(max(len(parts) - 1, 1))
        return any(self.left(subject_key(parts[at])) for at in places if at < len(parts))

    def stay(self, failures: Iterable[Failure]) -> list[Failure]:
        """Failures without those of people who have left."""
        return [failure for failure in failures if not self.left_clip(failure.clip)]


@dataclass(frozen=True, slots=True)
class Remains:
    """What a store still holds of people who have left.

    subjects : as the source writes them; clips : ids, those that could not be built among them
    rows : of these clips; failures : of the store that stay
    files : that go, relative to the store; markers among them come last
    shares : of shards, as they are to be
    """

    subjects: tuple[str, ...]
    clips: tuple[str, ...]
    rows: tuple[ViewRow, ...]
    failures: tuple[Failure, ...]
    files: tuple[str, ...]
    shares: tuple[Share, ...]


def find_remains(
    out: Path, tombstones: Sequence[Tombstone], dataset: str, staying: Iterable[PurePosixPath] = ()
) -> Remains:
    """What a store holds of people who have left. Reads only.

    out : a finished store, or one that is being built
    staying : folders, in the source, of clips that are not finished and stay
    Raises StoreError for a store whose records lead out of it.
    """
    markers, shares = read_markers(out), read_shares(out)
    table = read_table(out / layout.TABLE) if (out / layout.TABLE).is_file() else []
    known = [*table, *(row for marker in markers.values() for row in marker.rows)]
    rows = list({(row.clip, row.view): row for row in known}.values())
    who = leavers_of(out, tombstones, dataset, rows, shares)
    gone = [row for row in rows if who.left(row.subject_key)]
    stay = [row for row in rows if not who.left(row.subject_key)]
    failures = read_failures(out / layout.FAILURES) if (out / layout.FAILURES).is_file() else []
    clips = {row.clip for row in gone} | {failure.clip for failure in failures if who.left_clip(failure.clip)}
    clips |= {clip for clip, marker in markers.items() if marker.failure and who.left_clip(clip)}
    clips |= {key[0] for share in shares for key in share.clips if key is not None and who.left(key[1])}
    clips |= {lost.clip for share in shares for lost in share.lost if who.left_clip(lost.clip)}
    clips |= {clip for clip in _in_work(out) if who.left_clip(clip)}
    return Remains(
        subjects=tuple(sorted({row.subject for row in gone})),
        clips=tuple(sorted(clips)),
        rows=tuple(gone),
        failures=tuple(who.stay(failures)),
        files=tuple(_files(out, clips, gone, stay, staying)),
        shares=tuple(without(share, who) for share in shares),
    )


def leavers_of(
    out: Path, tombstones: Sequence[Tombstone], dataset: str, rows: Rows, shares: Sequence[Share] = ()
) -> Leavers:
    """Who has left a store, asked with all that it knows of its clips."""
    known: list[tuple[str, PurePosixPath | None, str]] = [
        (row.clip, PurePosixPath(*PurePosixPath(row.frames_directory).parts[2:]), row.subject_key) for row in rows
    ]
    known += [(key[0], None, key[1]) for share in shares for key in share.clips if key is not None]
    return Leavers(tombstones, dataset, known, _named(out, dataset))


def sweep(out: Path, remains: Remains) -> None:
    """Remove it. Stopped in the middle, the same call on what is left goes on: a clip's marker is the last to go.

    An empty folder of the page stays, from which whoever goes on sees that there was a page.
    """
    ends = (out, (out / layout.REPORT).parent)
    with disk_errors(out):
        if (out / layout.FAILURES).is_file():
            write_atomically(out / layout.FAILURES, failure_lines(remains.failures).encode())
        for share in remains.shares:
            write_share(out, share)
        for path in remains.files:
            (out / path).unlink(missing_ok=True)
            folder = (out / path).parent
            while folder not in ends and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
                folder = folder.parent


def bury_all(out: Path, tombstones: Sequence[Tombstone], dataset: str, staying: Iterable[PurePosixPath] = ()) -> None:
    """Write tombstones down, and remove what a store that is not finished holds of those who left.

    staying : see `find_remains`
    """
    write_forgotten(out, tombstones)
    remains = find_remains(out, tombstones, dataset, staying)
    sweep(out, remains)
    if remains.clips:  # an earlier end of the build may have left these; its next end makes them anew
        for name in (layout.TABLE, layout.SHEET):
            (out / name).unlink(missing_ok=True)


def kept_annotations(files: Iterable[Path]) -> list[Path]:
    """Of a source's annotation files those that a store may hold when somebody has left: the mark of a stand-in.

    A release's workbook names every subject, and is of no more use to its readers when rows are cut out.
    """
    return [path for path in files if path.name == MARK]


def _files(out: Path, clips: Iterable[str], gone: Rows, stay: Rows, staying: Iterable[PurePosixPath]) -> Iterator[str]:
    """Every file that goes and is there, relative to the store; markers last."""
    kept = _kept(gone, stay, list(staying))
    ids = sorted(clips)
    paths = [path for row in gone for path in row.files()]
    for row in gone:
        frames = PurePosixPath(row.frames_directory)
        paths += [f"{frames}/{name}" for name in _names(out / frames)]
        for folder in (frames, PurePosixPath(row.maps).parent):
            if (own := _own(folder, kept)) is not None:
                paths += _tree(out, own)
    paths += [path for clip in ids for path in _tree(out, PurePosixPath(layout.PARTIAL, clip))]
    paths += [f"{layout.TURNS}/clip {clip}" for clip in ids]
    if ids:
        paths += _tree(out, PurePosixPath(layout.REPORT).parent)
        # Halves of files about the whole, which a kill has left.
        paths += [f".{name}.tmp" for name in (layout.TABLE, layout.FAILURES, layout.SHEET)]
        paths += [f"{layout.PARTIAL}/{layout.TABLE}"]
        paths += [path for path in _tree(out, PurePosixPath(layout.SHARDS)) if path.endswith(".tmp")]
    annotations = _tree(out, PurePosixPath(layout.ANNOTATIONS))
    paths += [path for path in annotations if PurePosixPath(path).name != MARK]
    paths += [str(layout.geometry_path(clip)) for clip in ids]
    paths += [f"{layout.DONE}/.{clip}.json.tmp" for clip in ids]
    paths += [str(layout.marker_path(clip)) for clip in ids]
    for path in dict.fromkeys(paths):
        if not Path(os.path.realpath((out / path).parent)).is_relative_to(os.path.realpath(out)):
            raise StoreError(
                f"{out} lists {path}, which lies outside it; nothing was removed: see `mvgen verify {out}`"
            )
        if (out / path).is_file() or (out / path).is_symlink():
            yield path


def _kept(gone: Rows, stay: Rows, staying: Sequence[PurePosixPath]) -> set[PurePosixPath]:
    """Folders that hold, or will hold, something of others."""
    places = {PurePosixPath(row.frames_directory) for row in stay} | {PurePosixPath(row.maps).parent for row in stay}
    for view in {row.view for row in gone}:
        places |= {PurePosixPath("views", view) / folder for folder in staying}
        places |= {PurePosixPath("maps", view) / folder.parent for folder in staying}
    return {above for place in places for above in (place, *place.parents)}


def _own(folder: PurePosixPath, kept: set[PurePosixPath]) -> PurePosixPath | None:
    """The highest folder about this one, below the view's, that nobody else has anything in, if there is one."""
    own = None
    while len(folder.parts) > 2 and folder not in kept:
        own, folder = folder, folder.parent
    return own


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.is_dir()) if folder.is_dir() else []


def _tree(out: Path, folder: PurePosixPath) -> list[str]:
    """Every file below a folder, and every link, relative to the store."""
    found = []
    for place, folders, files in os.walk(out / folder):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        found += [(Path(place) / name).relative_to(out).as_posix() for name in (*files, *links)]
    return sorted(found)


def _in_work(out: Path) -> list[str]:
    """Ids of clips that a killed build was at."""
    staged = (path.name for path in (out / layout.PARTIAL).glob("*") if path.is_dir())
    turns = (path.name.removeprefix("clip ") for path in (out / layout.TURNS).glob("clip *"))
    return [*staged, *turns]


def without(share: Share, who: Leavers) -> Share:
    """A shard's record in which those who left have their places, and nothing else."""
    clips = tuple(None if key is None or who.left(key[1]) else key for key in share.clips)
    return replace(share, clips=clips, lost=tuple(who.stay(share.lost)))


def _named(out: Path, dataset: str) -> dict[str, str]:
    """Clip id -> subject key, where the table of a folder says whose a clip is: its path need not."""
    from mvgen.sources.folder import read_labels

    named: dict[str, str] = {}
    for name in _tree(out, PurePosixPath(layout.ANNOTATIONS)) if dataset == "folder" else ():
        if PurePosixPath(name).name == MARK:
            continue
        with suppress(SourceError):
            for clip, row in read_labels(out / name).items():
                for place in {PurePosixPath(clip), PurePosixPath(clip).with_suffix("")} if row.subject else ():
                    named["__".join(place.parts)] = subject_key(row.subject or "")
    return named
