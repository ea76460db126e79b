"""Making the face model out of families of parametric heads: correspondence, alignment, principal components."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import crop_camera
from mvgen.faces.face_mesh import FaceMesh
from mvgen.morphable.model import FaceModel
from mvgen.morphable.topology import EYE_LEFT, EYE_RIGHT, LANDMARKS
from mvgen.scans.corpora.performing import Heads
from mvgen.scans.head import HeadModel
from mvgen.training.correspondence import correspondence, picture

Floats = NDArray[np.floating]

_COMPONENTS = 48
_MODELLED = 24  # people on whom landmarks are located
_TESTED = 48  # other people, for the error of the landmarker
_SEED = 20

# Apple's ARKit, ARFaceAnchor.BlendShapeLocation; those that a family does not have are left out of the model.
ARKIT_ACTIONS = tuple(
    name
    for base, sides in (
        ("browDown", 2), ("browInnerUp", 1), ("browOuterUp", 2), ("cheekPuff", 1), ("cheekSquint", 2), ("eyeBlink", 2),
        ("eyeLookDown", 2), ("eyeLookIn", 2), ("eyeLookOut", 2), ("eyeLookUp", 2), ("eyeSquint", 2), ("eyeWide", 2),
        ("jawForward", 1), ("jawLeft", 1), ("jawOpen", 1), ("jawRight", 1), ("mouthClose", 1), ("mouthDimple", 2),
        ("mouthFrown", 2), ("mouthFunnel", 1), ("mouthLeft", 1), ("mouthLowerDown", 2), ("mouthPress", 2),
        ("mouthPucker", 1), ("mouthRight", 1), ("mouthRollLower", 1), ("mouthRollUpper", 1), ("mouthShrugLower", 1),
        ("mouthShrugUpper", 1), ("mouthSmile", 2), ("mouthStretch", 2), ("mouthUpperUp", 2), ("noseSneer", 2),
        ("tongueOut", 1),
    )
    for name in ((base,) if sides == 1 else (f"{base}Left", f"{base}Right"))
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """One parametric model. spread : how much its people differ, see `Heads`; people : how many to draw."""

    heads: Heads
    spread: float
    people: int


def shipped_families(ict: Path) -> dict[str, Family]:
    """The families of the shipped model; `ict` is a clone of ICT-FaceKit.

    ICT is made from scans of real people and has more weight; Anny's local shapes are kept closer to the mean than in
    training pictures, where strange faces do no harm.
    """
    from mvgen.scans.corpora.anny import anny_heads
    from mvgen.scans.corpora.ict import ict_heads

    return {"anny": Family(anny_heads(), 0.25, 500), "ict": Family(ict_heads(ict), 1.0, 700)}


def make_face_model(
    families: Mapping[str, Family], landmarker: FaceMesh, report: Callable[[str], None] = print
) -> FaceModel:
    """The face model of some families, each weighted by its number of people."""
    shapes, actions, errors = [], [], []
    names = _action_names([family.heads.model for family in families.values()])
    for number, (name, family) in enumerate(families.items()):
        generator = np.random.default_rng([_SEED, number])
        model = family.heads.model
        first = family.heads.sample_identities(generator, _MODELLED, family.spread)
        anchors = correspondence(model, first, landmarker, generator)
        people = family.heads.sample_identities(generator, family.people, family.spread)
        shapes.append(np.stack([anchors @ person.vertices.astype(np.float64) for person in people]))
        metre = float(np.mean([person.metre for person in people]))
        actions.append(np.stack([anchors @ (_action(model, action) / metre) for action in names]))
        tested = family.heads.sample_identities(generator, _TESTED, family.spread)
        errors.append(
            [
                landmark_error(
                    landmarker.find(picture(model, person, generator)[None]).points[0],
                    anchors[:LANDMARKS] @ person.vertices,
                )
                for person in tested
            ]
        )
        off = 100 * np.median(np.abs(errors[-1]))
        report(f"{name}: {len(people)} people; landmarks are off by {off:.1f} % of the inter-ocular distance")
    aligned = align_shapes(np.concatenate(shapes))
    mean = aligned.mean(axis=0)
    _, scales, components = np.linalg.svd((aligned - mean).reshape(len(aligned), -1), full_matrices=False)
    kept = scales[:_COMPONENTS, None] / np.sqrt(len(aligned)) * components[:_COMPONENTS]
    report(
        f"{_COMPONENTS} components hold {100 * np.square(scales[:_COMPONENTS]).sum() / np.square(scales).sum():.1f} %"
    )
    bias = np.mean([np.mean(each, axis=0) for each in errors], axis=0)
    spread = np.concatenate([each - np.mean(each, axis=0) for each in errors])
    return FaceModel(
        mean=mean.astype(np.float32),
        identity=kept.reshape(_COMPONENTS, *mean.shape).astype(np.float32),
        actions=np.mean(actions, axis=0).astype(np.float32),
        action_names=names,
        depth_bias=bias[:, 2].astype(np.float32),
        point_deviation=np.sqrt(np.square(spread).mean(axis=0)).astype(np.float32),
    )


def family_actions(families: Mapping[str, Family], landmarker: FaceMesh) -> dict[str, tuple[tuple[str, ...], Floats]]:
    """The facial actions of each family on the vertices of the face model: names, and (A, N, 3) metres."""
    found = {}
    for number, (name, family) in enumerate(families.items()):
        generator = np.random.default_rng([_SEED, number])
        model = family.heads.model
        first = family.heads.sample_identities(generator, _MODELLED, family.spread)
        anchors = correspondence(model, first, landmarker, generator)
        found[name] = model.action_names, np.stack([anchors @ each.astype(np.float64) for each in model.actions])
    return found


def _action_names(models: list[HeadModel]) -> tuple[str, ...]:
    """The facial actions that all models have, as one or as a left and a right one."""
    known = [set(model.action_names) for model in models]
    return tuple(
        name for name in ARKIT_ACTIONS if all(name in one or {f"{name}Left", f"{name}Right"} <= one for one in known)
    )


def _action(model: HeadModel, name: str) -> Floats:
    """(N, 3) metres, offsets of an action at strength 1; the sum of its sides where the model has only those."""
    parts = [name] if name in model.action_names else [f"{name}Left", f"{name}Right"]
    return np.asarray(sum(model.actions[model.action_names.index(part)].astype(np.float64) for part in parts))


def align_shapes(shapes: Floats, rounds: int = 3) -> Floats:
    """Faces (B, N, 3) turned, scaled and shifted onto their mean, so that they differ in shape only.

    Without it, the different poses of the families would count as identity.
    Source: generalised Procrustes analysis, Gower 1975; each step Umeyama 1991.
    """
    mean = shapes[0]
    size = np.sqrt(np.square(shapes - shapes.mean(axis=1, keepdims=True)).sum(axis=(1, 2)).mean())
    for _ in range(rounds):
        target = mean - mean.mean(axis=0)
        target = target * size / np.sqrt(np.square(target).sum())
        centred = shapes - shapes.mean(axis=1, keepdims=True)
        left, spread, right = np.linalg.svd(np.einsum("ni,bnj->bij", target, centred))
        mirrored = np.sign(np.linalg.det(left @ right))
        spread[:, 2] *= mirrored
        left[:, :, 2] *= mirrored[:, None]
        scale = spread.sum(axis=1) / np.square(centred).sum(axis=(1, 2))
        shapes = scale[:, None, None] * np.einsum("bij,bnj->bni", left @ right, centred)
        mean = shapes.mean(axis=0)
    eyes = np.stack([mean[list(loop)].mean(axis=0) for loop in (EYE_LEFT, EYE_RIGHT)])
    return (shapes - eyes.mean(axis=0)) / np.linalg.norm(eyes[1] - eyes[0])


def landmark_error(found: Floats, true: Floats) -> Floats:
    """(468, 3) world units: landmarks found in a `correspondence.picture` minus the true ones, depth aligned.

    found : (468, 3) pixels; true : (468, 3) world
    """
    camera = crop_camera(256)
    seen = camera.project(true)
    error = np.empty_like(seen)
    error[:, :2] = (found[:, :2] - seen[:, :2]) / camera.scale
    depth = found[:, 2] / camera.scale
    error[:, 2] = depth - true[:, 2] - (depth - true[:, 2]).mean()
    return error
