"""Reads a finished store back, as a torch `Dataset` of views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mvgen.angles import view_name
from mvgen.errors import StoreError
from mvgen.records import Label, Split
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.manifest import ViewRow, read_table

# The order of the labels in `label`.
LABELS: tuple[str, ...] = get_args(Label)


class ViewItem(TypedDict):
    """One view of one clip.

    clip : (T, 3, S, S) uint8 RGB; flow : (T-1, 2, S, S) float32, (dx, dy) pixels from frame t to t+1
    valid : (S, S) bool, seen in the source; depth : (S, S) float32, world units, NaN where there is no surface
    label : index into LABELS, -1 for none; label_name : "" for none; emotion : as the source has it
    yaw : degrees, NaN for the frontal clip; view : its folder's name
    onset, apex, offset : positions in the clip, from 0; fps : frames per second
    visible_attention : in [0, 1]; kept : see `ViewRow.kept`
    """

    clip: Tensor
    flow: Tensor
    valid: Tensor
    depth: Tensor
    label: int
    label_name: str
    emotion: str
    dataset: str
    subject: str
    clip_id: str
    split: str
    view: str
    yaw: float
    onset: int
    apex: int
    offset: int
    fps: float
    visible_attention: float
    kept: bool


class MultiViewDataset(Dataset[ViewItem]):
    """Views of a store, in its order. It holds rows and a path only, so it pickles and works in loader processes.

    Clips differ in length: load them with `DataLoader(dataset, batch_size=None)`, or bring a `collate_fn`.
    """

    def __init__(self, root: Path, about: dict[str, Any], rows: Sequence[ViewRow]) -> None:
        self.root = root
        self.about = about
        self.rows = tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> ViewItem:
        row = self.rows[index]
        frames = np.stack([_read_frame(self.root / row.frames_directory / name) for name in row.frame_names])
        maps = _read_maps(self.root / row.maps)
        flow = maps["flow"].astype(np.float32) * np.float32(maps["flow_step"])
        return ViewItem(
            clip=torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous(),
            flow=torch.from_numpy(flow).permute(0, 3, 1, 2).contiguous(),
            valid=torch.from_numpy(maps["valid"]),
            depth=torch.from_numpy(maps["depth"]),
            label=-1 if row.label is None else LABELS.index(row.label),
            label_name=row.label or "",
            emotion=row.emotion,
            dataset=row.dataset,
            subject=row.subject_key,
            clip_id=row.clip,
            split=row.split,
            view=row.view,
            yaw=float("nan") if row.yaw is None else row.yaw,
            onset=row.onset_index,
            apex=row.apex_index,
            offset=row.offset_index,
            fps=row.fps,
            visible_attention=row.visible_attention,
            kept=row.kept,
        )


def open_dataset(
    out: str | Path,
    *,
    yaw: float | Iterable[float] | None = None,
    split: Split | None = None,
    kept: bool | None = None,
    views: Literal["all", "sweep", "source"] | Iterable[str] = "all",
) -> MultiViewDataset:
    """Open a finished store.

    out : folder that `mvgen build` wrote
    yaw : keep these angles only, degrees; the frontal clip has none
    split : "train" or "test"; None is both
    kept : True drops training views below the attention threshold, False leaves only those; test views are always kept
    views : "all", "sweep" (without the frontal clip), "source" (only it), or names such as "yaw+15"
    Raises StoreError for a folder that is no store, is unfinished, has another schema, or lacks a view asked for.
    """
    root = Path(out).resolve()
    about = read_about(Path(out))
    rows = read_table(root / layout.TABLE)
    wanted = _wanted_views(Path(out), about["views"], yaw, views)
    if split not in (None, *get_args(Split)):
        raise StoreError(f"split {split!r} is unknown; a store has 'train' and 'test'")
    chosen = [
        row for row in rows if row.view in wanted and split in (None, row.split) and (kept is None or row.kept == kept)
    ]
    return MultiViewDataset(root, about, chosen)


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


def _read_frame(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))
    except OSError as error:
        raise StoreError(f"frame {path} cannot be read: {error}; the store is damaged, build it again") from None


def _read_maps(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}; the store is damaged, build it again") from None
