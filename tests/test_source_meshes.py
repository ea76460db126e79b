"""Meshes of a source that was captured in 3D: where they lie, how they are placed, and compared with the views."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from factories import head_depth, known_tools, write_frames, write_stand_in, write_table
from numpy.typing import NDArray
from photograph_build import SIZE, PhotographStages, photograph_config
from PIL import Image

from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.camera import Camera, crop_camera, pixel_grid
from mvgen.core.errors import ScanError, SourceError
from mvgen.core.landmarks68 import five_points
from mvgen.core.records import Image as Pixels
from mvgen.faces.detection import Faces
from mvgen.faces.face_mesh_topology import IBUG
from mvgen.morphable.model import face_model
from mvgen.morphable.topology import topology
from mvgen.render.rays import RayScene
from mvgen.scans.corpora.meshfiles import Mesh, write_obj
from mvgen.scans.imaging.rotation import rotation
from mvgen.scans.looks.baking import atlas
from mvgen.sources import get_source
from mvgen.verification import meshes
from mvgen.verification.differences import Comparison, DepthDifference
from mvgen.verification.meshes import (
    Captured,
    colour_error,
    colour_of,
    compare_meshes,
    place_mesh,
    read_mesh,
    similarity,
)

MM = 62.0  # in an inter-ocular distance


def head_mesh() -> Mesh:
    """The ellipsoid head as a mesh in millimetres."""
    camera = crop_camera(SIZE)
    head = head_depth(camera)
    grid = np.dstack([pixel_grid(SIZE, SIZE), np.where(head.confidence > 0, head.depth, -0.9)])
    index = np.arange(SIZE * SIZE, dtype=np.int32).reshape(SIZE, SIZE)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    return Mesh(MM * camera.unproject(grid).reshape(-1, 3), triangles, None)


def test_4dme_reads_grey_clips_and_finds_their_meshes(tmp_path: Path) -> None:
    header = ["sub_ID'", "fold_name'", "Onset", "Apex", "Offset", "Emotion", "AUs"]
    rows = [
        ["S13'", "S13_1st_001_01'", 3, 5, 8, "Negative", "AU4(k)+AU7"],
        ["S13'", "S13_1st_002_01'", 3, 5, 8, "Repression", "AU14"],
        ["S02'", "S02_1st_001_01'", 3, 5, 8, "Positive+Surprise", "AU12"],
    ]
    write_table(tmp_path / "4DME_Labelling_Micro_release v1.xlsx", [header, *rows])
    for row in rows:
        place = Path(row[0].rstrip("'"), row[1].rstrip("'"))
        for tree in ("gray_micro", "gray_micro_crop"):
            write_frames(tmp_path / tree / place, [f"{number}.jpg" for number in range(3, 9)], grey=True)
    mesh = tmp_path / "DI4D_micro/S13/S13_1st_001_01/5.obj"
    write_obj(mesh, Mesh(np.eye(3), np.array([[0, 1, 2]], np.int32), None))
    listing = get_source("4dme").read(tmp_path)
    assert [(c.subject, c.name, c.label, c.fps, c.action_units) for c in listing.clips] == [
        ("S02", "S02_1st_001_01", None, 60.0, ("AU12",)),
        ("S13", "S13_1st_001_01", "negative", 60.0, ("AU4(k)", "AU7")),
        ("S13", "S13_1st_002_01", None, 60.0, ("AU14",)),
    ]
    assert [frame.mesh for frame in listing.clips[1].frames] == [None, None, mesh, None, None, None]
    assert {frame.mesh for clip in (listing.clips[0], listing.clips[2]) for frame in clip.frames} == {None}
    (problem,) = listing.problems
    assert "unknown emotion 'positive+surprise'" in problem.reason
    cropped = get_source("4dme").read(tmp_path, variant="cropped")
    assert [clip.directory.parts[0] for clip in cropped.clips] == ["gray_micro_crop"] * 3


def test_a_pipe_that_is_called_like_a_mesh_is_none(tmp_path: Path) -> None:
    write_stand_in(tmp_path, "4dme", subjects=1, clips=1, frames=5)
    (clip,) = get_source("4dme").read(tmp_path).clips
    folder = tmp_path / Path("DI4D_micro", *clip.directory.parts[1:])
    folder.mkdir(parents=True)
    os.mkfifo(folder / f"{clip.onset}.obj")
    (clip,) = get_source("4dme").read(tmp_path).clips
    assert {frame.mesh for frame in clip.frames} == {None}


@pytest.mark.parametrize(
    "content", ["", "v 0 0 0\nf 1 2 3\n", "v 0 0 x\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "v nan 0 0\n" * 3]
)
def test_a_torn_mesh_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "5.obj").write_text(content)
    with pytest.raises(ScanError, match=r"5\.obj"):
        read_mesh(tmp_path / "5.obj")


def test_a_mesh_larger_than_any_face_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "5.ply").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ScanError, match="more than 256 MB"):
        read_mesh(tmp_path / "5.ply")


def test_a_written_mesh_and_its_texture_read_back(tmp_path: Path) -> None:
    mesh = head_mesh()
    height = np.ptp(mesh.vertices[:, 1])
    shade = (255 * (mesh.vertices[:, 1] - mesh.vertices[:, 1].min()) / height).astype(np.uint8)
    corner_uv, texture = atlas(mesh.triangles, np.repeat(shade[:, None], 3, axis=1))
    write_obj(tmp_path / "1.obj", replace(mesh, corner_uv=corner_uv))
    Image.fromarray(texture).save(tmp_path / "1.png")
    again, picture = read_mesh(tmp_path / "1.obj")
    np.testing.assert_allclose(again.vertices, mesh.vertices, atol=6e-4)
    np.testing.assert_array_equal(again.triangles, mesh.triangles)
    assert picture is not None
    camera = crop_camera(SIZE).at(30.0)
    hits = RayScene(mesh.vertices / MM, mesh.triangles).cast(camera, pixel_grid(SIZE, SIZE))
    colour = colour_of(hits, Captured(again, picture))[hits.hit]
    seen = hits.where_hit().interpolate(mesh.triangles, mesh.vertices)[:, 1]
    expected = 255 * (seen - mesh.vertices[:, 1].min()) / height
    assert np.median(np.abs(colour - expected[:, None])) < 2
    write_obj(tmp_path / "2.obj", mesh)
    assert read_mesh(tmp_path / "2.obj").texture is None


def test_the_colour_of_another_sensor_is_no_error_and_another_picture_is() -> None:
    generator = np.random.default_rng(0)
    colour = generator.uniform(0, 255, (20, 20, 3))
    colour[0] = np.nan
    where = np.isfinite(colour).all(axis=-1)
    grey = np.nan_to_num(0.4 * colour @ [0.3, 0.6, 0.1] + 20)
    picture = np.repeat(grey[..., None], 3, axis=2).round().astype(np.uint8)
    assert colour_error(picture, colour, where) > 45
    assert colour_error(generator.integers(0, 255, picture.shape).astype(np.uint8), colour, where) < 15
    assert np.isnan(colour_error(picture, colour, np.zeros_like(where)))


def test_landmarks_that_are_off_do_not_move_a_mesh() -> None:
    generator = np.random.default_rng(0)
    points = generator.normal(0, 1, (200, 3))
    target = 0.5 * points @ rotation(20, 5, 3).T + [1, 2, 3]
    target[:30] += generator.normal(0, 1, (30, 3))
    matrix = similarity(points, target)
    np.testing.assert_allclose(matrix[:3, :3], 0.5 * rotation(20, 5, 3), atol=1e-6)
    np.testing.assert_allclose(matrix[:3, 3], [1, 2, 3], atol=1e-6)


class MeanFaceDetector:
    """Knows where a picture of `place_mesh` shows the mean face of the face model."""

    def detect(self, image: Pixels) -> Faces:
        """The face in (H, W, 3) uint8."""
        low, high = np.quantile(face_model().mean, (0.02, 0.98), axis=0)
        rough = meshes._HEAD / float((high - low)[:2].max())
        camera = Camera(meshes._SIDE, 0.8 * meshes._SIDE / meshes._HEAD, (meshes._SIDE / 2,) * 2)
        five = five_points(camera.project(rough * (face_model().mean - (low + high) / 2))[IBUG, :2])
        box = np.concatenate([five.min(axis=0) - 60, five.max(axis=0) + 60])
        return Faces(box[None], np.ones(1), five[None])


def test_a_mesh_is_put_where_the_face_is_by_its_landmarks() -> None:
    mean = face_model().mean.astype(np.float64)
    face = 1.3 * mean @ rotation(8, -4, 2).T + [0.1, 0.2, -0.3]
    mesh = Mesh(1000 + MM * mean, topology().triangles.astype(np.int32), None)
    tools = replace(known_tools(), detector=MeanFaceDetector())
    scale, placed = place_mesh(mesh, face, tools)
    assert scale * MM == pytest.approx(1.3, rel=0.03)
    assert np.abs(placed - face).max() < 0.08


@pytest.mark.slow
def test_the_views_of_a_store_are_compared_with_meshes_seen_from_their_angles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stand_in(tmp_path / "root", "4dme", subjects=2, clips=1, frames=5)
    config = photograph_config(tmp_path / "root", tmp_path / "out", dataset="4dme", angles="-30,30", test_share=0.5)
    build(config, PhotographStages(tmp_path / "root"))
    with pytest.raises(SourceError, match="has no meshes"):
        compare_meshes(tmp_path / "out", tmp_path / "root", known_tools())
    assert run(["verify", str(tmp_path / "out"), "--against", "meshes", "--root", str(tmp_path / "root")]) == 2
    mesh = head_mesh()
    first, _ = get_source("4dme").read(tmp_path / "root").clips
    place = Path("DI4D_micro", *first.directory.parts[1:])
    for frame in first.frames:
        write_obj(tmp_path / "root" / place / f"{frame.number}.obj", mesh)

    def placed(read: Mesh, face: NDArray[np.floating], tools: object) -> tuple[float, NDArray[np.floating]]:
        return 1 / MM, read.vertices / MM

    monkeypatch.setattr(meshes, "place_mesh", placed)
    compared = compare_meshes(tmp_path / "out", tmp_path / "root", known_tools())
    assert [one.group for one in compared.parts] == ["source", "yaw-30", "yaw+30"]
    for one in compared.parts:
        assert one.median < 1
        assert one.covered > 0.9
        assert one.unit == pytest.approx(MM)
    ((clip, reason),) = compared.skipped
    assert clip != first.id
    assert "has no mesh" in reason
    # A mesh with half the relief is another face, most of all from the side.
    monkeypatch.setattr(meshes, "place_mesh", lambda read, face, tools: (1 / MM, read.vertices / MM * [1, 1, 0.5]))
    flat = compare_meshes(tmp_path / "out", tmp_path / "root", known_tools())
    assert all(one.median > 5 for one in flat.parts)


def test_a_group_is_the_mean_of_its_parts() -> None:
    parts = [DepthDifference(f"clip {n}", "fear" if n else "happy", 1, n, 2 * n, n, n, 0.5, 60 + n) for n in range(3)]
    groups = {one.name: one for one in Comparison(tuple(parts)).groups()}
    assert list(groups) == ["fear", "happy", "all"]
    assert (groups["fear"].clips, groups["fear"].median, groups["fear"].unit) == (2, 1.5, 61.5)
    assert (groups["all"].clips, groups["all"].largest) == (3, 2.0)
    assert {len(row) for row in Comparison(tuple(parts)).table()} == {len(Comparison(tuple(parts)).header())} == {8}
    coloured = Comparison((replace(parts[0], psnr=30.0), *parts[1:]))
    assert [row[8] for row in coloured.table(each=False)] == ["-", "30.0", "30.0"]
    assert len(list(Comparison(tuple(parts)).table())) == 6
    assert len(list(Comparison(tuple(parts)).table(each=False))) == 3
