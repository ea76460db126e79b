"""Faces of the shipped face model, for tests: posed people, cameras, and what they are compared by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvgen.core.camera import Camera, crop_camera
from mvgen.morphable.fitting import FaceFit, pupils
from mvgen.morphable.model import face_model
from mvgen.morphable.topology import LANDMARKS

Floats = NDArray[np.floating]

SIZE = 256
CAMERA = crop_camera(SIZE)
CAMERAS = {
    "orthographic": CAMERA,
    "far": replace(CAMERA, focal=25 * CAMERA.scale, principal=(SIZE / 2, SIZE / 2)),
    "near": replace(CAMERA, focal=8 * CAMERA.scale, principal=(SIZE / 2, SIZE / 2)),
}
MODEL = face_model()
NEUTRAL = np.zeros(len(MODEL.identity)), np.zeros(len(MODEL.actions))
turns = st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.floats(-20, 20))


def action(name: str) -> int:
    return MODEL.action_names.index(name)


def posed(identity: Floats, actions: Floats, turn: Floats, scale: float = 1.0, shift: Any = (0, 0)) -> Floats:
    """A face of the model (N, 3) in the world, its pupils at depth 0."""
    vertices = scale * MODEL.vertices(identity, actions) @ turn.T
    vertices[:, 2] -= pupils(vertices)[2]
    return np.asarray(vertices + np.array([*shift, 0]))


def person(seed: int) -> tuple[Floats, Floats]:
    """Identity weights, and action weights of which most are 0."""
    rng = np.random.default_rng(seed)
    identity = np.clip(rng.normal(0, 0.8, len(MODEL.identity)), -2, 2)
    return identity, rng.uniform(0, 0.8, len(MODEL.actions)) * (rng.random(len(MODEL.actions)) < 0.1)


def angle(one: Floats, other: Floats) -> float:
    """Degrees between two rotations."""
    return float(np.degrees(np.arccos(np.clip((np.trace(one.T @ other) - 1) / 2, -1, 1))))


def misses(fit: FaceFit, points: Floats, camera: Camera) -> Floats:
    """(T, 468) world units, how far the fit's landmarks are from those that were seen."""
    away = camera.project(fit.vertices[:, :LANDMARKS])[..., :2] - points[..., :2]
    return np.asarray(np.linalg.norm(away, axis=-1) / camera.scale)
