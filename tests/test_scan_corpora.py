"""Releases of textured scans: reading their trees, placing their faces, photographing them, and bad files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from factories import no_fit
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from scan_trees import stand_in, write_models, write_obj, write_stirling, write_view_set

from mvgen.core.camera import crop_camera, pixel_grid
from mvgen.core.errors import ConfigError, MvgenError, ScanError
from mvgen.faces.detection import FaceDetector
from mvgen.scans import open_corpus
from mvgen.scans.corpora import facescape, stirling
from mvgen.scans.corpora.meshfiles import read_obj, read_ply, read_texture
from mvgen.scans.corpora.placing import TEMPLATE, fit_five, place, render_scan
from mvgen.scans.imaging.rendering import render_surface
from mvgen.scans.imaging.rotation import rotation
from mvgen.scans.looks.baking import sample_texture, simplified
from mvgen.scans.records import Scan
from mvgen.training.depth_data import Setting, make_samples, photograph

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def people(heads):
    """Three people whose true places are known."""
    return [stand_in(heads, seed) for seed in (0, 2, 5)]


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


@pytest.fixture(scope="module")
def model_tree(people, tmp_path_factory):
    root = tmp_path_factory.mktemp("facescape")
    write_models(root, people[:2])
    return root


def scan_of(head, turn=None, scale=1.0):
    """A stand-in as a scan, turned and scaled."""
    vertices = head.vertices if turn is None else head.vertices @ turn.T
    return Scan(
        "made", "1", "neutral", (vertices * scale + [3, 1, 2]).astype(np.float32), head.triangles,
        head.uv[head.triangles].astype(np.float32), head.texture, head.metre / scale,
    )  # fmt: skip


def test_a_turned_scan_of_any_unit_is_placed_upright_with_its_eyes_where_they_belong(people, detector):
    head = people[0]
    sitter = place(scan_of(head, rotation(14, -10, 8), 62.0), detector)
    found = sitter.dressed.heads.five_positions(sitter.vertices)
    assert np.linalg.norm(found[:2] - head.five[:2], axis=1).max() < 0.06
    assert np.linalg.norm(found - head.five, axis=1).max() < 0.12
    assert sitter.metre == pytest.approx(head.metre, rel=0.05)
    # The turn that is left between the truth and what was placed: all of the 19 degrees but a few are gone.
    middle = head.five - head.five.mean(axis=0)
    left, _, right = np.linalg.svd((found - found.mean(axis=0)).T @ middle)
    assert np.degrees(np.arccos((np.trace(left @ right) - 1) / 2)) < 5


def test_a_scan_whose_triangles_face_inward_gives_the_same_sitter(people, detector):
    scan = scan_of(people[1])
    inward = replace(scan, triangles=scan.triangles[:, ::-1], corner_uv=scan.corner_uv[:, ::-1])
    first, second = place(scan, detector), place(inward, detector)
    assert np.array_equal(first.vertices, second.vertices)
    assert np.allclose(first.dressed.paint, second.dressed.paint)


def test_a_hole_in_the_cheek_has_no_depth_and_a_hole_at_an_eye_is_refused(people, detector):
    head = people[0]

    def with_hole(middle, radius):
        away = np.linalg.norm(head.vertices[:, :2] - middle, axis=1)
        kept = ~((away[head.triangles] < radius).any(axis=1) & (head.vertices[head.triangles, 2] > -1).all(axis=1))
        scan = scan_of(head)
        return replace(scan, triangles=scan.triangles[kept], corner_uv=scan.corner_uv[kept])

    sitter = place(with_hole((0.6, -0.7), 0.2), detector)
    camera, pixels = crop_camera(64), pixel_grid(64, 64)
    surface = render_surface(sitter.dressed.pose(sitter.vertices, np.eye(3), np.zeros(3)), camera, pixels)
    u, v, _ = camera.project(np.array([0.6, -0.7, 0.0]))
    assert np.isnan(surface.depth[int(v) - 1 : int(v) + 2, int(u) - 1 : int(u) + 2]).all()
    assert not surface.face[int(v), int(u)]
    assert np.isfinite(surface.depth[int(v), 64 - int(u)])
    with pytest.raises(ScanError, match="hole where the eye left is"):
        place(with_hole(head.five[1, :2], 0.16), detector)


def test_something_without_a_face_or_without_a_texture_is_refused(people, detector):
    import trimesh

    ball = trimesh.creation.icosphere(3)
    grey = np.full((8, 8, 3), 128, np.uint8)
    scan = Scan("made", "7", "neutral", ball.vertices.astype(np.float32), ball.faces.astype(np.int32),
                np.zeros((len(ball.faces), 3, 2), np.float32), grey, 1.0)  # fmt: skip
    with pytest.raises(ScanError, match="made scan 7/neutral: no face is found"):
        place(scan, detector)
    with pytest.raises(ScanError, match="no texture"):
        place(replace(scan_of(people[0]), texture=None), detector)


@settings(max_examples=40)
@given(
    st.tuples(*[st.floats(-40, 40)] * 3), st.floats(0.01, 100), st.tuples(*[st.floats(-50, 50)] * 3)
)  # fmt: skip
def test_five_points_are_brought_back_from_any_similarity(angles, scale, shift):
    turn = rotation(*angles)
    moved = scale * TEMPLATE @ turn.T + shift
    found, back, offset = fit_five(moved)
    assert np.allclose(found * moved @ back.T + offset, TEMPLATE, atol=1e-6)
    assert found * scale == pytest.approx(1)


def test_a_photograph_of_a_scan_is_training_data(model_tree):
    corpus = open_corpus("facescape", model_tree)
    sitter = corpus.draw(np.random.default_rng(0), 0, 1)[0].sit(np.random.default_rng(0))
    generator = np.random.default_rng(3)
    picture = photograph(sitter, Setting.draw(sitter, generator, 64), generator, no_fit)
    assert picture.colour.shape == (64, 64, 3)
    known = np.isfinite(picture.depth)
    assert picture.face[24:40, 24:40].mean() > 0.9
    assert known[picture.face].all()
    assert abs(float(np.median(picture.depth[20:28, 22:42]))) < 0.4
    # A scan knows no landmarks.
    assert not picture.visible.any()
    assert np.isnan(picture.landmarks).all()


def test_samples_of_a_corpus_are_the_same_every_time(model_tree):
    first, again = (
        make_samples(open_corpus("facescape", model_tree), 1, first=0, people=2, per_person=2, size=32)
        for _ in range(2)
    )
    assert first.colour.tobytes() == again.colour.tobytes()
    assert first.depth.tobytes() == again.depth.tobytes()
    assert len(set(first.identity.tolist())) == 2


def test_models_are_listed_by_person_and_expression_without_reading_them(model_tree, tmp_path):
    shutil.copytree(model_tree, tmp_path / "tree")
    folder = tmp_path / "tree" / "facescape_trainset_001_100" / "2" / "models_reg"
    (folder / "10_dimpler.obj").write_text("this is no mesh")
    (folder / "10_dimpler.jpg").write_text("nor is this a picture")
    (folder / "11_chin_raiser.obj").write_text("v 0 0 0")
    (folder / "average.obj").write_text("v 0 0 0")
    listing = facescape.read_scans(tmp_path / "tree")
    assert [(one.identity, one.expression) for one in listing.files] == [
        ("1", "1_neutral"), ("2", "1_neutral"), ("2", "10_dimpler")
    ]  # fmt: skip
    assert {one.where.name for one in listing.problems} == {"11_chin_raiser.obj", "average.obj"}
    assert "11_chin_raiser.jpg is missing" in listing.problems[0].reason
    assert list(listing.people) == ["1", "2"]


def test_the_licence_is_told_where_the_tree_does_not_hold_it(model_tree, tmp_path):
    assert "non-commercial research only" in facescape.read_scans(model_tree).notes[0]
    shutil.copytree(model_tree, tmp_path / "tree")
    (tmp_path / "tree" / "License_Agreement.pdf").write_bytes(b"%PDF")
    corpus = open_corpus("facescape", tmp_path / "tree")
    assert corpus.notes == ()
    assert not corpus.shippable
    assert "no redistribution" in corpus.licence


def test_a_multi_view_set_is_aligned_and_coloured_by_its_valid_photographs(people, tmp_path):
    head = people[2]
    write_view_set(tmp_path, head, 7)
    images = tmp_path / "fsmview_trainset_images_001-020" / "fsmview_trainset" / "7" / "2_smile"
    # Its camera is not valid: not a pixel of it may be used.
    PillowImage.new("RGB", (320, 320), (255, 0, 0)).save(images / "4.jpg")
    (file,) = facescape.read_scans(tmp_path).files
    scan = facescape.read_scan(file)
    assert np.abs(scan.vertices / 63 - head.vertices).max() < 1e-3
    camera = crop_camera(128)
    picture, _ = render_scan(replace(scan, vertices=scan.vertices / 63), camera)
    truth, _ = render_scan(replace(scan_of(head), vertices=head.vertices), camera)
    face = (slice(35, 100), slice(36, 92))
    assert np.abs(picture[face].astype(int) - truth[face]).mean() < 5
    assert np.corrcoef(picture[face].reshape(-1), truth[face].reshape(-1))[0, 1] > 0.97
    sitter = open_corpus("facescape", tmp_path).draw(np.random.default_rng(0), 0, 1)[0].sit(np.random.default_rng(0))
    assert np.abs(sitter.dressed.heads.five_positions(sitter.vertices)[:2] - head.five[:2]).max() < 0.08


def test_stirling_names_of_all_kinds_are_read(people, tmp_path):
    for stem in ("F1001_N", "f1011_N", "m1000b_NH", "F1031_2_N", "F1013_NH_2", "M1011B_A"):
        write_obj(tmp_path / "scans" / f"{stem}.obj", people[0], 60.0)
    (tmp_path / "scans" / "M1000.obj").write_text("v 0 0 0")
    listing = stirling.read_scans(tmp_path)
    assert [(one.identity, one.expression) for one in listing.files] == [
        ("F1001", "neutral"), ("F1011", "neutral"), ("F1013", "NH"), ("F1031", "neutral"), ("M1000", "NH"),
        ("M1011", "A"),
    ]  # fmt: skip
    assert [one.where.name for one in listing.problems] == ["M1000.obj"]


def test_a_texture_that_only_the_material_names_is_found(people, tmp_path):
    write_obj(tmp_path / "F1001_N.obj", people[0], 60.0, texture=False)
    (tmp_path / "F1001_N.mtl").write_text("newmtl merged\nmap_Kd C:\\scans\\skin.png\n")
    with pytest.raises(ScanError, match=r"texture skin\.png is missing"):
        stirling.read_scans(tmp_path)
    PillowImage.fromarray(people[0].texture).save(tmp_path / "skin.png")
    assert stirling.read_scans(tmp_path).files[0].colour.name == "skin.png"


def test_a_broken_scan_is_replaced_by_a_good_one_and_is_reported_once(people, tmp_path):
    write_stirling(tmp_path, people[:1])
    bad = tmp_path / "F_3D_N" / "F1001_A.obj"
    write_obj(bad, people[0], 60.0)
    bad.with_suffix(".jpg").write_bytes(bad.with_suffix(".jpg").read_bytes()[:900])
    corpus = open_corpus("stirling", tmp_path)
    (subject,) = corpus.draw(np.random.default_rng(0), 0, 1)
    for seed in range(4):
        assert len(subject.sit(np.random.default_rng(seed)).vertices) > 1000
    assert [one.where for one in corpus.problems] == [bad]
    assert "F1001_A.jpg is torn" in corpus.problems[0].reason


def test_a_person_without_a_usable_scan_is_an_error_that_names_each(people, tmp_path):
    write_obj(tmp_path / "F1001_N.obj", people[0], 60.0)
    (tmp_path / "F1001_N.obj").write_text("v 0 0 0\n")
    (subject,) = open_corpus("stirling", tmp_path).draw(np.random.default_rng(0), 0, 1)
    with pytest.raises(ScanError, match=r"no scan of person F1001(.|\n)*F1001_N\.obj has no faces"):
        subject.sit(np.random.default_rng(0))


def test_the_order_of_people_mixes_the_sexes_and_outlives_additions(tmp_path):
    for number in range(1001, 1021):
        for sex in "FM":
            (tmp_path / f"{sex}{number}_N.obj").write_text("v 0 0 0")
            (tmp_path / f"{sex}{number}_N.jpg").write_text("")

    def order():
        corpus = open_corpus("stirling", tmp_path)
        return [one._files[0].identity for one in corpus.draw(np.random.default_rng(0), 0, corpus.count)]

    before = order()
    assert 4 < sum(name[0] == "F" for name in before[:20]) < 16
    (tmp_path / "F1050_N.obj").write_text("v 0 0 0")
    (tmp_path / "F1050_N.jpg").write_text("")
    assert [name for name in order() if name != "F1050"] == before
    with pytest.raises(ValueError, match="41 in stirling"):
        open_corpus("stirling", tmp_path).draw(np.random.default_rng(0), 40, 2)


@pytest.mark.parametrize("name", ["facescape", "stirling"])
def test_wrong_roots_say_what_is_expected(name, tmp_path):
    with pytest.raises(ScanError, match=r"missing of .* does not exist(.|\n)*is expected as"):
        open_corpus(name, tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(ScanError, match="is a file, not the folder of"):
        open_corpus(name, tmp_path / "file")
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    with pytest.raises(ScanError, match=r"there is no (OBJ|models_reg)(.|\n)*available"):
        open_corpus(name, tmp_path / "empty")


def test_the_tree_of_another_corpus_is_named(model_tree, people, tmp_path):
    write_stirling(tmp_path / "stirling", people[:1])
    (tmp_path / "ict" / "FaceXModel").mkdir(parents=True)
    (tmp_path / "ict" / "FaceXModel" / "generic_neutral_mesh.obj").write_text("v 0 0 0")
    with pytest.raises(ScanError, match=r"looks like FaceScape, not the Stirling(.|\n)*--scans facescape"):
        open_corpus("stirling", model_tree)
    with pytest.raises(ScanError, match="looks like the Stirling ESRC 3D face database, not FaceScape"):
        open_corpus("facescape", tmp_path / "stirling")
    with pytest.raises(ScanError, match="looks like ICT-FaceKit"):
        open_corpus("facescape", tmp_path / "ict")


def test_unknown_scans_and_missing_roots_are_settings_to_mend(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'facescape'"):
        open_corpus("FaceScapes", tmp_path)
    with pytest.raises(ConfigError, match="--root stirling=DIR"):
        open_corpus("stirling")
    with pytest.raises(ConfigError, match="anny takes no root"):
        open_corpus("anny", tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\n", r"no faces \(3 vertices\)"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "name vertices 1 to 4, but it holds 3"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "name vertices 0 to 2"),
        ("v 0 0 0\nv 1 0\nv 0 1 0\nf 1 2 3\n", "a vertex cannot be read"),
        ("v 0 0 0\nv 1 0 nan\nv 0 1 0\nf 1 2 3\n", "not a number"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 x\n", "a face cannot be read"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/2\n", "texture coordinate the file does not hold"),
        ("", "no faces"),
    ],
)
def test_broken_meshes_name_their_file_and_fault(content, reason, tmp_path):
    path = tmp_path / "F1001_N.obj"
    path.write_text(content)
    with pytest.raises(ScanError, match=f"F1001_N.obj.*{reason}") as error:
        read_obj(path)
    assert "extract it again" in str(error.value)


def test_a_mesh_without_texture_coordinates_is_refused(people, tmp_path):
    write_obj(tmp_path / "F1001_N.obj", people[0], 60.0)
    (tmp_path / "F1001_N.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvn 0 0 1\nf 1//1 2//1 3//1\n")
    with pytest.raises(ScanError, match=r"no texture coordinates for F1001_N\.jpg"):
        stirling.read_scan(stirling.read_scans(tmp_path).files[0])


def test_polygons_become_fans_and_keep_their_texture_coordinates(tmp_path):
    path = tmp_path / "quad.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0.5 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1/1 2/2/1 3/3/1 4/4/1\n")
    mesh = read_obj(path)
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.corner_uv[1].tolist() == [[0.5, 0], [1, 1], [0, 1]]


def test_torn_plys_and_textures_are_errors(people, tmp_path):
    write_view_set(tmp_path, people[0], 1)
    (ply,) = tmp_path.rglob("*.ply")
    whole = ply.read_bytes()
    for share in (0.02, 0.5):
        ply.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ScanError, match=r"2_smile\.ply"):
            read_ply(ply)
    for content in (b"", b"\xff\xd8\xff\xe0 torn"):
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(ScanError, match=r"a\.jpg is torn"):
            read_texture(tmp_path / "a.jpg")
    with pytest.raises(ScanError, match=r"b\.jpg is missing"):
        read_texture(tmp_path / "b.jpg")


def _without(key):
    def change(values):
        del values[key]

    return change


def _with(key, value):
    def change(values):
        values[key] = value

    return change


def _no_valid_view(values):
    values.update({key: False for key in values if key.endswith("_valid")})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_without("2_Rt"), "has no value '2_Rt'"),
        (_with("2_K", [1, 2]), "params.json is torn"),
        (_with("2_width", 640), "320x320 pixels, params.json has 640x320"),
        (_no_valid_view, "no photograph that params.json calls valid"),
    ],
)
def test_broken_cameras_are_errors(change, reason, people, tmp_path):
    write_view_set(tmp_path, people[0], 1)
    (path,) = tmp_path.rglob("params.json")
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(ScanError, match=reason):
        facescape.read_scan(facescape.read_scans(tmp_path).files[0])


def test_half_a_multi_view_set_says_what_is_missing(people, tmp_path):
    write_view_set(tmp_path, people[0], 1)
    alignment = tmp_path / "Rt_scale_dict.json"
    whole = alignment.read_text()
    alignment.write_text(json.dumps({"2": {}}))
    with pytest.raises(ScanError, match="no alignment for 1/2_smile"):
        facescape.read_scan(facescape.read_scans(tmp_path).files[0])
    alignment.write_text(whole[:20])
    with pytest.raises(ScanError, match=r"Rt_scale_dict\.json is torn"):
        facescape.read_scan(facescape.read_scans(tmp_path).files[0])
    alignment.unlink()
    with pytest.raises(ScanError, match=r"need Rt_scale_dict\.json; copy it from toolkit/predef"):
        facescape.read_scans(tmp_path)
    shutil.rmtree(tmp_path / "fsmview_trainset_images_001-020")
    with pytest.raises(ScanError, match=r"photographs \(params.json\) are missing"):
        facescape.read_scans(tmp_path)
    assert issubclass(ScanError, MvgenError)


def test_simplifying_closes_seams_and_keeps_the_surface():
    import trimesh

    ball = trimesh.creation.icosphere(5)
    split = ball.vertices[ball.faces].reshape(-1, 3)  # every corner a vertex of its own, as after a seam
    vertices, triangles = simplified(split, np.arange(len(split)).reshape(-1, 3), 2000)
    assert 1900 < len(triangles) < 2100
    assert np.abs(np.linalg.norm(vertices, axis=1) - 1).max() < 0.02
    assert trimesh.Trimesh(vertices, triangles, process=False).is_watertight


def test_a_texture_is_sampled_with_v_up_and_low_passed():
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:32] = 255
    colours = sample_texture(texture, np.array([[0.5, 0.9], [0.5, 0.1]]), 64)
    assert colours[:, 0] == pytest.approx([1, 0])
    chess = np.indices((64, 64)).sum(axis=0)[..., None].repeat(3, 2) % 2 * 255
    assert np.ptp(sample_texture(chess.astype(np.uint8), np.random.default_rng(0).random((50, 2)), 16)) < 0.02
