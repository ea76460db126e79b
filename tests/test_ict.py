"""Heads of ICT-FaceKit, read from a synthetic clone in its layout, since its data is not shipped."""

from __future__ import annotations

import numpy as np
import pytest

from mvgen.core.errors import ScanError
from mvgen.core.landmarks68 import CANONICAL
from mvgen.scans import open_corpus
from mvgen.scans.corpora.ict import IctHeads
from mvgen.scans.corpora.landmark_vertices import ICT_VERTICES

pytestmark = pytest.mark.slow

VERTICES = 26719
UNIT = 6.2  # centimetres between the eyes


def made_up_face() -> np.ndarray:
    """(26719, 3) centimetres: a bowl for a face with the landmarks and eyeballs of the model in their places."""
    generator = np.random.default_rng(0)
    face = np.column_stack([generator.uniform(-1.2, 1.2, VERTICES), generator.uniform(-2.2, 1.5, VERTICES)])
    face = np.column_stack([face, 0.1 - 0.5 * (face**2 * [1, 0.3]).sum(axis=1)])
    face[ICT_VERTICES] = CANONICAL
    for start, side in ((21451, 1), (23021, -1)):
        ball = generator.normal(0, 1, (1570, 3))
        face[start : start + 1570] = [0.511 * side, -0.01, -0.15] + 0.19 * ball / np.linalg.norm(ball, axis=1)[:, None]
    return face * UNIT


def write_obj(path, vertices: np.ndarray, faces: tuple[str, ...] = ("f 1/1/1 2/2/1 3/3/1 4/4/1", "f 5 6 7")) -> None:
    lines = ["# made up", *("v {:.5f} {:.5f} {:.5f}".format(*vertex) for vertex in vertices), *faces]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ICT-FaceKit") / "FaceXModel"
    folder.mkdir()
    face = made_up_face()
    write_obj(folder / "generic_neutral_mesh.obj", face)
    write_obj(folder / "identity000.obj", face * [1.05, 1, 1])
    write_obj(folder / "identity001.obj", face * [1, 1.05, 1])
    opened = face.copy()
    opened[face[:, 1] < -7] -= [0, 1.5, 0]
    write_obj(folder / "jawOpen.obj", opened)
    for name in ("browDown_L", "mouthSmile_R", "PupilDilate_L"):
        write_obj(folder / f"{name}.obj", face + np.array([0, 0, 0.1]))
    return folder.parent


@pytest.mark.slow
def test_a_clone_is_read_as_people_with_actions_in_common_names(clone):
    heads = IctHeads(clone)
    assert heads.model.action_names == ("browDownLeft", "jawOpen", "mouthSmileRight")
    assert heads.model.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [4, 5, 6]]
    assert heads.model.actions[1, :, 1].min() == pytest.approx(-0.015, abs=1e-5)
    people = heads.sample_identities(np.random.default_rng(0), 3)
    for person in people:
        five = heads.model.five_positions(person.vertices)
        assert np.linalg.norm(five[1] - five[0]) == pytest.approx(1, abs=1e-5)
        assert np.abs(five[:2].mean(axis=0)).max() < 1e-5
        # The subject's right is to the left in the picture.
        assert five[0, 0] < 0 < five[1, 0]
        assert five[3, 0] < 0 < five[4, 0]
        assert 0.04 < person.metre < 0.09
    assert not np.allclose(people[0].vertices, people[1].vertices)
    again = heads.sample_identities(np.random.default_rng(0), 3)
    np.testing.assert_array_equal(people[2].vertices, again[2].vertices)


def test_looks_are_painted_where_the_template_has_its_features(clone):
    model = IctHeads(clone).model
    assert np.abs(model.canonical[model.landmarks] - CANONICAL).max() < 0.05
    for name, side in (("eye_right", -1), ("eye_left", 1)):
        assert model.canonical[model.regions[name] > 0.5].mean(axis=0)[0] == pytest.approx(0.511 * side, abs=0.06)
    lips = model.canonical[model.regions["lips"] > 0.5]
    assert (np.abs(lips[:, 0]) < 0.5).all()


def test_a_folder_that_is_no_clone_is_refused(tmp_path, clone):
    with pytest.raises(ScanError, match="not a clone of ICT-FaceKit"):
        open_corpus("ict", tmp_path)
    assert open_corpus("ict", clone / "FaceXModel").count is None


def test_a_torn_file_is_named(tmp_path):
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    face = made_up_face()
    write_obj(folder / "generic_neutral_mesh.obj", face)
    with pytest.raises(ScanError, match="0 identity"):
        IctHeads(tmp_path)
    write_obj(folder / "jawOpen.obj", face)
    write_obj(folder / "identity000.obj", face[:100])
    with pytest.raises(ScanError, match=r"identity000.obj holds 100 vertices"):
        IctHeads(tmp_path)
    write_obj(folder / "generic_neutral_mesh.obj", face, faces=("f 1 2 99999999",))
    with pytest.raises(ScanError, match="triangles"):
        IctHeads(tmp_path)
