"""Whether a clip shows the face of its onset frame all along, and how well: what is given up, left out or noted."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mvgen.core.errors import ClipError
from mvgen.core.records import Clip, DepthMap, FacePoints, FaceTrack, Image, Mask, Quality, Registration
from mvgen.faces.landmarks import Landmarker
from mvgen.faces.quality import Likeness, blur, compare, exposure, outline, unlike_shape

# Chosen with `benchmarks/robustness/planted_faults.py` on the people of its split "dev".
_ALIKE, _HIDDEN = 0.7, 0.2  # beyond them the landmarker looks at a frame, too
_LEAST_ALIKE, _MOST_HIDDEN = 0.5, 0.35  # beyond them nothing speaks for it
_DIFFERENCE, _LARGEST_DIFFERENCE = 0.015, 0.03  # between shapes of one person's face, inter-ocular distances
_LEAST_CONFIDENCE = 0.5  # the landmarker says less of what is no face
_LOOKED_AT = 6  # frames that the landmarker looks at, at most, beside the onset and the apex
_MOST_UNSEEN = 0.25  # share of a clip's frames that may show something else
_LEAST_BLUR, _MOST_BLUR = 1 / 256, 6 / 256  # of the crop's side; a camera's picture of skin is never as sharp
_MOST_EXPOSURE, _MOST_OCCLUSION = 0.25, 0.25
_NAMED = 8  # frames that a message names, at most


class Checked(NamedTuple):
    """What the frames of a clip show.

    seen : (T,) bool, the face of the onset frame; reasons : T strings, why a frame cannot be used; empty where it can
    """

    likeness: Likeness
    seen: Mask
    reasons: tuple[str, ...]


def check_frames(  # noqa: PLR0917
    clip: Clip,
    crops: Image,
    still: Image,
    registration: Registration,
    face: FaceTrack,
    points: FacePoints,
    landmarker: Landmarker,
) -> Checked:
    """Look for the face of the onset frame in every frame of a clip.

    crops, still : (T, S, S, 3) uint8, as they were cut, and registered; points : of the onset frame
    All frames are compared with the onset frame; the landmarker looks only at those that are unlike it.
    Raises ClipError("face") where the onset frame shows no face, or the marked apex does not show that of the onset.
    """
    onset = clip.position(clip.onset, 0)
    if points.confidence[0] < _LEAST_CONFIDENCE:
        raise ClipError("face", f"the onset frame {clip.frames[onset].number} shows no face")
    likeness = compare(still, onset, outline(face))
    unlike = np.flatnonzero((likeness.alike < _ALIKE) | (likeness.hidden > _HIDDEN))
    reasons = [""] * len(crops)
    if len(unlike):
        spread = unlike[np.linspace(0, len(unlike) - 1, min(_LOOKED_AT, len(unlike))).round().astype(int)]
        chosen = np.union1d(spread, unlike[unlike == clip.position(clip.apex, onset)])
        found = landmarker.find(crops[chosen])
        differences = unlike_shape(found, points)
        for frame in unlike:
            nearest = int(np.abs(chosen - frame).argmin())
            if found.confidence[nearest] < _LEAST_CONFIDENCE:
                reasons[frame] = "no face is seen"
            elif differences[nearest] > _LARGEST_DIFFERENCE:
                reasons[frame] = "another face is seen"
            elif likeness.alike[frame] < _LEAST_ALIKE or likeness.hidden[frame] > _MOST_HIDDEN:
                other = differences[nearest] > _DIFFERENCE
                reasons[frame] = "another face is seen" if other else "the face is hidden"
    seen = np.array([not reason for reason in reasons])
    apex = clip.position(clip.apex, onset)
    if not seen[apex]:
        raise ClipError("face", f"the apex frame {clip.apex} does not show the onset frame's face: {reasons[apex]}")
    both = (found or own for own, found in zip(registration.reasons, reasons, strict=True))
    return Checked(likeness, seen, tuple(both))


def judge(clip: Clip, crops: Image, face: FaceTrack, checked: Checked, span: slice) -> tuple[Clip, Quality]:
    """The clip with notes on what is to be doubted, and its quality but for the occlusion.

    clip, crops : of the frames `span` that stay, (T, S, S, 3) uint8, registered; checked : of all frames
    Raises ClipError("face") where too many of the frames that stay do not show the face.
    """
    unseen = np.flatnonzero(~checked.seen[span])
    if len(unseen) > _MOST_UNSEEN * len(crops):
        raise ClipError("face", f"{len(unseen)} of {len(crops)} {_unseen(clip, unseen, checked, span)}")
    shown, likeness = outline(face), checked.likeness
    quality = Quality(
        face_seen=float(checked.seen.mean()),
        residual=float(np.median(likeness.residual[span])),
        largest_jump=float(likeness.jump[span][1:].max(initial=0.0)),
        blur=blur(crops, shown),
        exposure=exposure(crops, shown),
        occlusion=0.0,
    )
    notes = [_unseen(clip, unseen, checked, span)] if len(unseen) else []
    if quality.blur > _MOST_BLUR * face.size:
        notes.append(f"the face is blurred, by a Gaussian of {quality.blur:.1f} pixels")
    if quality.blur < _LEAST_BLUR * face.size:
        notes.append("its edges are sharper than those of skin: is it a drawing?")
    if quality.exposure > _MOST_EXPOSURE:
        notes.append(f"{quality.exposure:.0%} of the face is black or white")
    return replace(clip, notes=(*clip.notes, *notes)), quality


def with_occlusion(clip: Clip, quality: Quality, surface: DepthMap) -> tuple[Clip, Quality]:
    """The same with how much of the face is hidden in the clip's `surface`, noted where it is much."""
    fitted = np.isfinite(surface.depth)
    occlusion = float((surface.confidence[fitted] < 0.5).mean()) if fitted.any() else 1.0
    if occlusion > _MOST_OCCLUSION:
        note = f"{occlusion:.0%} of the face is hidden, or is no face"
        clip = replace(clip, notes=(*clip.notes, note))
    return clip, replace(quality, occlusion=occlusion)


def _unseen(clip: Clip, frames: NDArray[np.intp], checked: Checked, span: slice) -> str:
    """Frames that do not show the face, in words. frames : positions in the clip, the `span` of what was checked"""
    named = ", ".join(str(clip.frames[frame].number) for frame in frames[:_NAMED].tolist())
    more = f" and {len(frames) - _NAMED} more" if len(frames) > _NAMED else ""
    reasons = dict.fromkeys(checked.reasons[span.start + frame] for frame in frames)
    return f"frames do not show the face of the onset frame: {named}{more} ({', '.join(reasons)})"
