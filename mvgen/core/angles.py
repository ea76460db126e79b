"""Angles as users write them: `-45:45:10`, `-30,0,30`, or drawn at random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mvgen.core.errors import AnglesError

LIMIT = 90.0
_MOST = 3600  # steps of a sweep
_EXAMPLE = "write first:last:step such as -45:45:10 (both ends included), or a list such as -30,0,30"


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AnglesError(f"angles {whole!r}: {text!r} is not a number; {_EXAMPLE}") from None


def parse_angles(text: str) -> tuple[float, ...]:
    """Read a yaw sweep.

    text : `a:b:step`, inclusive where the step reaches `b`, or a comma-separated list; degrees.
    Returns the angles in the order given, without repeats.
    Raises AnglesError for a zero step, an empty sweep, text that is not a number, or an angle beyond +-90 degrees.
    """
    text = text.strip()
    if not text:
        raise AnglesError(f"angles are empty; {_EXAMPLE}")
    if ":" in text:
        parts = text.split(":")
        if len(parts) != 3:
            raise AnglesError(f"angles {text!r} have {len(parts)} parts, not 3; {_EXAMPLE}")
        first, last, step = (_number(part, text) for part in parts)
        if step == 0:
            raise AnglesError(f"angles {text!r} have step 0 and never end; {_EXAMPLE}")
        if not all(abs(value) < 1e6 for value in (first, last, step)) or abs((last - first) / step) > _MOST:
            raise AnglesError(f"angles {text!r} are out of range or ask for over {_MOST} views; {_EXAMPLE}")
        count = int((last - first) / step + 1e-9) + 1 if (last - first) / step >= 0 else 0
        angles = [round(first + index * step, 6) for index in range(count)]
    else:
        parts = text.split(",", _MOST + 1)
        if len(parts) > _MOST + 1:
            raise AnglesError(f"angles {text[:40]}... ask for over {_MOST} views; {_EXAMPLE}")
        angles = [_number(part, text) for part in parts]
    if not angles:
        raise AnglesError(f"angles {text!r} hold no angle: the step leads away from the last one; {_EXAMPLE}")
    beyond = [angle for angle in angles if not abs(angle) <= LIMIT]
    if beyond:
        raise AnglesError(f"angles {text!r}: {beyond[0]:g} is beyond +-{LIMIT:g} degrees, where no face is left to see")
    return tuple(dict.fromkeys(angle + 0.0 for angle in angles))


@dataclass(frozen=True, slots=True)
class RandomAngles:
    """Angles drawn anew for every clip and epoch, uniformly between two limits.

    yaw, pitch : lowest and highest, degrees
    seed : the same seed, epoch and clip give the same angle in every process
    Raises AnglesError for limits in the wrong order or beyond +-90 degrees, or a negative seed.
    """

    yaw: tuple[float, float] = (-45.0, 45.0)
    pitch: tuple[float, float] = (-10.0, 10.0)
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (lowest, highest) in (("yaw", self.yaw), ("pitch", self.pitch)):
            if not -LIMIT <= lowest <= highest <= LIMIT:
                raise AnglesError(
                    f"random {name} from {lowest:g} to {highest:g}: write (lowest, highest) in +-{LIMIT:g}"
                )
        if self.seed < 0:
            raise AnglesError(f"random angles have seed {self.seed}; it must be 0 or more")

    def draws(self, epoch: int, index: int) -> Iterator[tuple[float, float]]:
        """Candidates (yaw, pitch) for view `index` of an epoch, degrees; never ends."""
        from numpy.random import default_rng

        generator = default_rng((self.seed, epoch, index))
        while True:
            yield float(generator.uniform(*self.yaw)), float(generator.uniform(*self.pitch))


def angle_pairs(angles: str | Iterable[float | tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """(yaw, pitch) of every angle given, without repeats; degrees.

    angles : a sweep as `parse_angles` reads it, or yaws, or pairs of yaw and pitch
    Raises AnglesError as `parse_angles` does.
    """
    if isinstance(angles, str):
        return tuple((yaw, 0.0) for yaw in parse_angles(angles))
    asked = [(float(one), 0.0) if isinstance(one, int | float) else (float(one[0]), float(one[1])) for one in angles]
    beyond = [angle for pair in asked for angle in pair if not abs(angle) <= LIMIT]
    if beyond or not asked:
        what = f"{beyond[0]:g} is beyond +-{LIMIT:g} degrees" if beyond else "there is none"
        raise AnglesError(f"angles {asked}: {what}; {_EXAMPLE}")
    return tuple(dict.fromkeys((yaw + 0.0, pitch + 0.0) for yaw, pitch in asked))


def view_name(yaw: float | None, pitch: float = 0.0) -> str:
    """Name of a view, and of its folder: `yaw-45`, `yaw+00`, `yaw+02.5`, with pitch `yaw+15pitch-05`.

    yaw, pitch : degrees; yaw None is the frontal clip, `source`
    """
    if yaw is None:
        return "source"
    return f"yaw{_signed(yaw)}" + (f"pitch{_signed(pitch)}" if pitch else "")


def _signed(angle: float) -> str:
    whole, _, fraction = f"{abs(angle):g}".partition(".")
    return f"{'-' if angle < 0 else '+'}{whole.zfill(2)}{'.' + fraction if fraction else ''}"
