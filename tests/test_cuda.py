"""Every part that runs on CUDA beside the same part on the CPU, within tolerances that no result depends on.

Skipped where torch sees no CUDA device. `MVGEN_TEST_DEVICE=cpu pytest tests/test_cuda.py` runs the same code on the CPU
twice: that shows that it runs, not that CUDA is right.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factories import acted_points, astronaut, head_surface
from numpy.typing import NDArray
from scipy import ndimage

import mvgen
from mvgen.core.camera import Camera, crop_camera, pinhole_crop_camera
from mvgen.core.files import blazeface_weights, face_mesh_weights
from mvgen.core.records import Image
from mvgen.depth.estimator import DepthEstimator
from mvgen.faces.blazeface import BlazeFace
from mvgen.faces.crop import crop_frames, track_face
from mvgen.faces.detection import FaceDetector
from mvgen.faces.face_mesh import FaceMesh
from mvgen.faces.network_backends import get_backend
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import fit_image
from mvgen.motion.flow.raft import Raft
from mvgen.render import project_texture
from mvgen.render.grid import GridRenderer
from mvgen.render.mesh import mesh_from_depth, smooth_outline
from mvgen.views.attention import pooled_change
from recognizer.evaluation.synthetic_samples import synthetic_sample
from recognizer.learning.fit import Device, training_loss
from recognizer.systems import NeuralSystem, get_system

DEVICE = os.environ.get("MVGEN_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

SIZE = 128
CAMERA = crop_camera(SIZE)
CLASSES = 3


@cache
def crops() -> Image:
    """(3, S, S, 3), the photograph's face, shifted."""
    moved = np.stack([np.roll(astronaut(), shift, axis=1) for shift in (0, 1, 2)])
    return crop_frames(moved, track_face(moved[:1], SIZE, FaceDetector("cpu")))


@cache
def fit() -> NDArray[np.float32]:
    """(1, S, S, 4), a smiling mean face."""
    model = face_model()
    actions = np.zeros((1, len(model.actions)))
    actions[0, model.action_names.index("mouthSmileLeft")] = 0.5
    return fit_image(CAMERA, fit_face(acted_points(actions, CAMERA), CAMERA, model).vertices[0])[None]


def test_the_depth_network_gives_the_same_depth() -> None:
    there, here = (DepthEstimator(device=device).predict(crops(), fit()) for device in (DEVICE, "cpu"))
    np.testing.assert_array_equal(np.isfinite(there.depth), np.isfinite(here.depth))
    # A CPU has OpenVINO, a GPU TF32: half a hundredth of the inter-ocular distance is a third of a millimetre.
    np.testing.assert_allclose(there.depth, here.depth, atol=5e-3)
    assert np.nanmean(np.abs(there.depth - here.depth)) < 5e-4
    np.testing.assert_allclose(there.face, here.face, atol=0.02)


def test_the_attention_head_sees_the_same_change() -> None:
    there, here = (pooled_change(crops()[:1], crops()[2:], DepthEstimator(device=each)) for each in (DEVICE, "cpu"))
    np.testing.assert_allclose(there, here, atol=0.02 * np.abs(here).max())


@pytest.mark.parametrize("weights", [face_mesh_weights(), blazeface_weights()], ids=["face mesh", "blazeface"])
def test_the_networks_of_the_face_give_the_same_numbers(weights: Path) -> None:
    side = 192 if weights == face_mesh_weights() else 128
    picture = np.float32(astronaut()[None, :side, 150 : 150 + side] / 255)
    for there, here in zip(get_backend(weights, DEVICE)(picture), get_backend(weights, "cpu")(picture), strict=True):
        assert there.shape == here.shape
        np.testing.assert_allclose(there, here, atol=0.05)  # pixels, or log-odds


def test_faces_and_landmarks_are_found_at_the_same_places() -> None:
    for kind in (FaceDetector, BlazeFace):
        there, here = (kind(device).detect(astronaut()) for device in (DEVICE, "cpu"))
        np.testing.assert_allclose(there.boxes, here.boxes, atol=0.5)  # pixels of the photograph
        np.testing.assert_allclose(there.points, here.points, atol=0.5)
    found, other = (FaceMesh(device).find(crops()) for device in (DEVICE, "cpu"))
    np.testing.assert_allclose(found.points, other.points, atol=0.1)  # pixels of the crop
    np.testing.assert_allclose(found.confidence, other.confidence, atol=1e-3)


@pytest.mark.parametrize(
    "camera",
    [
        CAMERA.at(30.0),
        CAMERA.at(-40.0, 5.0),
        pinhole_crop_camera(SIZE, np.eye(2, 3), 420.0, (58.0, 40.0)).at(25.0),
    ],
    ids=["rows", "triangles", "pinhole"],
)
def test_the_renderer_draws_the_same_views(camera: Camera) -> None:
    front = camera.at(0.0)
    mesh = smooth_outline(mesh_from_depth(head_surface(front)), front)
    there, here = (GridRenderer(device).render(mesh, camera, 70.0) for device in (DEVICE, "cpu"))
    seen, other = np.isfinite(there.depth), np.isfinite(here.depth)
    assert (seen != other).mean() < 1e-3  # of the pixels, at outlines
    inner = ndimage.binary_erosion(seen & other, iterations=2)
    assert np.quantile(np.abs(there.depth - here.depth)[inner], 0.999) < 1e-3  # world units
    assert np.quantile(np.abs(there.source - here.source)[inner], 0.999) < 0.02  # pixels
    assert (there.valid != here.valid)[inner].mean() < 2e-3
    colours = [project_texture(view, crops()[:1])[0].astype(int) for view in (there, here)]
    assert (np.abs(colours[0] - colours[1]).max(axis=-1) <= 2)[inner].mean() > 0.99
    again = GridRenderer(DEVICE).render(mesh, camera, 70.0)
    np.testing.assert_array_equal(there.depth, again.depth)
    np.testing.assert_array_equal(there.coverage, again.coverage)


def test_raft_finds_the_same_flow(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    save_file(raft_small(weights=None).state_dict(), tmp_path / "raft.safetensors")
    there, here = (Raft(tmp_path / "raft.safetensors", device)(*crops()[:2]) for device in (DEVICE, "cpu"))
    assert np.abs(here).mean() > 0.01  # untrained, but not blind
    # It works on its own result twelve times, so rounding grows.
    assert np.abs(there - here).mean() < 0.05 * np.abs(here).mean()


@pytest.mark.parametrize(
    ("name", "options"), [("motion-views", {"members": 1}), ("tscnn", {}), ("strcn-a", {"maps": 4})]
)
def test_a_recogniser_scores_and_learns_the_same(name: str, options: dict[str, Any]) -> None:
    system = get_system(name, **options)
    assert isinstance(system, NeuralSystem)
    prepared = [system.prepare(synthetic_sample(label, label, 20, 64)) for label in range(CLASSES)]
    inputs = {key: np.stack([one[key] for one in prepared]).astype(np.float32) for key in prepared[0]}
    there, here = (one_step(system, inputs, device) for device in (DEVICE, "cpu"))
    for one, other in zip(there, here, strict=True):
        # TF32 has ten bits; float32 sums in another order.
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.02 * max(float(other.abs().max()), 1e-4))


def one_step(system: NeuralSystem[Any], inputs: dict[str, NDArray[np.float32]], device: str) -> list[torch.Tensor]:
    """The class scores of a new network, and the gradient of every weight of its first step, on the CPU."""
    torch.manual_seed(0)
    where = Device(device, "float32")
    tensors = {key: torch.from_numpy(values).to(device) for key, values in inputs.items()}
    network = system.network(CLASSES)
    system.initialise(network, [{key: torch.from_numpy(values) for key, values in inputs.items()}])
    network = where.place(network).eval()  # without dropout, whose generators differ
    scores = network(tensors)
    loss = training_loss(scores, torch.arange(CLASSES, device=device), system.training.loss)
    loss.backward()
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert gradients
    return [scores.detach().cpu(), *(gradient.cpu() for gradient in gradients)]


def test_bfloat16_of_a_recogniser_is_near_float32() -> None:
    system = get_system("tscnn")
    assert isinstance(system, NeuralSystem)
    prepared = system.prepare(synthetic_sample(0, 0, 20, 64))
    torch.manual_seed(0)
    network = system.network(CLASSES)
    inputs = {key: torch.from_numpy(value[None]).float() for key, value in prepared.items()}
    system.initialise(network, [inputs])
    half = Device(DEVICE, "bfloat16")
    network = half.place(network).eval()
    on_device = {key: value.to(DEVICE) for key, value in inputs.items()}
    with torch.inference_mode():
        exact = network(on_device).softmax(dim=-1)
        with half.autocast():
            rough = network(on_device).float().softmax(dim=-1)
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0)


def test_a_photograph_is_reconstructed_the_same() -> None:
    settings = {"angles": "-30,30", "size": SIZE}
    there, here = (mvgen.reconstruct(astronaut(), device=device, **settings) for device in (DEVICE, "cpu"))
    both = np.isfinite(there.surface.depth) & np.isfinite(here.surface.depth)
    assert both.sum() > 0.99 * np.isfinite(here.surface.depth).sum()
    assert np.abs(there.surface.depth - here.surface.depth)[both].mean() < 5e-3
    for one, other in zip(there.views, here.views, strict=True):
        assert (one.valid != other.valid).mean() < 0.01
        assert np.abs(one.colour.astype(float) - other.colour).mean() < 1.0
