"""Photographs as heads for training: they look like the photograph, with the depth of a face."""

from __future__ import annotations

import numpy as np
import pytest
from factories import no_fit
from PIL import Image as PillowImage
from skimage.data import astronaut

from mvgen.core.camera import Camera
from mvgen.core.errors import ScanError
from mvgen.faces.crop import crop_from_points
from mvgen.scans import open_corpus
from mvgen.scans.corpora.photographs import extended
from mvgen.scans.imaging.lighting import Lighting
from mvgen.scans.imaging.rendering import rigid
from mvgen.scans.imaging.rotation import rotation
from mvgen.scans.imaging.sensor import Sensor
from mvgen.training.depth_data import Setting, make_samples, photograph

pytestmark = pytest.mark.slow

SIZE = 96
CAMERA = Camera(size=256, scale=70.0, centre=(128.0, 110.0))


class Sitting:
    """A corpus of one person, whose sitter is shared by the whole run."""

    name = "photos"

    def __init__(self, subject):
        self.subject = subject

    def draw(self, generator, first, count):
        return [self.subject]


@pytest.fixture(scope="session")
def subject(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    PillowImage.fromarray(astronaut()[:300, 70:370]).save(root / "astronaut.png")
    return open_corpus("photos", root).draw(np.random.default_rng(0), 0, 1)[0]


@pytest.fixture(scope="session")
def sitter(subject):
    first = subject.sit(np.random.default_rng(0))
    assert subject.sit(np.random.default_rng(1)) is first
    return first


def points_of(sitter, yaw=0.0):
    """The five points (5, 3) as the camera sees them."""
    five = sitter.dressed.heads.five_positions(sitter.vertices).astype(np.float64)
    return CAMERA.project(rigid(five, rotation(yaw, 0, 0), np.zeros(3)))


def picture_of(sitter, crop, yaw=0.0):
    background = np.zeros((SIZE, SIZE, 3), np.float32)
    setting = Setting(rotation(yaw, 0, 0), CAMERA, crop, Lighting.even(), background, Sensor())
    return photograph(sitter, setting, np.random.default_rng(0), no_fit)


def test_from_the_front_the_photograph_itself_is_seen(sitter):
    import cv2

    crop = crop_from_points(points_of(sitter)[:, :2], SIZE)
    seen = picture_of(sitter, crop)
    face = astronaut()[:256, 96:352].astype(np.float32)
    patch = cv2.cvtColor(seen.colour[20:80, 20:76], cv2.COLOR_RGB2GRAY)
    # The photograph is brought to the size of the picture; where its face is, is looked for.
    best = 0.0
    for scale in np.linspace(0.5, 1.1, 25):
        grey = cv2.cvtColor(
            cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
        )
        for turn in (-6, -3, 0, 3, 6):
            about = cv2.getRotationMatrix2D((grey.shape[1] / 2, grey.shape[0] / 2), turn, 1)
            turned = cv2.warpAffine(grey, about, grey.shape[::-1])
            error = cv2.matchTemplate(turned, patch.astype(np.float32), cv2.TM_SQDIFF).min() / patch.size
            best = max(best, 10 * np.log10(255**2 / error))
    assert best > 26


def test_its_depth_is_that_of_a_face(sitter):
    crop = crop_from_points(points_of(sitter)[:, :2], SIZE)
    seen = picture_of(sitter, crop)
    column, row = (points_of(sitter)[:, :2] @ crop[:, :2].T + crop[:, 2]).astype(int).T
    depth = seen.depth[row, column].astype(float)
    assert abs(depth[:2].mean()) < 0.08
    assert 0.4 < depth[2] - depth[:2].mean() < 0.9
    assert seen.face[row, column].all()
    assert 0.2 < seen.face.mean() < 0.6
    assert np.isfinite(seen.depth).mean() > 0.99
    assert not np.isfinite(seen.landmarks).any()


@pytest.mark.parametrize("yaw", [-15, 15])
def test_the_nose_goes_where_the_head_turns(sitter, yaw):
    nose = points_of(sitter, yaw)[2, 0] - points_of(sitter, yaw)[:2, 0].mean()
    straight = points_of(sitter)[2, 0] - points_of(sitter)[:2, 0].mean()
    assert np.sign(nose - straight) == np.sign(yaw)
    crop = crop_from_points(points_of(sitter)[:, :2], SIZE)
    column, row = (points_of(sitter, yaw)[2, :2] @ crop[:, :2].T + crop[:, 2]).astype(int)
    turned, before = picture_of(sitter, crop, yaw), picture_of(sitter, crop)
    assert turned.depth[row, column] > turned.depth[turned.face].mean() + 0.3
    assert np.abs(turned.colour.astype(int) - before.colour).mean() > 3


def test_a_pair_is_the_same_but_for_noise(subject):
    samples = make_samples(Sitting(subject), 3, first=0, people=1, per_person=2, size=SIZE)
    assert len(samples.colour) == 2
    assert np.array_equal(samples.depth[0], samples.depth[1], equal_nan=True)
    assert np.array_equal(samples.face[0], samples.face[1])
    assert np.abs(samples.colour[0].astype(int) - samples.colour[1]).mean() < 12


def test_what_cannot_be_used_is_named(tmp_path):
    with pytest.raises(ScanError, match="there is no image file"):
        open_corpus("photos", tmp_path)
    (tmp_path / "a_torn.jpg").write_bytes(b"no image")
    PillowImage.new("RGB", (160, 160), "grey").save(tmp_path / "b_wall.png")
    corpus = open_corpus("photos", tmp_path)
    assert corpus.count == 1
    (subject,) = corpus.draw(np.random.default_rng(0), 0, 1)
    for _ in range(2):
        with pytest.raises(ScanError, match=r"b_wall\.png: no face"):
            subject.sit(np.random.default_rng(0))
    assert [problem.where.name for problem in corpus.problems] == ["a_torn.jpg", "b_wall.png"]
    with pytest.raises(ValueError, match="of 1 in photos"):
        corpus.draw(np.random.default_rng(0), 1, 1)


def test_beyond_its_outline_a_surface_falls_back_without_a_cliff():
    v, u = np.mgrid[:121, :121] / 30 - 2
    away = np.hypot(u, v)
    surface = extended(np.where(away < 0.8, -0.3 * away**2, np.nan), 30.0)
    assert np.isfinite(surface).all()
    assert np.abs(surface - -0.3 * away**2)[away < 0.6].max() < 1e-9
    assert np.abs(np.gradient(surface)).max() * 30 < 1.2
    assert -1.7 < surface.min() < -1.0
