"""Reads a dataset that mvgen has built: its views, or its clips rendered from other angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np

from mvgen.core.angles import RandomAngles, angle_pairs, view_name
from mvgen.dataset.reader import open_dataset
from mvgen.dataset.scenes import landmarks_at, read_scene
from mvgen.dataset.views import RenderedViews, Scene, share_at
from mvgen.store import layout
from mvgen.store.about import read_about, stored_config
from mvgen.store.manifest import ViewRow, digest_of, read_table
from recognizer.readers.base import ClassRule, Entry, Reader, excluded, on_face, sample_of
from recognizer.records import Sample


def chosen_rows(out: Path, exclude: Sequence[str] = (), least_frames: int = 1) -> list[ViewRow]:
    """The rows of a store without clips that are excluded or too short. Raises StoreError if it cannot be read."""
    rows = read_table(out / layout.TABLE)
    return [row for row in rows if row.frames >= least_frames and not excluded(row.clip, exclude)]


class StoreReader(Reader):
    """Views of a finished store.

    angles : rendered on reading, instead of the built views; the frontal clips are included in any case
    drawn : how many views of every clip to render from random angles as well, the same ones every time
    exclude : patterns of clips to leave out, see `base.excluded`; least_frames : shorter clips are left out
    face_only : make everything outside the face black, in the frontal clips too
    A view is `kept` if it sees at least the share of the attention that the store requires of training views, whatever
    its split in the store: protocols here make splits of their own.
    Raises StoreError for a folder without a store, AnglesError for invalid angles.
    """

    def __init__(
        self,
        out: Path,
        rule: ClassRule,
        angles: str | None = None,
        *,
        drawn: int = 0,
        exclude: Sequence[str] = (),
        least_frames: int = 1,
        face_only: bool = True,
    ) -> None:
        self._config = stored_config(read_about(out))
        rows = chosen_rows(out, exclude, least_frames)
        self._rule = rule = rule.over(rows)
        self.root, self.classes, self.face_only = out, rule.names, face_only
        self._scenes: tuple[str, Scene] | None = None
        self._turned: tuple[str, RenderedViews] | None = None
        self._stored = open_dataset(out)
        self._position = {(row.clip, row.view): index for index, row in enumerate(self._stored.rows)}
        self._rendered = None if angles is None else open_dataset(out, angles=angles)
        self._draws = drawn
        self._places: list[tuple[ViewRow, tuple[float, float] | None, int]] = []
        entries = []
        for row in rows:
            label = rule.of(row)
            if label is None:
                continue
            if angles is None or row.yaw is None:
                self._places.append((row, None, self._position[row.clip, row.view]))
                entries.append(self._entry(row, label, row.yaw, 0.0, row.visible_attention))
            if angles is not None and row.yaw is None:
                entries += self._rendered_entries(row, label, angle_pairs(angles))
            if row.yaw is None:
                entries += self._drawn_entries(row, label)
        self.entries = tuple(entries)

    def _rendered_entries(self, row: ViewRow, label: int, pairs: Sequence[tuple[float, float]]) -> list[Entry]:
        assert self._rendered is not None
        first = [each.clip for each in self._rendered.rows].index(row.clip) * len(pairs)
        scene, entries = read_scene(self.root, row, frames=False), []
        for number, pair in enumerate(pairs):
            self._places.append((row, pair, first + number))
            entries.append(self._entry(row, label, *pair, share_at(scene, *pair, self._config)))
        return entries

    def _drawn_entries(self, row: ViewRow, label: int) -> list[Entry]:
        pairs = self._random_pairs(row)
        self._places += [(row, pair, number) for number, pair in enumerate(pairs)]
        return [replace(self._entry(row, label, *pair, 1.0), kind="drawn") for pair in pairs]

    def _random_pairs(self, row: ViewRow) -> list[tuple[float, float]]:
        clip = crc32(row.clip.encode())
        return [next(RandomAngles().draws(number, clip)) for number in range(self._draws)]

    def _entry(self, row: ViewRow, label: int, yaw: float | None, pitch: float, share: float) -> Entry:
        files = row.files() if row.view == view_name(yaw, pitch) else [row.files(), yaw, pitch]
        return Entry(
            dataset=row.dataset,
            clip=row.clip,
            expression=row.expression,
            subject=row.subject_key,
            label=label,
            view=view_name(yaw, pitch),
            kind="source" if yaw is None else "built",
            yaw=yaw,
            kept=yaw is None or share >= self._config.attention.threshold,
            split=row.split,
            key=digest_of([files, row.onset_index, row.apex_index, row.offset_index, self.face_only]),
            units=self._rule.units(row),
        )

    def read(self, index: int) -> Sample:
        row, pair, position = self._places[index]
        entry = self.entries[index]
        views = self._stored if pair is None else self._rendered
        item = (self._at_random(row) if entry.kind == "drawn" else views)[position]  # type: ignore[index]
        frames, flow = (item[name].permute(0, 2, 3, 1).numpy() for name in ("clip", "flow"))
        surface = np.isfinite(item["depth"].numpy())
        landmarks = landmarks_at(self._scene(row), entry.yaw, 0.0 if pair is None else pair[1])
        times = (row.onset_index, row.apex_index, row.offset_index)
        if self.face_only:
            frames = on_face(frames, surface)
        apex_flow = item["apex_flow"].permute(1, 2, 0).numpy()
        signals = np.concatenate([item["signals"][name].numpy() for name in ("head", "actions")], axis=1)
        sample = sample_of(entry, frames, flow, apex_flow, item["valid"].numpy(), times, landmarks)
        return replace(sample, signals=np.asarray(signals, np.float32))

    def _scene(self, row: ViewRow) -> Scene:
        """The scene of a clip without its frames; the last one is cached, as views of a clip are read in a row."""
        if self._scenes is None or self._scenes[0] != row.clip:
            self._scenes = (row.clip, read_scene(self.root, row, frames=False))
        return self._scenes[1]

    def _at_random(self, row: ViewRow) -> RenderedViews:
        """The views of a clip from random angles; those of the last clip are cached, as its scene is."""
        if self._turned is None or self._turned[0] != row.clip:
            self._turned = (row.clip, RenderedViews(self.root, self._stored.about, [row], self._random_pairs(row)))
        return self._turned[1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_scenes": None, "_turned": None}
