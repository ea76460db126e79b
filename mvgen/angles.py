"""Yaw sweeps as people type them: `-45:45:10`, or `-30,0,30`."""

from __future__ import annotations

from mvgen.errors import AnglesError

LIMIT = 90.0
_EXAMPLE = "write first:last:step such as -45:45:10 (both ends included), or a list such as -30,0,30"


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AnglesError(f"angles {whole!r}: {text!r} is not a number; {_EXAMPLE}") from None


def parse_angles(text: str) -> tuple[float, ...]:
    """Read a yaw sweep.

    text : `a:b:step`, inclusive where the step meets `b`, or a comma-separated list; degrees.
    Returns the angles in the order given, without repeats.
    Raises AnglesError for a zero step, an empty sweep, something that is no number, or an angle beyond +-90 degrees.
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
        if not all(abs(value) < 1e6 for value in (first, last, step)) or abs((last - first) / step) > 3600:
            raise AnglesError(f"angles {text!r} are out of range or ask for over 3600 views; {_EXAMPLE}")
        count = int((last - first) / step + 1e-9) + 1 if (last - first) / step >= 0 else 0
        angles = [round(first + index * step, 6) for index in range(count)]
    else:
        angles = [_number(part, text) for part in text.split(",")]
    if not angles:
        raise AnglesError(f"angles {text!r} hold no angle: the step leads away from the last one; {_EXAMPLE}")
    beyond = [angle for angle in angles if not abs(angle) <= LIMIT]
    if beyond:
        raise AnglesError(f"angles {text!r}: {beyond[0]:g} is beyond +-{LIMIT:g} degrees, where no face is left to see")
    return tuple(dict.fromkeys(angle + 0.0 for angle in angles))


def view_name(yaw: float | None) -> str:
    """Name of a view's folder: `yaw-45`, `yaw+00`, `yaw+15`, `yaw+02.5`; `source` for the frontal clip (None)."""
    if yaw is None:
        return "source"
    magnitude = f"{abs(yaw):g}"
    whole, _, fraction = magnitude.partition(".")
    return f"yaw{'-' if yaw < 0 else '+'}{whole.zfill(2)}{'.' + fraction if fraction else ''}"
