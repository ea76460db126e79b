"""The fast renderer against the references, and what it alone gives against geometry."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from factories import astronaut, head_surface
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mvgen.core.camera import Camera, crop_camera, pinhole_crop_camera, pixel_grid
from mvgen.core.errors import ConfigError
from mvgen.core.records import DepthMap, Image, Mesh, ViewGeometry
from mvgen.render import get_renderer, project_texture
from mvgen.render.grid import GridRenderer
from mvgen.render.mesh import mesh_from_depth, smooth_outline

SIZE = 128
ORTHOGRAPHIC = crop_camera(SIZE)
PINHOLE = pinhole_crop_camera(SIZE, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), 420.0, (58.0, 40.0))


@cache
def face(camera: Camera) -> Mesh:
    return smooth_outline(mesh_from_depth(head_surface(camera)), camera)


def bumpy(camera: Camera, seed: int, holes: int) -> Mesh:
    """A smooth random surface with a ragged outline and holes."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(camera.size, camera.size)), camera.size / 16)
    depth = (-0.6 + 0.35 * noise / np.abs(noise).max()).astype(np.float32)
    grid = pixel_grid(camera.size, camera.size) / camera.size - 0.5
    outline = ndimage.gaussian_filter(rng.normal(size=depth.shape), 3)
    depth[np.hypot(grid[..., 0], grid[..., 1]) + 0.5 * outline > 0.38] = np.nan
    for row, column in rng.integers(camera.size // 3, 2 * camera.size // 3, (holes, 2)):
        depth[row : row + 4, column : column + 5] = np.nan
    return smooth_outline(mesh_from_depth(DepthMap(depth, np.ones_like(depth), camera)), camera)


def smooth_texture() -> Image:
    """(1, S, S, 3), colours that change by a few steps a pixel at most."""
    return ndimage.gaussian_filter(astronaut()[40 : 40 + SIZE, 160 : 160 + SIZE], (4, 4, 0))[None]


def assert_same(fast: ViewGeometry, reference: ViewGeometry) -> None:
    """The stated tolerance; not of colours that only the fast renderer mixes, at the ends of near surfaces."""
    mine, other = np.isfinite(fast.depth), np.isfinite(reference.depth)
    both = mine & other
    assert (mine != other).sum() <= 0.002 * max(other.sum(), 500)
    inner = ndimage.binary_erosion(both, np.ones((3, 3)))
    jump = ndimage.maximum_filter(np.nan_to_num(reference.depth), 3) - ndimage.minimum_filter(
        np.nan_to_num(reference.depth), 3
    )
    smooth = inner & (jump < 0.15)
    assert np.abs(fast.depth - reference.depth)[smooth].max(initial=0) < 0.001
    assert np.quantile(np.abs(fast.source - reference.source)[both], 0.99) < 0.01
    assert (fast.valid != reference.valid)[both].mean() < 0.002
    colours = [project_texture(view, smooth_texture())[0].astype(int) for view in (fast, reference)]
    close = np.abs(colours[0] - colours[1]).max(axis=-1) <= 2
    plain = both & (fast.blend == 0)
    assert close[plain].mean() > 0.99
    assert plain.sum() > 0.85 * both.sum()


@pytest.mark.parametrize("reference", ["raycast", "pyrender"])
@pytest.mark.parametrize("yaw", [-80.0, -45.0, 0.0, 17.0, 45.0, 80.0])
def test_a_face_looks_the_same_to_all_renderers(reference: str, yaw: float) -> None:
    camera = ORTHOGRAPHIC.at(yaw)
    mesh = face(ORTHOGRAPHIC)
    assert_same(get_renderer().render(mesh, camera, 70.0), get_renderer(reference).render(mesh, camera, 70.0))


@pytest.mark.slow
@pytest.mark.parametrize("source", [ORTHOGRAPHIC, PINHOLE], ids=["orthographic", "pinhole"])
@settings(max_examples=12)
# At larger yaw every sixth pixel of such a surface is at the end of a near one, and mixes two colours.
@given(yaw=st.floats(-75, 75), pitch=st.one_of(st.just(0.0), st.floats(-25, 25)), seed=st.integers(0, 99))
def test_ragged_surfaces_with_holes_look_the_same_to_rays(source: Camera, yaw: float, pitch: float, seed: int) -> None:
    # From the very front the outline runs through the centres of pixels, and whether they are hit is a matter of taste.
    assume(abs(yaw) > 0.01 or abs(pitch) > 0.01)
    mesh, camera = bumpy(source, seed, holes=seed % 4), source.at(yaw, pitch)
    assert_same(get_renderer().render(mesh, camera, 70.0), get_renderer("raycast").render(mesh, camera, 70.0))


@settings(max_examples=10)
@given(yaw=st.floats(-75, 75), seed=st.integers(0, 99))
def test_rows_and_triangles_draw_the_same(yaw: float, seed: int) -> None:
    # With a negligible pitch the same view is rasterised by triangles.
    mesh = bumpy(ORTHOGRAPHIC, seed, holes=2)
    along_rows, as_triangles = (get_renderer().render(mesh, ORTHOGRAPHIC.at(yaw, pitch), 70.0) for pitch in (0, 1e-7))
    assert_same(along_rows, as_triangles)
    rim = (as_triangles.coverage > 0) & (as_triangles.coverage < 1)
    assert np.abs(along_rows.coverage - as_triangles.coverage)[rim].mean() < 0.05


@pytest.mark.parametrize("pitch", [0.0, 6.0])
@pytest.mark.parametrize("yaw", [-45.0, 10.0, 30.0])
def test_coverage_is_the_share_of_the_pixel_that_rays_hit(yaw: float, pitch: float) -> None:
    mesh, camera = face(ORTHOGRAPHIC), ORTHOGRAPHIC.at(yaw, pitch)
    fast, rays = (get_renderer(name).render(mesh, camera, 70.0).coverage for name in ("grid", "raycast"))
    rim = (rays > 0) & (rays < 1)
    assert np.abs(fast - rays)[rim].mean() < 0.08
    assert (np.abs(fast - rays) > 0.3).sum() < 0.03 * rim.sum()
    assert ((fast == 1) == (rays == 1))[~rim].mean() > 0.995


def test_area_of_the_face_is_the_sum_of_its_coverage() -> None:
    # Seen from the front, the outline encloses a known area; pixels counted whole miss it by their stairs.
    mesh = face(ORTHOGRAPHIC)
    a, b, c = (ORTHOGRAPHIC.project(mesh.vertices[mesh.triangles[:, k]].astype(float))[:, :2] for k in range(3))
    doubled = (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]) - (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1])
    coverage = get_renderer().render(mesh, ORTHOGRAPHIC, 70.0).coverage
    assert coverage.sum() == pytest.approx(doubled.sum() / 2, rel=0.003)


def test_what_is_covered_has_a_colour_and_nothing_else_has() -> None:
    for yaw, pitch in ((40.0, 0.0), (-20.0, 9.0)):
        for name in ("grid", "raycast"):
            seen = get_renderer(name).render(face(ORTHOGRAPHIC), ORTHOGRAPHIC.at(yaw, pitch), 70.0)
            np.testing.assert_array_equal(seen.coverage > 0, np.isfinite(seen.source[..., 0]))
            assert not (np.isfinite(seen.depth) & (seen.coverage == 0)).any()
            assert not (seen.valid & ~np.isfinite(seen.depth)).any()
            colour = project_texture(seen, np.full((1, SIZE, SIZE, 3), 200, np.uint8))[0]
            np.testing.assert_array_equal(colour[..., 0], np.where(seen.coverage > 0, 200, 0))


def test_the_end_of_a_near_surface_is_no_stair() -> None:
    # A bright strip before a dark wall, its edge slanted: mixed colours give away where the edge is between pixels.
    x, y = np.moveaxis(pixel_grid(SIZE, SIZE), -1, 0)
    edge = 50 + 0.3 * (y - SIZE / 2)
    depth = np.where(x < edge, 0.0, -1.5).astype(np.float32)
    mesh = mesh_from_depth(DepthMap(depth, np.ones_like(depth), ORTHOGRAPHIC))
    seen = get_renderer().render(mesh, ORTHOGRAPHIC.at(-30.0), 89.0)
    mixed = np.abs(seen.blend) > 0
    assert 0.3 * SIZE < mixed.sum() < 3 * SIZE
    assert np.abs(seen.blend).max() <= 0.5
    beside = np.where(seen.blend > 0, 1, -1)
    rows, columns = np.nonzero(mixed)
    assert (np.abs(seen.depth[rows, columns] - seen.depth[rows, columns + beside[mixed]]) > 0.05).all()
    texture = np.repeat(np.where((x < edge)[..., None], 240, 10).astype(np.uint8), 3, axis=-1)[None]
    colour = project_texture(seen, texture)[0, ..., 0]
    between = (colour[mixed] > 20) & (colour[mixed] < 230)
    assert between.mean() > 0.5


def test_results_stay_when_the_renderer_goes_on() -> None:
    renderer = GridRenderer()
    first = renderer.render(face(ORTHOGRAPHIC), ORTHOGRAPHIC.at(20.0), 70.0)
    kept = first.depth.copy(), first.source.copy()
    renderer.render(face(ORTHOGRAPHIC), ORTHOGRAPHIC.at(-40.0), 70.0)
    np.testing.assert_array_equal(first.depth, kept[0])
    np.testing.assert_array_equal(first.source, kept[1])


@pytest.mark.slow
def test_another_process_comes_to_the_same_bytes() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_renderers_agree import fingerprint\n"
        "print(fingerprint())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (fingerprint(), "")  # warp greets nobody


def fingerprint() -> str:
    import hashlib

    views = [GridRenderer().render(face(c.at(0.0)), c, 70.0) for c in (ORTHOGRAPHIC.at(33.0), PINHOLE.at(-20.0, 4.0))]
    digest = hashlib.sha256()
    for view in views:
        for part in (view.depth, view.source, view.valid, view.coverage, view.blend):
            digest.update(part.tobytes())
        digest.update(project_texture(view, smooth_texture()).tobytes())
    return digest.hexdigest()


def test_texture_of_a_shift_is_the_shifted_picture() -> None:
    # A flat wall seen through a camera moved by a part of a pixel: what a band-limited picture is there is known.
    seen = get_renderer().render(face(ORTHOGRAPHIC), ORTHOGRAPHIC, 70.0)
    x, y = np.moveaxis(pixel_grid(SIZE, SIZE), -1, 0)
    moved = seen.source + np.float32([0.37, -0.21])

    def waves(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return 128 + 50 * np.sin(u / 3) + 50 * np.cos(v / 4)

    picture = np.repeat(np.rint(waves(x, y)).astype(np.uint8)[..., None], 3, axis=-1)[None]
    shifted = ViewGeometry(seen.camera, seen.depth, moved, seen.valid, seen.coverage, np.zeros_like(seen.blend))
    inner = ndimage.binary_erosion(np.isfinite(seen.depth), iterations=3)
    error = np.abs(project_texture(shifted, picture)[0, ..., 0] - waves(x + 0.37, y - 0.21))[inner]
    assert error.max() < 2.0


def test_photograph_turned_and_seen_by_all_renderers() -> None:
    crop = astronaut()[40 : 40 + SIZE, 160 : 160 + SIZE][None]
    camera = ORTHOGRAPHIC.at(35.0)
    views = [get_renderer(name).render(face(ORTHOGRAPHIC), camera, 70.0) for name in ("grid", "raycast", "pyrender")]
    fast, rays, lines = (project_texture(view, crop)[0].astype(int) for view in views)
    both = np.isfinite(views[0].depth) & np.isfinite(views[1].depth) & np.isfinite(views[2].depth)
    for other in (rays, lines):
        assert (np.abs(fast - other).max(axis=-1) <= 2)[both].mean() > 0.99
    assert fast[both].std() > 20


def test_frames_do_not_depend_on_one_another() -> None:
    seen = get_renderer().render(face(ORTHOGRAPHIC), ORTHOGRAPHIC.at(-25.0), 70.0)
    crops = np.stack([astronaut()[k : k + SIZE, 160 : 160 + SIZE] for k in (30, 40, 50)])
    together = project_texture(seen, crops)
    np.testing.assert_array_equal(together[1], project_texture(seen, crops[1:2])[0])
    assert project_texture(seen, crops[:0]).shape == (0, SIZE, SIZE, 3)


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU")
def test_a_missing_gpu_is_a_message() -> None:
    with pytest.raises(ConfigError, match="mvgen doctor"):
        GridRenderer("cuda")
