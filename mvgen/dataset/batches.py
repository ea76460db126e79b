"""Clips of one length, and batches of clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mvgen.core.errors import StoreError
from mvgen.dataset.items import ViewItem

Transform = Callable[[ViewItem], Any]


def finished(item: ViewItem, frames: int | None, transform: Transform | None) -> Any:
    """An item with as many frames as asked for, transformed. None: as it is."""
    item = item if frames is None else around_apex(item, frames)
    return item if transform is None else transform(item)


def around_apex(item: ViewItem, frames: int) -> ViewItem:
    """As many frames as asked for, those nearest to the apex; a shorter clip is followed by its last frame.

    frames : of the result, 2 or more
    Onset and offset become the first and last frame of the result where they are outside of it. `length` counts the
    frames that are the clip's own; behind them nothing moves. No frame is skipped: flow is from each to the next.
    """
    if frames < 2:
        raise StoreError(f"frames={frames}: motion needs 2 frames or more")
    whole = item["length"]
    first = min(max(item["apex"] - frames // 2, 0), max(whole - frames, 0))
    last = min(first + frames, whole)
    part = item.copy()
    part["clip"] = _extended(item["clip"][first:last], frames)
    if len(item["flow"]):
        part["flow"] = _still(item["flow"][first : last - 1], frames - 1)
    signals = part["signals"] = item["signals"].copy()
    signals["head"] = _extended(signals["head"][first:last], frames)
    signals["actions"] = _extended(signals["actions"][first:last], frames)
    signals["deviation"] = _extended(signals["deviation"][first:last], frames)
    part["onset"], part["apex"], part["offset"] = (
        min(max(place - first, 0), last - first - 1) for place in (item["onset"], item["apex"], item["offset"])
    )
    part["length"] = last - first
    return part


def collate(items: Sequence[ViewItem]) -> dict[str, Any]:
    """A batch of B items for a `DataLoader(dataset, batch_size=B, collate_fn=mvgen.collate)`.

    Clips that are shorter than the longest of the batch are followed by their last frame, without flow; `length`, (B,),
    says how many frames are a clip's own. Tensors and numbers are stacked along the first axis, texts are lists.
    Raises StoreError for views of different size, or clips whose signals have other names.
    """
    sizes = {tuple(item["depth"].shape) for item in items}
    names = {item["signals"]["names"] for item in items}
    if len(sizes) > 1 or len(names) > 1:
        what = f"pictures of {sorted(sizes)} pixels" if len(sizes) > 1 else "signals of other names"
        raise StoreError(f"one batch cannot hold {what}; use batch_size=None, or build with the same settings")
    longest = max(len(item["clip"]) for item in items)
    batch: dict[str, Any] = {}
    for key, value in items[0].items():
        column: list[Any] = [item[key] for item in items]  # type: ignore[literal-required]
        if key == "clip":
            batch[key] = torch.stack([_extended(each, longest) for each in column])
        elif key == "flow":
            batch[key] = torch.stack([_still(each, longest - 1) if len(each) else each for each in column])
        elif key == "signals":
            each = ("head", "actions", "deviation")
            signals = {name: torch.stack([_extended(one[name], longest) for one in column]) for name in each}
            batch[key] = {**signals, "names": names.pop()}
        elif isinstance(value, Tensor):
            batch[key] = torch.stack(column)
        else:
            batch[key] = torch.tensor(column) if isinstance(value, int | float) else column
    return batch


def _extended(values: Tensor, length: int) -> Tensor:
    """The values followed by the last one, until there are so many."""
    behind = values[-1:].expand(length - len(values), *values.shape[1:])
    return torch.cat([values, behind])


def _still(flow: Tensor, length: int) -> Tensor:
    return torch.cat([flow, flow.new_zeros(length - len(flow), *flow.shape[1:])])
