"""The surface of a clip in the page's 3D view: what is sent to the browser."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import head_surface
from fake_build import FakeStages, make_built, make_config, make_source

from mvgen.core.camera import Camera, crop_camera, pinhole_crop_camera
from mvgen.core.records import Reconstruction
from mvgen.report import page, surface, viewer
from mvgen.report.surface import coarse, projection, show_surface

PINHOLE = pinhole_crop_camera(96, np.array([[0.5, 0, 0], [0, 0.5, 0]]), 600.0, (90.0, 110.0))


def decoded(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Reconstruction:
    """A smooth head of four frames, whose skin comes nearer at the right."""
    root = make_source(tmp_path_factory.mktemp("surface") / "root", subjects=1, clips=1)
    config = make_config(root, root / "out")
    built = make_built(FakeStages(root).read(config).clips[0], config).reconstruction
    lift = np.zeros((4, 16, 16), np.float16)
    lift[1:, :, 8:] = np.array([0.1, 0.2, 0.05])[:, None, None]
    depth = head_surface(crop_camera(96))
    face = replace(built.face, size=96, inside=np.ones((96, 96), bool))
    return replace(built, depth=depth, face=face, lift=lift)


@pytest.mark.parametrize("camera", [crop_camera(96), PINHOLE, replace(PINHOLE, principal=None)])
def test_the_projection_is_that_of_the_camera(camera: Camera) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (50, 3)) + np.array([0, 0, camera.pivot[2]])
    for yaw, pitch in ((0, 0), (30, -20)):
        turned = camera.at(yaw, pitch)
        clip = np.c_[turned.to_view(points), np.ones(50)] @ projection(camera, 2.0).T
        x, y, z = (clip[:, :3] / clip[:, 3:]).T
        u, v, depth = turned.project(points).T
        assert np.allclose((x + 1) / 2 * camera.size, u)
        assert np.allclose((1 - y) / 2 * camera.size, v)
        assert np.abs(z).max() < 1
        assert np.array_equal(np.argsort(z), np.argsort(-depth))  # what is nearer hides what is not


@pytest.mark.parametrize("camera", [crop_camera(96), PINHOLE])
def test_a_coarse_surface_lies_on_the_fine_one(camera: Camera) -> None:
    plane = replace(head_surface(crop_camera(96)), camera=camera)
    small = coarse(plane, 5)  # does not divide 96
    assert small.depth.shape == (19, 19)
    known = np.argwhere(np.isfinite(small.depth))[::7]
    for row, column in known:
        block = plane.depth[row * 5 : row * 5 + 5, column * 5 : column * 5 + 5]
        assert np.isclose(small.depth[row, column], np.nanmean(block), atol=1e-6)
        pixel = np.array([column + 0.5, row + 0.5, small.depth[row, column]])
        assert np.allclose(small.camera.unproject(pixel), camera.unproject(pixel * [5, 5, 1]))


def test_the_mesh_is_the_stored_surface_and_moves_with_its_lift(found: Reconstruction) -> None:
    shown = show_surface(found, [0, 2, 3], 65.0, 10**7)
    assert shown is not None
    points = decoded(shown["points"], "<i2").reshape(-1, 3) * shown["unit"]
    places = decoded(shown["places"], "<u2").reshape(-1, 2) / 65535 * 96
    triangles = decoded(shown["triangles"], "<u2").reshape(-1, 3)
    assert len(points) == len(places) == np.isfinite(found.depth.depth).sum()
    assert triangles.max() == len(points) - 1
    assert np.abs(found.depth.camera.project(points)[:, :2] - places).max() < 0.02
    column, row = np.floor(places).astype(int).T
    off = np.abs(points[:, 2] - found.depth.depth[row, column])
    assert np.quantile(off, 0.9) < 1e-4  # the outline alone is made smoother
    lift = decoded(shown["lift"], "i1").reshape(3, -1) * shown["liftUnit"]
    right, left = places[:, 0] > 56, places[:, 0] < 40
    assert np.allclose(lift[:, right], np.array([[0.0], [0.2], [0.05]]), atol=1e-3)
    assert np.abs(lift[:, left]).max() == 0


def test_what_the_source_saw_at_a_grazing_angle_is_marked(found: Reconstruction) -> None:
    def share(**settings: Any) -> float:
        shown = show_surface(replace(found, **settings), [0], 65.0, 10**7)
        assert shown is not None
        return float(decoded(shown["seen"], "u1").mean())

    assert 0.5 < share() < 0.98
    half = np.ones((96, 96), bool)
    half[:, 48:] = False
    assert share(face=replace(found.face, inside=half)) == pytest.approx(share() / 2, abs=0.05)
    steep = show_surface(found, [0], 20.0, 10**7)
    assert steep is not None
    assert decoded(steep["seen"], "u1").mean() < share()


def test_a_surface_stays_within_its_room(found: Reconstruction) -> None:
    def length(shown: dict[str, Any] | None) -> int:
        assert shown is not None
        return sum(len(value) for value in shown.values() if isinstance(value, str))

    whole = length(show_surface(found, range(4), 65.0, 10**7))
    assert length(show_surface(found, range(4), 65.0, whole - 1)) < whole
    # A face that fills the picture, in all frames a page shows, still fits a twelfth of the page's room.
    full = replace(found.depth, depth=np.zeros((96, 96), np.float32), confidence=np.ones((96, 96), np.float32))
    long = replace(found, depth=full, lift=np.ones((48, 16, 16), np.float16))
    room = page._SURFACES // viewer.MAX_CLIPS
    assert length(show_surface(long, range(48), 65.0, room)) <= room
    scripts = sum((Path(page.__file__).parent / "templates" / name).stat().st_size for name in page._SCRIPTS)
    assert page._PICTURES + page._SURFACES + scripts < 28_000_000


def test_a_surface_without_motion_or_without_a_face(found: Reconstruction) -> None:
    still = show_surface(replace(found, lift=None), [0], 65.0, 10**7)
    assert still is not None
    assert still["lift"] is None
    nothing = replace(found.depth, depth=np.full((96, 96), np.nan, np.float32))
    assert show_surface(replace(found, depth=nothing), [0], 65.0, 10**7) is None
    absurd = replace(found.depth, camera=replace(found.depth.camera, scale=1e-300))
    assert show_surface(replace(found, depth=absurd), [0], 65.0, 10**7) is None


def test_the_script_of_three_is_as_its_readme_says() -> None:
    vendor = Path(surface.__file__).parent / "templates" / "vendor"
    script = (vendor / "three.min.js").read_text(encoding="utf-8")
    assert "</script" not in script
    assert "0.187.0" in (vendor / "README.md").read_text(encoding="utf-8")
    assert '"187"' in script
    assert "MIT License" in (vendor / "three.LICENSE").read_text(encoding="utf-8")
