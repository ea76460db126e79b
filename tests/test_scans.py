"""Parametric heads, their appearance and rendering."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from mvgen.core.camera import Camera, crop_camera, pixel_grid
from mvgen.faces.crop import five_point_template
from mvgen.render.rays import RayScene, edge_nodes, vertex_normals
from mvgen.scans.corpora.subdivision import loop_subdivision
from mvgen.scans.imaging.lighting import Lighting
from mvgen.scans.imaging.rendering import DressedHead, render_colour, render_surface
from mvgen.scans.imaging.rotation import rotation
from mvgen.scans.imaging.sensor import Sensor
from mvgen.scans.looks.appearance import Look
from mvgen.scans.looks.backgrounds import draw_background
from mvgen.scans.looks.noise import SolidNoise
from mvgen.scans.looks.paint import to_linear, to_srgb


def test_subdivision_agrees_with_trimesh_on_a_closed_mesh():
    mesh = trimesh.creation.icosphere(1)
    matrix, triangles = loop_subdivision(mesh.faces, len(mesh.vertices))
    expected, _ = trimesh.remesh.subdivide_loop(mesh.vertices, mesh.faces, 1)
    refined = matrix @ mesh.vertices
    assert len(triangles) == 4 * len(mesh.faces)
    distance = np.linalg.norm(refined[:, None] - expected[None], axis=2).min(axis=1)
    assert distance.max() < 1e-12


def test_subdivision_keeps_a_straight_boundary_straight():
    grid = np.array([[x, y, 0.0] for y in range(4) for x in range(4)])
    cells = [(4 * y + x, 4 * y + x + 1, 4 * y + x + 5, 4 * y + x + 4) for y in range(3) for x in range(3)]
    triangles = np.array([t for a, b, c, d in cells for t in ((a, b, c), (a, c, d))])
    matrix, refined = loop_subdivision(triangles, 16)
    fine = matrix @ grid
    edge = np.unique(refined)[np.isclose(fine[np.unique(refined), 1], 0)]
    # Two old points and three new ones stay on the side; its ends are rounded off, as those of a spline are.
    assert np.allclose(np.sort(fine[edge, 0]), [0.5, 1, 1.5, 2, 2.5])
    assert np.allclose(np.asarray(matrix.sum(axis=1)), 1)


def test_subdivision_refuses_an_edge_with_three_triangles():
    with pytest.raises(ValueError, match="not a manifold"):
        loop_subdivision(np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]]), 5)


def test_quadratic_nodes_interpolate_a_quadratic_exactly():
    vertices = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 0]])
    triangles = np.array([[0, 1, 2]])
    edges, six = edge_nodes(triangles, 3)
    nodes = np.concatenate([vertices, vertices[edges].mean(axis=1)])
    values = (nodes[:, :1] ** 2 - nodes[:, :1] * nodes[:, 1:2]).astype(np.float32)
    scene = RayScene(vertices, triangles)
    hits = scene.cast(Camera(size=4, scale=1.0, centre=(0.0, 0.0)), np.array([[0.4, -0.7], [0.9, -0.2]])).where_hit()
    points = hits.interpolate(triangles, vertices)
    assert np.allclose(
        hits.interpolate_quadratic(six, values)[:, 0], points[:, 0] ** 2 - points[:, 0] * points[:, 1], atol=1e-5
    )


@pytest.mark.parametrize("yaw", [-40.0, 0.0, 25.0])
@pytest.mark.parametrize("focal", [None, 600.0])
def test_rays_at_a_sphere_give_its_analytic_depth(yaw, focal):
    mesh = trimesh.creation.icosphere(5)
    camera = Camera(size=64, scale=24.0, centre=(32.0, 32.0), yaw=yaw, pivot=(0.0, 0.0, 0.0), focal=focal)
    pixels = pixel_grid(64, 64)
    hits = RayScene(mesh.vertices, mesh.faces).cast(camera, pixels)
    points = hits.interpolate(mesh.faces, mesh.vertices)
    inside = hits.hit & (np.hypot(*(pixels - 32).transpose(2, 0, 1)) < 20)
    assert inside.sum() > 1000
    # The point hit is on the sphere, in the pixel of the ray, and on the near side.
    assert np.abs(np.linalg.norm(points[inside], axis=1) - 1).max() < 2e-3
    projected = camera.project(points[inside].astype(np.float64))
    assert np.abs(projected[:, :2] - pixels[inside]).max() < 1e-2
    assert (projected[:, 2] > 0).all()


def test_normals_of_a_sphere_point_outward():
    mesh = trimesh.creation.icosphere(3)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    assert ((normals * mesh.vertices).sum(axis=1) > 0.99).all()


def test_noise_is_smooth_periodic_and_repeatable():
    points = np.random.default_rng(1).uniform(-5, 5, (200, 3))
    noise = SolidNoise(np.random.default_rng(7), 2)
    assert np.array_equal(noise(points), SolidNoise(np.random.default_rng(7), 2)(points))
    assert np.abs(noise(points) - noise(points + 1e-4)).max() < 1e-3
    assert np.abs(noise(points) - noise(points + 32)).max() < 1e-4
    assert noise(points).std() > 0.1


def test_srgb_and_linear_light_are_inverses():
    values = np.linspace(0, 1, 101)
    assert np.allclose(to_srgb(to_linear(values)), values)


def test_a_positive_yaw_turns_the_nose_to_image_right():
    assert rotation(30, 0, 0) @ [0, 0, 1] == pytest.approx([0.5, 0, np.sqrt(0.75)])
    assert (rotation(0, 30, 0) @ [0, 0, 1])[1] == pytest.approx(0.5)
    assert (rotation(0, 0, 30) @ [0, 1, 0])[0] == pytest.approx(0.5)


def test_heads_are_centred_between_the_eyes_and_scaled_to_them(heads):
    people = heads.sample_identities(np.random.default_rng(0), 8)
    for person in people:
        five = heads.model.five_positions(person.vertices)
        assert np.linalg.norm(five[1] - five[0]) == pytest.approx(1.0, abs=0.06)
        assert np.abs((five[0] + five[1]) / 2)[:2].max() < 0.03
        assert 0.05 < person.metre < 0.08
        assert five[2, 2] > five[0, 2] + 0.2  # the nose stands out
    mean = np.mean([heads.model.five_positions(person.vertices)[:, :2] for person in people], axis=0)
    # Real faces' proportions: what the crop is made for.
    assert np.abs(mean * [1, -1] - five_point_template()).max() < 0.12


def test_the_same_seed_draws_the_same_people_and_another_does_not(heads):
    first, second = (heads.sample_identities(np.random.default_rng(5), 2) for _ in range(2))
    assert np.array_equal(first[1].vertices, second[1].vertices)
    other = heads.sample_identities(np.random.default_rng(6), 1)[0]
    assert np.abs(first[0].vertices - other.vertices).max() > 0.05


def test_a_smile_lifts_the_mouth_corner_of_its_own_side_only(heads):
    model, person = heads.model, heads.sample_identities(np.random.default_rng(0), 1)[0]
    weights = np.zeros(52)
    weights[model.action_names.index("mouthSmileLeft")] = 1
    moved = model.five_positions(model.express(person, weights)) - model.five_positions(person.vertices)
    assert moved[4, 1] > 0.05
    assert np.abs(moved[3]).max() < 0.2 * np.abs(moved[4]).max()
    assert np.abs(moved[:2]).max() < 1e-3
    assert np.array_equal(model.express(person, np.zeros(52)), person.vertices)


def test_a_rendered_head_has_depth_where_it_has_colour_and_a_face_in_the_middle(heads):
    generator = np.random.default_rng(2)
    person = heads.sample_identities(generator, 1)[0]
    dressed = DressedHead(heads.model, Look.draw(generator))
    head = dressed.pose(person.vertices, np.eye(3), np.zeros(3))
    camera, pixels = crop_camera(96), pixel_grid(96, 96)
    colour, cover = render_colour(head, Lighting.draw(generator), camera, pixels)
    surface = render_surface(head, camera, pixels)
    assert np.isfinite(surface.depth[cover == 1]).all()
    assert np.isnan(surface.depth[cover == 0]).all()
    assert (colour[cover == 1] > 0).all()
    assert surface.face[40:70, 40:56].mean() > 0.95
    assert not surface.face[cover == 0].any()
    # The nose is the nearest part of the face.
    row, column = np.unravel_index(np.nanargmax(np.where(surface.face, surface.depth, np.nan)), (96, 96))
    assert abs(column - 48) < 6
    assert 46 < row < 66


@pytest.mark.parametrize("look", ["colour", "grey", "infrared"])
def test_sensors_give_bytes_and_grey_ones_no_colour(look):
    generator = np.random.default_rng(0)
    scene = draw_background(generator, 40, 60)
    image = Sensor(look=look, noise=2.0, blur=0.5, jpeg=80).develop(scene, generator)
    assert image.shape == (40, 60, 3)
    assert image.dtype == np.uint8
    if look != "colour":
        assert np.ptp(image.astype(int), axis=2).max() <= 2
