"""Reads a finished store as a torch `Dataset` of views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from torch.utils.data import Dataset

from mvgen.core.angles import RandomAngles, angle_pairs
from mvgen.core.errors import StoreError
from mvgen.core.records import Split
from mvgen.dataset.batches import Transform, finished
from mvgen.dataset.display import contact_strip, describe
from mvgen.dataset.items import ViewItem, view_item
from mvgen.dataset.rows import Views, chosen_rows
from mvgen.store.arrays import read_maps
from mvgen.store.frames import read_frames
from mvgen.store.geometry import read_signals
from mvgen.store.manifest import ViewRow

if TYPE_CHECKING:
    from mvgen.dataset.views import RenderedViews


class MultiViewDataset(Dataset[ViewItem]):
    """Views of a store, in its order. It has only rows and a path, so it can be pickled for loader processes.

    Clips differ in length: use `DataLoader(dataset, batch_size=4, collate_fn=mvgen.collate)`.
    """

    def __init__(  # noqa: PLR0917
        self,
        root: Path,
        about: dict[str, Any],
        rows: Sequence[ViewRow],
        flow: bool = True,
        frames: int | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.root = root
        self.about = about
        self.rows = tuple(rows)
        self.flow = flow
        self.frames = frames
        self.transform = transform

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> ViewItem:
        row = self.rows[index]
        colour = read_frames(self.root, row)
        maps = read_maps(self.root, row, "all" if self.flow else "none")
        flow = maps.flow if self.flow else None
        item = view_item(row, colour, flow, read_signals(self.root, row), maps.valid, maps.depth)
        return finished(item, self.frames, self.transform)

    def __repr__(self) -> str:
        return describe("MultiViewDataset", self.about, self.rows)

    def _repr_html_(self) -> str:
        return contact_strip(self.root, self.about, self.rows)


@overload
def open_dataset(
    out: str | Path,
    *,
    yaw: float | Iterable[float] | None = None,
    split: Split | None = None,
    kept: bool | None = None,
    views: Views | Iterable[str] = "all",
    angles: None = None,
    flow: bool = True,
    frames: int | None = None,
    transform: Transform | None = None,
    min_face_seen: float = 0.0,
) -> MultiViewDataset: ...


@overload
def open_dataset(
    out: str | Path,
    *,
    split: Split | None = None,
    kept: bool | None = None,
    angles: str | Iterable[float | tuple[float, float]] | RandomAngles,
    flow: bool = True,
    frames: int | None = None,
    transform: Transform | None = None,
    min_face_seen: float = 0.0,
) -> RenderedViews: ...


def open_dataset(
    out: str | Path,
    *,
    yaw: float | Iterable[float] | None = None,
    split: Split | None = None,
    kept: bool | None = None,
    views: Views | Iterable[str] = "all",
    angles: str | Iterable[float | tuple[float, float]] | RandomAngles | None = None,
    flow: bool = True,
    frames: int | None = None,
    transform: Transform | None = None,
    min_face_seen: float = 0.0,
) -> MultiViewDataset | RenderedViews:
    """Open a finished store.

    out : folder that `mvgen build` wrote
    yaw : only these angles, degrees; the frontal clip has none
    split : "train" or "test"; None is both
    kept : True omits training views below the attention threshold, False gives only those; test views are always kept
    views : "all", "sweep" (without the frontal clip), "source" (only it), or names such as "yaw+15"
    angles : render views at these instead, built or not: a sweep such as "-30:30:5", yaws, pairs of yaw and
        pitch, or `RandomAngles()` for a new angle of every clip in every epoch; see `mvgen.dataset.views`
    flow : False leaves flow out, which is faster
    frames : this many frames nearest to the apex of every clip, see `batches.around_apex`; None gives whole clips
    transform : applied to every item when it is read
    min_face_seen : leaves out clips of which a smaller share of frames shows the face; 1 leaves out all but whole ones
    Raises StoreError for a folder that is not a store, is unfinished, has another schema, or lacks a view given, and
    AnglesError for angles that cannot be read.
    """
    if angles is None:
        chosen = chosen_rows(out, yaw=yaw, split=split, kept=kept, views=views, min_face_seen=min_face_seen)
        return MultiViewDataset(*chosen, flow, frames, transform)
    from mvgen.dataset.views import RenderedViews

    if yaw is not None or views != "all":
        raise StoreError("angles renders views, yaw and views select stored ones: give angles, or the others")
    frontal = chosen_rows(out, split=split, views="source", min_face_seen=min_face_seen)
    pairs = angles if isinstance(angles, RandomAngles) else angle_pairs(angles)
    return RenderedViews(*frontal, pairs, kept, flow, frames, transform)
