"""The appearance of people: clothes, occluders of the face, light, cameras and backgrounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.scans.imaging.lighting import Lighting
from mvgen.scans.imaging.rendering import DressedHead, render_colour, render_surface
from mvgen.scans.imaging.rotation import rotation
from mvgen.scans.imaging.sensor import Sensor
from mvgen.scans.looks.appearance import Look
from mvgen.scans.looks.backgrounds import PHOTOGRAPHS, draw_background, photograph_path
from mvgen.scans.looks.glasses import Glasses
from mvgen.scans.looks.headwear import Headwear

pytestmark = pytest.mark.slow

SIZE = 64
LIGHT = Lighting(np.array([[0.0, 0.3, 0.95]]), np.full((1, 3), 0.7), np.full(3, 0.4), np.full(3, 0.2))


@pytest.fixture(scope="module")
def person(heads):
    return heads.sample_identities(np.random.default_rng(4), 1)[0]


@pytest.fixture
def bare():
    """A look without glasses, hat, fringe or falling hair."""
    look = Look.draw(np.random.default_rng(8), plain=True)
    return replace(look, skin=replace(look.skin, tone=np.array([0.6, 0.42, 0.33])))


def see(heads, person, look, yaw=0.0):
    head = DressedHead(heads.model, look, fine=False).pose(person.vertices, rotation(yaw, 0, 0), np.zeros(3))
    camera, pixels = crop_camera(SIZE), pixel_grid(SIZE, SIZE)
    colour, _ = render_colour(head, LIGHT, camera, pixels)
    return colour, render_surface(head, camera, pixels), head


@pytest.mark.parametrize("yaw", [0.0, 12.0])
def test_glasses_change_the_picture_but_neither_depth_nor_mask(heads, person, bare, yaw):
    glasses = replace(Glasses.draw(np.random.default_rng(0)), frame=np.full(3, 0.01), rim=0.04, glare=0.0, opacity=0.9)
    without, truth, _ = see(heads, person, bare, yaw)
    colour, surface, _ = see(heads, person, replace(bare, glasses=replace(glasses, lens=np.full(3, 0.02))), yaw)
    assert np.array_equal(surface.depth, truth.depth, equal_nan=True)
    assert np.array_equal(surface.face, truth.face)
    changed = np.abs(colour - without).max(axis=2) > 0.02
    rows = np.flatnonzero(changed.any(axis=1))
    assert changed.mean() > 0.02
    # They sit at the eyes: the lower third of the picture is untouched, shadows apart.
    assert rows.max() < 0.72 * SIZE
    assert colour[changed].mean() < without[changed].mean()


def test_lenses_stand_before_eyes_and_brows_and_the_frame_reaches_the_ears(heads, person):
    for seed in range(12):
        frame, lens = Glasses.draw(np.random.default_rng(seed)).fit(heads.model, person.vertices)
        eyes = np.concatenate([person.vertices[heads.model.regions[f"eye_{side}"] > 0.5] for side in ("left", "right")])
        assert lens.vertices[:, 2].max() > eyes[:, 2].max() + 0.05
        assert lens.vertices[:, 2].max() < eyes[:, 2].max() + 0.8
        ears = person.vertices[heads.model.regions["ears"] > 0.5]
        assert frame.vertices[:, 2].min() < ears[:, 2].max()
        assert frame.triangles.max() < len(frame.vertices)


@pytest.mark.parametrize("fringe", ["straight", "swept", "curtain"])
def test_a_fringe_takes_the_forehead_from_the_face(heads, person, bare, fringe):
    style = replace(bare.hair, bald=False, fringe="none", line=1.3, receding=0.0)
    open_face = see(heads, person, replace(bare, hair=style))[1].face
    covered = see(heads, person, replace(bare, hair=replace(style, fringe=fringe, fringe_line=0.4)))[1].face
    assert covered.sum() < open_face.sum() - 20
    lost = open_face & ~covered
    # The lost part is above the eyes, and is most of the upper half of the forehead.
    assert np.flatnonzero(lost.any(axis=1))[-1] > 8
    assert lost[: SIZE // 4].sum() > 0.9 * lost.sum()
    assert covered[30:50, 28:36].all()


def test_hair_that_falls_hides_what_is_behind_it_and_is_no_face(heads, person, bare):
    short = replace(bare.hair, bald=False, length=None)
    long = replace(short, length=-2.5, side=-0.6)
    _, without, _ = see(heads, person, replace(bare, hair=short))
    _, surface, head = see(heads, person, replace(bare, hair=long))
    assert len(head.occluders) == 1
    camera, locks = crop_camera(SIZE), head.occluders[0]
    hits = locks.scene.cast(camera, pixel_grid(SIZE, SIZE))
    points = hits.interpolate(locks.garment.triangles, locks.vertices).astype(np.float64)
    in_front = hits.hit & (np.abs(camera.to_view(points)[..., 2] - surface.depth) < 1e-6)
    assert in_front.sum() > 50
    assert not surface.face[in_front].any()
    assert surface.face.sum() < without.face.sum()
    assert surface.face[30:50, 28:36].all()


@pytest.mark.parametrize("kind", ["beanie", "cap", "hat", "scarf"])
def test_what_is_on_the_head_hides_hair_and_leaves_the_face(heads, person, bare, kind):
    worn = replace(Headwear.draw(np.random.default_rng(0)), kind=kind, edge=0.7, depth=0.15, brim=0.6, brim_drop=0.1)
    surface = see(heads, person, replace(bare, headwear=worn))[1]
    assert not surface.face[:6].any()
    assert surface.face[30:50, 28:36].all()


def test_the_same_generator_draws_the_same_person_and_picture(heads, person):
    for seed in (1, 2):
        first, second = (see(heads, person, Look.draw(np.random.default_rng(seed)))[0] for _ in range(2))
        assert first.tobytes() == second.tobytes()


def test_plain_people_wear_nothing():
    looks = [Look.draw(np.random.default_rng(seed), plain=True) for seed in range(60)]
    assert all(look.glasses is None and look.headwear.kind == "none" for look in looks)
    assert all(look.hair.fringe == "none" and not look.hair.falls for look in looks)


def test_people_wear_what_people_wear_about_as_often():
    looks = [Look.draw(np.random.default_rng(seed)) for seed in range(400)]
    assert 0.09 < np.mean([look.glasses is not None for look in looks]) < 0.22
    assert 0.03 < np.mean([look.headwear.kind != "none" for look in looks]) < 0.12
    assert 0.1 < np.mean([look.hair.fringe != "none" for look in looks]) < 0.45


@pytest.mark.parametrize("seed", range(12))
def test_any_camera_gives_a_picture_and_grey_ones_no_colour(seed):
    generator = np.random.default_rng(seed)
    sensor = Sensor.draw(generator)
    scene = draw_background(generator, 48, 40)
    for look in ("colour", "infrared", "grey"):
        image = replace(sensor, look=look).develop(scene, np.random.default_rng(3))
        assert image.shape == (48, 40, 3)
        assert image.dtype == np.uint8
        assert np.array_equal(image, replace(sensor, look=look).develop(scene, np.random.default_rng(3)))
        if look != "colour":
            assert np.ptp(image.astype(int), axis=2).max() <= 2


def test_enlarging_a_small_picture_does_not_move_it():
    scene = np.full((64, 64, 3), 0.1, dtype=np.float32)
    scene[20:40, 24:44] = 0.8
    sharp, soft = (
        Sensor(zoom=zoom).develop(scene, np.random.default_rng(0)).astype(float)[..., 0] for zoom in (1.0, 0.5)
    )
    rows, columns = np.mgrid[:64, :64] + 0.5
    for axis in (rows, columns):
        # The wall, not the dark halo of the enlargement, is zero.
        centres = [(axis * (image - image[0, 0])).sum() / (image - image[0, 0]).sum() for image in (sharp, soft)]
        assert centres[0] == pytest.approx(centres[1], abs=0.15)


def test_background_photographs_are_on_disk_and_none_is_the_test_picture():
    assert all(photograph_path(name).is_file() for name in PHOTOGRAPHS)
    assert not any("astronaut" in name for name in PHOTOGRAPHS)


@pytest.mark.parametrize("plain", [False, True])
def test_backgrounds_are_light_of_the_size_asked_for(plain):
    for seed in range(30):
        scene = draw_background(np.random.default_rng(seed), 30, 50, plain=plain)
        assert scene.shape == (30, 50, 3)
        assert scene.dtype == np.float32
        assert np.isfinite(scene).all()
        assert scene.min() >= 0


def test_lamps_are_unit_vectors_with_light_whatever_their_kind():
    for seed in range(60):
        lighting = Lighting.draw(np.random.default_rng(seed), harsh=seed % 2 == 0)
        assert np.allclose(np.linalg.norm(lighting.directions, axis=1), 1)
        assert lighting.colours.shape == lighting.directions.shape
        assert (lighting.colours > 0).all()
