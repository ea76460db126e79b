"""Reads the true side views of a stand-in: its clips, from which a store was built, as filmed by a second camera.

Nothing of the truth but its pictures is used: the face is found, framed and registered as in any clip from the side.
`mvgen synth --truth` writes them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mvgen.core.angles import view_name
from mvgen.core.device import one_thread
from mvgen.core.errors import ClipError
from mvgen.core.records import Image
from mvgen.motion.flow.methods import ClipFlow
from mvgen.pipeline.side import SideClip, side_clip
from mvgen.pipeline.tools import Tools
from mvgen.store.about import read_about, stored_config
from mvgen.store.manifest import ViewRow, digest_of
from recognizer.errors import RecogniserError
from recognizer.readers.base import ClassRule, Entry, Reader, on_face, sample_of
from recognizer.readers.store import chosen_rows
from recognizer.records import Sample

_SCHEMA = 1


class TruthReader(Reader):
    """True side views of the clips of a store.

    out : the store; truth : folder that `mvgen synth --truth` wrote with the stand-in
    noise : standard deviation of the sensor noise to add, 0 to 255, because the stored truth has none
    face_only : make everything outside the face black
    Raises StoreError for a folder without a store, RecogniserError for one without the truth of the store's clips, and
    for a store whose kind of registration is not possible in side views.
    """

    def __init__(
        self,
        out: Path,
        truth: Path,
        rule: ClassRule,
        *,
        noise: float = 1.5,
        exclude: Sequence[str] = (),
        least_frames: int = 1,
        face_only: bool = True,
    ) -> None:
        rows = chosen_rows(out, exclude, least_frames)
        self._rule = rule = rule.over(rows)
        self.root, self.truth, self.classes, self.noise, self.face_only = out, truth, rule.names, noise, face_only
        self._config = stored_config(read_about(out))
        if self._config.registration.method == "paper":
            raise RecogniserError(
                f"{out} is registered as in the paper, by landmarks that side views do not have; build it with "
                "--registration head to read true views of it"
            )
        index = read_index(truth)
        filmed = {one["directory"] for one in index["clips"]}
        self._places: list[tuple[ViewRow, float]] = []
        entries = []
        for row in rows:
            label = rule.of(row)
            if row.yaw is not None or label is None or clip_directory(row) not in filmed:
                continue
            for yaw in index["angles"]:
                self._places.append((row, yaw))
                entries.append(self._entry(row, label, yaw))
        if not entries:
            raise RecogniserError(f"{truth} has no true view of the clips in {out}; give the truth of their stand-in")
        self.entries = tuple(entries)

    def _entry(self, row: ViewRow, label: int, yaw: float) -> Entry:
        first = self.truth / "views" / view_name(yaw) / clip_directory(row) / _picture(row.frame_names[0])
        size = first.stat().st_size if first.is_file() else None
        return Entry(
            dataset=row.dataset,
            clip=row.clip,
            expression=row.expression,
            subject=row.subject_key,
            label=label,
            view=f"true {view_name(yaw)}",
            kind="true",
            yaw=yaw,
            kept=True,
            split=row.split,
            key=digest_of([row.files(), row.onset_index, row.apex_index, yaw, size, self.noise, self.face_only]),
            units=self._rule.units(row),
        )

    @cached_property
    def _tools(self) -> Tools:
        one_thread()
        return Tools.load(self._config)

    def read(self, index: int) -> Sample:
        row, entry = self._places[index][0], self.entries[index]
        times = (row.onset_index, row.apex_index, row.offset_index)
        frames = self._frames(index)
        try:
            clip = side_clip(frames, onset=row.onset_index, apex=row.apex_index, config=self._config, tools=self._tools)
        except ClipError:
            clip = _nothing(len(frames), self._config.camera.size)
        shown = on_face(clip.crops, clip.shown) if self.face_only else clip.crops
        return sample_of(entry, shown, *clip.flow, clip.shown, times, clip.landmarks)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_tools"}

    def _frames(self, index: int) -> Image:
        """(T, H, W, 3) uint8, frames of the second camera, in the order of those in the store."""
        from PIL import Image as Picture

        row, yaw = self._places[index]
        folder = self.truth / "views" / view_name(yaw) / clip_directory(row)
        frames = []
        for name in row.frame_names:
            path = folder / _picture(name)
            try:
                with Picture.open(path) as picture:
                    frames.append(np.asarray(picture.convert("RGB")))
            except OSError as error:
                raise RecogniserError(f"true frame {path} cannot be read: {error}; make the stand-in again") from None
        clean = np.stack(frames)
        generator = np.random.default_rng(zlib.crc32(f"{row.clip} {yaw:g}".encode()))
        noise = generator.normal(0, self.noise, clean.shape) if self.noise else 0.0
        return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


def read_index(truth: Path) -> dict[str, Any]:
    """`truth.json`. Raises RecogniserError if it is missing or has another schema."""
    path = truth / "truth.json"
    if not path.is_file():
        raise RecogniserError(f"{truth} has no truth.json; `mvgen synth --truth {truth}` writes it with the stand-in")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecogniserError(f"{path} is damaged: {error}; make the stand-in again") from None
    if not isinstance(index, dict) or index.get("schema") != _SCHEMA:
        raise RecogniserError(f"{path} is of another version of mvgen; make the stand-in again")
    return index


def clip_directory(row: ViewRow) -> str:
    """The folder of a row's clip in its source."""
    return PurePosixPath(*PurePosixPath(row.frames_directory).parts[2:]).as_posix()


def _picture(frame: str) -> str:
    """The file name of a frame in the truth, from that in the release."""
    return f"{frame.partition('.')[0]}.png"


def face_is_shown(sample: Sample) -> bool:
    """Whether a face was found in a true view; one without is black, and nothing moves in it."""
    return sample.valid is None or bool(sample.valid.any())


def _nothing(frames: int, size: int) -> SideClip:
    """The clip in which no face is found."""
    flow = ClipFlow(np.zeros((frames - 1, size, size, 2), np.float32), np.zeros((size, size, 2), np.float32))
    middle = np.full((68, 2), size / 2)
    return SideClip(np.zeros((frames, size, size, 3), np.uint8), np.zeros((size, size), bool), flow, middle)
