"""The items of a dataset: one view of one clip as tensors."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvgen.core.records import LABELS, Image, Mask, Signals
from mvgen.motion.flow.methods import ClipFlow
from mvgen.store.manifest import ViewRow


class SignalItem(TypedDict):
    """Head pose and facial actions in the frames of a clip, see `mvgen.core.records.Signals`.

    head : (T, 6) float32: yaw, pitch, roll in degrees, dx, dy in crop pixels, scale; NaN where it is not known
    actions, deviation : (T, A) float32, crop pixels; names : A action units of FACS such as "AU12L"
    """

    head: Tensor
    actions: Tensor
    deviation: Tensor
    names: tuple[str, ...]


class ViewItem(TypedDict):
    """One view of one clip.

    clip : (T, 3, S, S) uint8 RGB
    flow : (T-1, 2, S, S) float32, (dx, dy) pixels from frame t to t+1
    apex_flow : (2, S, S) float32, the same from onset to apex
        Without flow: flow (0, 2, S, S) and apex_flow (0, S, S)
    signals : of the frontal clip, the same for all its views
    valid : (S, S) bool, seen in the source; depth : (S, S) float32, world units, NaN where there is no surface
    label : index into LABELS, -1 for none; label_name : "" for none; emotion : as the source writes it
    action_units, objective_class, kind : see `ViewRow`; "" for none
    expression : the same in all clips of one expression, which several cameras may have filmed
    yaw, pitch : degrees, 0 for the frontal clip; view : the view's name, see `angles.view_name`
    onset, apex, offset : positions in the clip, from 0; fps : frames per second
    length : frames of the clip that are its own; those behind were added to give all items the same number
    visible_attention : in [0, 1]; kept : see `ViewRow.kept`
    """

    clip: Tensor
    flow: Tensor
    apex_flow: Tensor
    signals: SignalItem
    valid: Tensor
    depth: Tensor
    label: int
    label_name: str
    emotion: str
    action_units: tuple[str, ...]
    objective_class: str
    kind: str
    dataset: str
    subject: str
    clip_id: str
    expression: str
    split: str
    view: str
    yaw: float
    pitch: float
    onset: int
    apex: int
    offset: int
    fps: float
    length: int
    visible_attention: float
    kept: bool


def view_item(  # noqa: PLR0917
    row: ViewRow,
    colour: Image,
    flow: ClipFlow | None,
    signals: Signals,
    valid: Mask,
    depth: NDArray[np.float32],
    pitch: float = 0.0,
) -> ViewItem:
    """The item of a view.

    row : its row in the table; colour : (T, S, S, 3); flow : None leaves it out; valid, depth : (S, S)
    pitch : degrees; 0 for stored views
    The tensors share memory with the arrays.
    """
    size = len(depth)
    frames, apex = flow or (np.zeros((0, size, size, 2), np.float32), np.zeros((size, size, 0), np.float32))
    return ViewItem(
        # Not copied: a batch is, and who needs one clip in another order of memory can.
        clip=torch.from_numpy(colour).permute(0, 3, 1, 2),
        flow=torch.from_numpy(frames).permute(0, 3, 1, 2),
        apex_flow=torch.from_numpy(apex).permute(2, 0, 1),
        signals=_signal_item(signals),
        valid=torch.from_numpy(valid),
        depth=torch.from_numpy(depth),
        label=-1 if row.label is None else LABELS.index(row.label),
        label_name=row.label or "",
        emotion=row.emotion,
        action_units=tuple(row.action_units),
        objective_class=row.objective_class or "",
        kind=row.kind or "",
        dataset=row.dataset,
        subject=row.subject_key,
        clip_id=row.clip,
        expression=row.expression,
        split=row.split,
        view=row.view,
        yaw=row.yaw or 0.0,
        pitch=pitch,
        onset=row.onset_index,
        apex=row.apex_index,
        offset=row.offset_index,
        fps=row.fps,
        length=len(colour),
        visible_attention=row.visible_attention,
        kept=row.kept,
    )


def _signal_item(signals: Signals) -> SignalItem:
    head = np.stack([signals.yaw, signals.pitch, signals.roll, signals.dx, signals.dy, signals.scale], axis=-1)
    return SignalItem(
        head=torch.from_numpy(head.astype(np.float32)),
        actions=torch.from_numpy(signals.actions),
        deviation=torch.from_numpy(signals.deviation),
        names=signals.names,
    )
