"""Reads a finished store as a torch `Dataset` of views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from torch.utils.data import Dataset

from mvgen.core.angles import RandomAngles, angle_pairs, view_name
from mvgen.core.errors import StoreError
from mvgen.core.records import Split
from mvgen.dataset.items import ViewItem, view_item
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.arrays import read_maps
from mvgen.store.frames import read_frames
from mvgen.store.geometry import read_signals
from mvgen.store.manifest import ViewRow, read_table

if TYPE_CHECKING:
    from mvgen.dataset.views import RenderedViews

Views = Literal["all", "sweep", "source"]


class MultiViewDataset(Dataset[ViewItem]):
    """Views of a store, in its order. It has only rows and a path, so it can be pickled for loader processes.

    Clips differ in length: use `DataLoader(dataset, batch_size=None)`, or a `collate_fn`.
    """

    def __init__(self, root: Path, about: dict[str, Any], rows: Sequence[ViewRow], flow: bool = True) -> None:
        self.root = root
        self.about = about
        self.rows = tuple(rows)
        self.flow = flow

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> ViewItem:
        row = self.rows[index]
        colour = read_frames(self.root, row)
        maps = read_maps(self.root, row, "all" if self.flow else "none")
        flow = maps.flow if self.flow else None
        return view_item(row, colour, flow, read_signals(self.root, row), maps.valid, maps.depth)


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
) -> MultiViewDataset: ...


@overload
def open_dataset(
    out: str | Path,
    *,
    split: Split | None = None,
    kept: bool | None = None,
    angles: str | Iterable[float | tuple[float, float]] | RandomAngles,
    flow: bool = True,
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
    Raises StoreError for a folder that is not a store, is unfinished, has another schema, or lacks a view given, and
    AnglesError for angles that cannot be read.
    """
    root = Path(out).resolve()
    about = read_about(Path(out))
    rows = read_table(root / layout.TABLE)
    if split not in (None, *get_args(Split)):
        raise StoreError(f"split {split!r} is unknown; a store has 'train' and 'test'")
    rows = [row for row in rows if split in (None, row.split)]
    if angles is not None:
        from mvgen.dataset.views import RenderedViews

        if yaw is not None or views != "all":
            raise StoreError("angles renders views, yaw and views select stored ones: give angles, or the others")
        frontal = [row for row in rows if row.yaw is None]
        pairs = angles if isinstance(angles, RandomAngles) else angle_pairs(angles)
        return RenderedViews(root, about, frontal, pairs, kept, flow)
    wanted = _wanted_views(Path(out), about["views"], yaw, views)
    chosen = [row for row in rows if row.view in wanted and (kept is None or row.kept == kept)]
    return MultiViewDataset(root, about, chosen, flow)


def _wanted_views(
    out: Path, stored: Sequence[str], yaw: float | Iterable[float] | None, views: str | Iterable[str]
) -> set[str]:
    groups = {"all": set(stored), "sweep": set(stored) - {view_name(None)}, "source": {view_name(None)}}
    wanted = groups.get(views, {views}) if isinstance(views, str) else set(views)
    if yaw is not None:
        angles = [yaw] if isinstance(yaw, int | float) else list(yaw)
        asked = {view_name(float(angle)) for angle in angles}
        wanted = asked if views == "all" else wanted & asked
    missing = sorted(wanted - set(stored))
    if missing:
        raise StoreError(f"{out} has no view {missing[0]!r}; it has {', '.join(stored)}")
    return wanted
