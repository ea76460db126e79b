"""Signals of a clip, frame by frame: head pose, and intensities of facial actions by FACS names.

The motion from the onset frame to all frames is fitted by few actions, the same ones in all frames, by least squares.
The standard deviation of an intensity follows from the residuals, which are correlated between neighbouring places.

Convention: intensities in crop pixels, the largest displacement by an action. The subject's residuals and right.
Sources: Ekman, Friesen and Hager, FACS, 2002, for the numbers; Conley, GMM Estimation with Cross Sectional Dependence,
J. Econometrics 1999 (the covariance of least squares whose residuals are correlated between neighbours).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mvgen.core.records import Signals
from mvgen.morphable.action_units import FACIAL_ACTIONS
from mvgen.motion.flow.onset_motion import OnsetMotion
from mvgen.motion.head_motion import rotation_matrix
from mvgen.motion.scene_flow import SceneFlow, motion_actions

Floats = NDArray[np.floating]

# Actions that `FACIAL_ACTIONS` does not contain. The mouth drawn to one side has no number; it keeps its name.
_NUMBERS = {
    "cheekRaiser": "6",
    "mouthClose": "8",
    "mouthFunnel": "22",
    "mouthRollLower": "28",
    "mouthRollUpper": "28",
    "jawForward": "29",
    "jaw": "30",  # sideways
    "cheekPuff": "34",
}
_UNSIDED = ("mouthLeft", "mouthRight")
_SIDES = {"Left": "L", "Right": "R"}
_LEAST_POWER = 0.1  # of an action that is kept, share of the strongest one's, RMS over the frames
# In synthetic performances of 256 pixels, heads still and drifting, residuals correlate by 0.57 within 8 pixels and
# 0.24 at 20; with this length 0.89 of the intensities are within two deviations of those of the true motion.
_CORRELATION_LENGTH = 24 / 256  # of the crop's side
_LEAST_RESIDUAL = 0.03 / 256  # along an axis, of the crop's side


def clip_signals(pose: Floats, motion: OnsetMotion, scene_flow: SceneFlow) -> Signals:
    """The signals of a registered clip.

    pose : (T, 6), see `mvgen.motion.head_motion`; motion : of the registered frames
    scene_flow : of the clip's face
    """
    names, members = action_units(scene_flow.names)
    seen, places, displacements = motion.at(scene_flow.places), scene_flow.places, scene_flow.displacements
    size = len(motion.surface)
    if not len(places):
        empty = np.zeros((len(pose), len(names)), np.float32)
        return with_head(pose, empty, empty + np.float32(np.nan), names)
    chosen = _chosen(scene_flow.weights_at(seen))
    strength, residuals = _explained(seen, displacements[chosen])
    noise = np.sqrt(np.square(residuals).mean(axis=(1, 2)))
    # A frame whose motion was discarded as noise has no smaller deviation than the others.
    noise = np.maximum(noise, max(np.sqrt(np.square(noise).mean()), _LEAST_RESIDUAL * size))
    correlation = _correlation(places, _CORRELATION_LENGTH * size)
    deviation = noise[:, None] * _deviations(displacements, chosen, members, correlation)
    return with_head(pose, strength @ members[:, chosen].T, deviation, names)


def with_head(pose: Floats, actions: Floats, deviation: Floats, names: Sequence[str]) -> Signals:
    """Signals of a head's poses (T, 6) and of actions (T, A) that are known."""
    yaw, pitch, roll = head_angles(pose[:, 2:5]).T
    return Signals(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        dx=pose[:, 0].copy(),
        dy=pose[:, 1].copy(),
        scale=np.exp(pose[:, 5]),
        actions=actions.astype(np.float32),
        deviation=deviation.astype(np.float32),
        names=tuple(names),
    )


def head_angles(vectors: Floats) -> NDArray[np.float64]:
    """Yaw, pitch, roll (T, 3) in degrees, see `mvgen.scans.imaging.rotation`, of rotation vectors (T, 3) in radians."""
    angles = np.full((len(vectors), 3), np.nan)
    for index in np.flatnonzero(np.isfinite(vectors).all(axis=1)):
        turned = rotation_matrix(vectors[index])
        yaw = np.arctan2(-turned[2, 0], np.hypot(turned[2, 1], turned[2, 2]))
        angles[index] = yaw, np.arctan2(-turned[2, 1], turned[2, 2]), np.arctan2(-turned[1, 0], turned[0, 0])
    return np.degrees(angles) + 0.0  # no negative zeros


def unit_names() -> tuple[str, ...]:
    """The action units that the shipped actions show, in the order of their numbers."""
    return action_units(motion_actions().names)[0]


@lru_cache(maxsize=4)
def action_units(names: tuple[str, ...]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The FACS action units of facial actions (family/action), and (U, A), 1 where an action shows a unit, else 0.

    Actions of the same name in several families are added. An action without sides counts on both sides where another
    of its unit has sides.
    """
    sided = [_unit(name.rpartition("/")[2]) for name in names]
    split = {unit for unit, side in sided if side}
    units = {(unit, side) for one, own in sided for unit, side in _shown(one, own, one in split)}
    ordered = sorted(units, key=lambda pair: (not pair[0].startswith("AU"), len(pair[0]), pair))
    members = np.zeros((len(ordered), len(names)))
    for column, (one, own) in enumerate(sided):
        for shown in _shown(one, own, one in split):
            members[ordered.index(shown), column] = 1
    return tuple(unit + side for unit, side in ordered), members


def _unit(action: str) -> tuple[str, str]:
    """The action unit that an ARKit action shows most, and its side: "L", "R" or ""."""
    stem, side = action, ""
    for word, letter in _SIDES.items():
        if action.endswith(word) and action not in _UNSIDED:
            stem, side = action.removesuffix(word), letter
    candidates = [(strengths[stem], number) for number, strengths in FACIAL_ACTIONS.items() if stem in strengths]
    number = max(candidates)[1] if candidates else _NUMBERS.get(stem)
    return (action, "") if number is None else (f"AU{number}", side)


def _shown(unit: str, side: str, split: bool) -> list[tuple[str, str]]:
    return [(unit, letter) for letter in _SIDES.values()] if split and not side else [(unit, side)]


def _chosen(weights: Floats) -> NDArray[np.intp]:
    """Indices of the actions that are kept, by their weights (T, A)."""
    power = np.sqrt(np.square(weights).mean(axis=0))
    return np.flatnonzero((power > 0) & (power >= _LEAST_POWER * power.max()))


def _explained(seen: Floats, displacements: Floats) -> tuple[Floats, Floats]:
    """Least-squares strengths (T, K) >= 0 of displacements (K, P, 2) in motion (T, P, 2), and the residuals."""
    from scipy.optimize import nnls

    basis = displacements.reshape(len(displacements), 2 * seen.shape[1]).T
    strength = np.zeros((len(seen), len(displacements)))
    for index, one in enumerate(seen.reshape(len(seen), -1)):
        if len(displacements):
            strength[index] = nnls(basis, one)[0]
    return strength, seen - (strength @ basis.T).reshape(seen.shape)


def _correlation(places: Floats, length: float) -> Floats:
    """(P, P), correlation of the residuals at places (P, 2), falling over a length, pixels."""
    apart = np.square(places[:, None] - places).sum(axis=-1)
    return np.asarray(np.exp(-0.5 * apart / length**2))


def _deviations(displacements: Floats, chosen: NDArray[np.intp], members: Floats, correlation: Floats) -> Floats:
    """(U,) standard deviations of action units' strengths where each place has a residual of 1.

    displacements : (A, P, 2); chosen : (K,) the actions in the fit; members : (U, A); correlation : (P, P)
    A unit without a chosen action has the least deviation that one of its actions would have beside the chosen ones.
    """
    rows = displacements.reshape(len(displacements), -1)
    spread = (displacements.transpose(0, 2, 1) @ correlation).transpose(0, 2, 1).reshape(rows.shape)
    basis = rows[chosen]
    inverse = np.linalg.pinv(basis @ basis.T, hermitian=True)
    covariance = inverse @ (basis @ spread[chosen].T) @ inverse
    # The part of every other action that is not a combination of the chosen ones.
    shared = rows @ basis.T @ inverse
    own, own_spread = rows - shared @ basis, spread - shared @ spread[chosen]
    power = np.square(own).sum(axis=1)
    alone = np.sqrt((own * own_spread).sum(axis=1)) / np.maximum(power, 1e-9)
    alone[chosen] = np.inf
    fitted = members[:, chosen]
    together = np.sqrt(np.maximum(np.einsum("uk,kl,ul->u", fitted, covariance, fitted), 0))
    smallest = np.where(members > 0, alone, np.inf).min(axis=1)
    return np.where(fitted.any(axis=1), together, smallest)
