"""Rendering: depth, source coordinates and colour of a view agree with analytic surfaces and with one another."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from factories import astronaut, head_surface
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter

from mvgen.core.camera import Camera, crop_camera, pinhole_crop_camera, pixel_grid
from mvgen.core.errors import ConfigError, MissingPartError
from mvgen.core.records import DepthMap, Floats, Mesh
from mvgen.render import RENDERERS, Renderer, get_renderer, project_texture, seen_inside
from mvgen.render.mesh import mesh_from_depth
from mvgen.render.surface import facing

SIZE = 192
ORTHOGRAPHIC = crop_camera(SIZE)
PINHOLE = pinhole_crop_camera(SIZE, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), 500.0, (75.0, 48.0))
CAMERAS = pytest.mark.parametrize("camera", [ORTHOGRAPHIC, PINHOLE], ids=["orthographic", "pinhole"])
SEEN_BY = pytest.mark.parametrize("name", RENDERERS.built_in)
CENTRE, RADIUS = np.array([0.1, -0.5, -1.2]), 1.4


def opened(name: str) -> Renderer:
    try:
        return get_renderer(name)
    except MissingPartError as missing:
        pytest.skip(str(missing))


def rays(camera: Camera) -> tuple[Floats, Floats]:
    """A point and a direction (S, S, 3) in the view's frame; a step of 1 goes one unit toward the camera."""
    grid = pixel_grid(camera.size, camera.size)
    flat = replace(camera, yaw=0.0, pitch=0.0)
    low, high = (flat.unproject(np.concatenate([grid, np.full((*grid.shape[:2], 1), z)], axis=-1)) for z in (0.0, 1.0))
    return low, high - low


def sphere_depth(camera: Camera) -> Floats:
    """Depth of the front of a sphere in a view, NaN outside it: (S, S)."""
    start, step = rays(camera)
    away = start - camera.to_view(CENTRE)
    a, b, c = (step**2).sum(-1), 2 * (step * away).sum(-1), (away**2).sum(-1) - RADIUS**2
    room = b**2 - 4 * a * c
    depth = (-b + np.sqrt(np.where(room > 0, room, np.nan))) / (2 * a)
    return np.asarray(depth)


def sphere_mesh(camera: Camera) -> Mesh:
    depth = sphere_depth(camera).astype(np.float32)
    return mesh_from_depth(DepthMap(depth, np.ones_like(depth), camera))


def plane_mesh(camera: Camera, slope: float) -> tuple[Mesh, Floats]:
    """An inclined plane z = slope x - 0.5, and its normal."""
    start, step = rays(camera)
    t = (slope * start[..., 0] - 0.5) / (1 - slope * step[..., 0])
    depth = t.astype(np.float32)
    return mesh_from_depth(DepthMap(depth, np.ones_like(depth), camera)), np.array([-slope, 0.0, 1.0])


@pytest.mark.slow
@SEEN_BY
@CAMERAS
@settings(max_examples=15)
@given(yaw=st.floats(-60, 60), pitch=st.floats(-20, 20))
def test_a_sphere_is_seen_where_geometry_says(name: str, camera: Camera, yaw: float, pitch: float) -> None:
    view = camera.at(yaw, pitch)
    seen = opened(name).render(sphere_mesh(camera), view, grazing=60.0)
    depth = sphere_depth(view)
    expected = camera.project(view.unproject(np.dstack([pixel_grid(SIZE, SIZE), depth])))[..., :2]
    # Flat triangles are slightly inside the sphere; for a ray that touches it this becomes any distance.
    points = view.unproject(np.dstack([pixel_grid(SIZE, SIZE), depth]))
    head_on = seen.valid & (facing(points, (points - CENTRE) / RADIUS, view) > np.cos(np.radians(65)))
    assert np.linalg.norm(expected - seen.source, axis=-1)[head_on].max() < 0.05
    assert np.abs(depth - seen.depth)[head_on].max() < 0.001
    assert head_on.mean() > 0.05


@pytest.mark.slow
@SEEN_BY
@CAMERAS
@settings(max_examples=15)
@given(yaw=st.floats(-45, 45), slope=st.floats(-0.6, 0.6))
def test_a_plane_is_seen_where_geometry_says(name: str, camera: Camera, yaw: float, slope: float) -> None:
    mesh, normal = plane_mesh(camera, slope)
    view = camera.at(yaw)
    seen = opened(name).render(mesh, view, grazing=89.0)
    hit = np.isfinite(seen.depth)
    points = view.unproject(np.dstack([pixel_grid(SIZE, SIZE), seen.depth.astype(np.float64)]))[hit]
    assert np.abs((points - [0, 0, -0.5]) @ normal).max() < 1e-4
    back = view.project(camera.unproject(np.column_stack([seen.source[hit], camera.project(points)[:, 2]])))[:, :2]
    assert np.abs(back - pixel_grid(SIZE, SIZE)[hit]).max() < 0.01


@SEEN_BY
@CAMERAS
def test_at_yaw_zero_every_pixel_is_its_own_source(name: str, camera: Camera) -> None:
    seen = opened(name).render(sphere_mesh(camera), camera.at(0.0), grazing=70.0)
    assert np.abs(seen.source - pixel_grid(SIZE, SIZE))[seen.valid].max() < 0.01
    assert np.abs(seen.depth - sphere_depth(camera))[seen.valid].max() < 1e-4


@SEEN_BY
def test_depth_map_given_back_at_yaw_zero(name: str) -> None:
    surface = head_surface(ORTHOGRAPHIC)
    seen = opened(name).render(mesh_from_depth(surface), ORTHOGRAPHIC, grazing=89.0)
    both = np.isfinite(seen.depth) & np.isfinite(surface.depth)
    assert both.sum() > 0.97 * np.isfinite(surface.depth).sum()
    assert np.abs(seen.depth - surface.depth)[both].max() < 1e-4


@SEEN_BY
def test_surface_the_source_saw_at_a_grazing_angle_is_not_valid(name: str) -> None:
    seen = opened(name).render(sphere_mesh(ORTHOGRAPHIC), ORTHOGRAPHIC.at(40.0), grazing=50.0)
    points = seen.camera.unproject(np.dstack([pixel_grid(SIZE, SIZE), seen.depth.astype(np.float64)]))
    angle = np.degrees(np.arccos(((points - CENTRE) / RADIUS)[..., 2]))
    hit = np.isfinite(seen.depth)
    assert not seen.valid[hit & (angle > 52)].any()
    assert seen.valid[hit & (angle < 48)].all()
    assert (hit & (angle > 52)).sum() > 100


@SEEN_BY
def test_near_surface_hides_far_surface(name: str) -> None:
    # The nose hides the cheek behind it: no view pixel shows two places, and the nearer one wins.
    mesh = mesh_from_depth(head_surface(ORTHOGRAPHIC))
    seen = opened(name).render(mesh, ORTHOGRAPHIC.at(60.0), grazing=89.0)
    projected = seen.camera.project(mesh.vertices.astype(np.float64))
    column, row = np.floor(projected[:, :2]).astype(int).clip(0, SIZE - 1).T
    # A vertex does not project to a pixel's centre: compare it with the nearest surface in the pixels around.
    shown = maximum_filter(np.nan_to_num(seen.depth, nan=-np.inf), 3)[row, column]
    inside = ((projected[:, :2] > 0) & (projected[:, :2] < SIZE)).all(axis=1) & np.isfinite(shown)
    assert (projected[:, 2] - shown)[inside].max() < 0.02
    assert (projected[:, 2] < shown - 0.2)[inside].sum() > 20


@SEEN_BY
def test_the_inside_of_the_face_is_never_shown(name: str) -> None:
    mesh = mesh_from_depth(head_surface(ORTHOGRAPHIC))
    assert not np.isfinite(opened(name).render(mesh, ORTHOGRAPHIC.at(180.0), grazing=89.0).depth).any()


@SEEN_BY
def test_views_of_different_sizes_and_meshes_do_not_mix(name: str) -> None:
    renderer, large = opened(name), crop_camera(160)
    first = renderer.render(sphere_mesh(ORTHOGRAPHIC), ORTHOGRAPHIC.at(20.0), 70.0)
    renderer.render(mesh_from_depth(head_surface(large)), large.at(-30.0), 70.0)
    again = renderer.render(sphere_mesh(ORTHOGRAPHIC), ORTHOGRAPHIC.at(20.0), 70.0)
    np.testing.assert_array_equal(first.depth, again.depth)
    np.testing.assert_array_equal(first.valid, again.valid)


@SEEN_BY
def test_colour_follows_the_source_coordinates(name: str) -> None:
    # Colour is the source position itself, so the textured view must show `source`.
    grid = pixel_grid(SIZE, SIZE)
    ramp = np.dstack([grid, np.zeros((SIZE, SIZE))]).astype(np.uint8)
    seen = opened(name).render(mesh_from_depth(head_surface(ORTHOGRAPHIC)), ORTHOGRAPHIC.at(30.0), 70.0)
    colour = project_texture(seen, ramp[None])[0]
    away = np.abs(colour[..., :2] + 0.5 - seen.source)[seen.valid]
    assert np.quantile(away, 0.99) < 1.0
    assert (colour[seen.coverage == 0] == 0).all()


@SEEN_BY
def test_frontal_view_of_the_photograph_is_the_photograph(name: str) -> None:
    crop = astronaut()[40 : 40 + SIZE, 160 : 160 + SIZE]
    seen = opened(name).render(mesh_from_depth(head_surface(ORTHOGRAPHIC)), ORTHOGRAPHIC, 70.0)
    colour = project_texture(seen, np.stack([crop, 255 - crop]))
    hit = np.isfinite(seen.depth)
    np.testing.assert_array_equal(colour[:, hit], np.stack([crop, 255 - crop])[:, hit])


@SEEN_BY
def test_squeezed_texture_does_not_alias(name: str) -> None:
    stripes = np.zeros((SIZE, SIZE, 3), np.uint8)
    stripes[:, ::2] = 200
    mesh, _ = plane_mesh(ORTHOGRAPHIC, 0.0)
    seen = opened(name).render(mesh, ORTHOGRAPHIC.at(60.0), 89.0)  # squeezed to a half: one period a pixel
    hit = np.isfinite(seen.depth)
    inner = hit & np.roll(hit, 3, axis=1) & np.roll(hit, -3, axis=1)
    assert project_texture(seen, stripes[None])[0][inner].astype(float).std() < 30


@SEEN_BY
def test_pixels_from_outside_the_picture_are_not_seen_inside_it(name: str) -> None:
    seen = opened(name).render(sphere_mesh(ORTHOGRAPHIC), ORTHOGRAPHIC.at(25.0), 70.0)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[:, :60] = True
    covered = seen_inside(seen, inside)
    assert (seen.source[covered][:, 0] <= 60).all()
    assert (seen.source[seen.valid & ~covered][:, 0] >= 60).all()


def test_unknown_renderer_is_refused() -> None:
    with pytest.raises(ConfigError, match="Known: grid, raycast, pyrender"):
        get_renderer("raytracer")


@pytest.mark.slow
def test_triton_can_be_loaded_after_a_view_was_rendered() -> None:
    pytest.importorskip("triton", reason="this torch comes without triton")
    code = "from mvgen.render import get_renderer; get_renderer('pyrender')\nimport triton.runtime; print('both')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "both")


def test_missing_gl_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pyrender'] = None\n"
        "from mvgen.core.errors import MissingPartError\n"
        "import mvgen.render.pyrender as backend\n"
        "def nothing(name): raise ImportError('no ' + name)\n"
        "backend._open = nothing\n"
        "from mvgen.render import get_renderer\n"
        "try: get_renderer('pyrender')\n"
        "except MissingPartError as error: print(error)\n"
    )
    free = {name: value for name, value in os.environ.items() if name != "PYOPENGL_PLATFORM"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=free)
    assert "libegl1" in done.stdout
    assert "libosmesa6" in done.stdout
    assert "no egl" in done.stdout
