"""Match annotated onset, apex and offset with the frames on disk, and note every repair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mvgen.core.errors import ClipError
from mvgen.core.records import Frame

NO_APEX = "no apex in the annotations: the frame of largest change from onset is taken"


@dataclass(frozen=True, slots=True)
class Span:
    """Onset, apex and offset of a clip as numbers of existing frames; notes : the repairs, in words"""

    onset: int
    apex: int | None
    offset: int
    notes: tuple[str, ...]


def settle_span(onset: int | None, apex: int | None, offset: int | None, frames: Sequence[Frame]) -> Span:
    """Fit annotated frame numbers to the frames that exist.

    onset, apex, offset : as annotated; None = unknown, and 0 means the same for apex and offset
    frames : in the order of their numbers
    Raises ClipError with the reason when annotation and frames contradict each other.

    An unknown onset or offset is taken from the frames. An unknown apex stays None. An apex outside onset..offset is an
    error. A number without a frame is replaced by that of the nearest frame of the span.
    """
    if len(frames) < 2:
        raise ClipError(
            "source", "the clip has only one frame; motion needs two" if frames else "the clip has no frames"
        )
    numbers = [frame.number for frame in frames]
    first, last = numbers[0], numbers[-1]
    notes = []
    if onset is None:
        onset = first
        notes.append(f"no onset in the annotations: the first frame {first} is taken")
    if not offset:
        offset = last
        notes.append(f"no offset in the annotations: the last frame {last} is taken")
    if not apex:
        apex = None
        notes.append(NO_APEX)
    if offset < onset:
        raise ClipError("source", f"offset {offset} is before onset {onset}")
    inside = [number for number in numbers if onset <= number <= offset]
    if not inside:
        reason = f"none of the frames {first} .. {last} lies within onset {onset} .. offset {offset}"
        raise ClipError("source", reason)
    if apex is not None and not max(onset, first) <= apex <= min(offset, last):
        reason = f"apex {apex} is not within onset {onset} .. offset {offset} and the frames {first} .. {last}"
        raise ClipError("source", f"apex outside the clip: {reason}")

    def existing(what: str, annotated: int) -> int:
        nearest = min(inside, key=lambda number: abs(number - annotated))
        if nearest != annotated:
            notes.append(f"{what} {annotated} has no frame: the nearest within the clip, {nearest}, is taken")
        return nearest

    return Span(
        onset=existing("onset", onset),
        apex=None if apex is None else existing("apex", apex),
        offset=existing("offset", offset),
        notes=tuple(notes),
    )


def gaps(frames: Sequence[Frame]) -> str | None:
    """Gaps between the first and the last frame number, in words; None if there are none."""
    holes = [(before.number, after.number) for before, after in pairwise(frames) if after.number - before.number > 1]
    if not holes:
        return None
    missing = sum(after - before - 1 for before, after in holes)
    where = ", ".join(f"{before} and {after}" for before, after in holes[:3])
    more = f" and at {len(holes) - 3} more places" if len(holes) > 3 else ""
    return f"frames missing: {missing}, between {where}{more}"
