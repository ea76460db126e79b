"""Check that the table agrees with the source's own workbook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from mvgen.core.angles import view_name
from mvgen.core.config import SourceConfig
from mvgen.core.errors import MvgenError
from mvgen.core.records import Clip
from mvgen.store import layout
from mvgen.store.manifest import ViewRow
from mvgen.verification.findings import WHOLE, Finding, of_clip


def check_labels(out: Path, source: SourceConfig, rows: Sequence[ViewRow]) -> Iterator[Finding]:
    """Read the frontal view as its original release, with the workbook in the store, and compare.

    source : what the dataset was built from
    """
    from mvgen.sources import get_source

    frontal = {row.clip: row for row in rows if row.yaw is None}
    if not frontal:
        return
    try:
        with _as_source(out, list(frontal.values())) as folder:
            listing = get_source(source.dataset, source).read(folder, variant=source.variant)
    except Exception as error:  # a workbook of a stranger: whatever it leads to is found
        said = str(error) if isinstance(error, MvgenError) else f"{type(error).__name__}: {error}"
        problem = f"{view_name(None)} cannot be read with it: {said}"
        yield Finding(layout.ANNOTATIONS, problem, WHOLE)
        return
    clips = {clip.id: clip for clip in listing.clips}
    for name, row in frontal.items():
        if name not in clips:
            reason = next((failure.reason for failure in listing.failures if failure.clip == name), "not mentioned")
            yield of_clip(layout.TABLE, f"{name}: this clip is not in the annotations: {reason}", name)
        else:
            for problem in _differences(row, clips[name]):
                yield of_clip(layout.TABLE, f"{name}: {problem}", name)


@contextmanager
def _as_source(out: Path, rows: Sequence[ViewRow]) -> Iterator[Path]:
    """The frontal view as a folder that reads like the source.

    Of videos it is made: empty files under the names of the frames, which are all that labels are compared by.
    """
    if not any(row.video for row in rows):
        yield out / layout.frames_directory(None, PurePosixPath())
        return
    with TemporaryDirectory() as place:
        whole = Path(place)
        for row in rows:
            (whole / row.frames_directory).mkdir(parents=True, exist_ok=True)
            for name in row.frame_names:
                (whole / row.frames_directory / name).touch()
        if (out / layout.ANNOTATIONS).is_dir():
            (whole / layout.ANNOTATIONS).symlink_to((out / layout.ANNOTATIONS).absolute())
        yield whole / layout.frames_directory(None, PurePosixPath())


def _differences(row: ViewRow, clip: Clip) -> Iterator[str]:
    names = ["expression", "subject", "subject_key", "name", "emotion", "label", "objective_class", "kind"]
    if row.action_units != list(clip.action_units):
        yield f"action_units are {row.action_units}, but the annotations say {list(clip.action_units)}"
    # Where frames are missing, which is reported elsewhere, annotated frames are replaced by the nearest that are left.
    if [frame.name for frame in clip.frames] == row.frame_names:
        names += ["onset"]
        if not row.left_out:  # the offset may be one of the frames that could not be registered
            names.append("offset")
        if clip.apex is not None:
            names.append("apex")
        elif not row.apex_estimated:
            yield f"apex is {row.apex}, but the annotations have none"
        indices = [clip.position(number, 0) for number in (row.onset, row.apex, row.offset) if number is not None]
        stated = [row.onset_index, row.apex_index, row.offset_index]
        if len(indices) == len(stated) and indices != stated:
            yield f"frames {indices} are onset, apex and offset, not {stated}"
    for name in names:
        if getattr(row, name) != getattr(clip, name):
            yield f"{name} is {getattr(row, name)!r}, but the annotations say {getattr(clip, name)!r}"
