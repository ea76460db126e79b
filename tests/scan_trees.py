"""Tiny stand-ins of scan releases, in the releases' own layouts: Anny heads whose true places are known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from mvgen.core.camera import Camera, pixel_grid
from mvgen.render.rays import RayScene
from mvgen.scans.imaging.rendering import DressedHead
from mvgen.scans.looks.appearance import Look
from mvgen.scans.looks.baking import simplified
from mvgen.scans.looks.paint import to_srgb

Floats = NDArray[np.floating]

_FRONT = Camera(384, 72.0, (192.0, 150.0))


@dataclass(frozen=True)
class StandIn:
    """A textured head whose truth is known.

    vertices (N, 3) world units; triangles (M, 3); uv (N, 2); texture (H, W, 3) uint8; five (5, 3) true five points
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    uv: Floats
    texture: NDArray[np.uint8]
    five: Floats
    metre: float


def stand_in(heads: Any, seed: int) -> StandIn:
    """A person of Anny with a look, as a small mesh with its picture from the front for a texture."""
    generator = np.random.default_rng(seed)
    person = heads.sample_identities(generator, 1, spread=0.1)[0]
    model = heads.model
    dressed = DressedHead(model, Look.draw(generator), fine=False)
    hits = RayScene(person.vertices, model.triangles).cast(_FRONT, pixel_grid(_FRONT.size, _FRONT.size))
    paint = dressed.paint_at(hits.where_hit())[:, :3]
    texture = np.full((_FRONT.size, _FRONT.size, 3), 90, np.uint8)
    texture[hits.hit] = np.clip(to_srgb(np.clip(paint, 0, 1)) * 255, 0, 255).round()
    inside = np.maximum(model.regions["mouth_cavity"], model.regions["tongue"]) > 0.5
    skin = model.triangles[~inside[model.triangles].any(axis=1)]
    vertices, triangles = simplified(person.vertices, skin, 6000)
    uv = _FRONT.project(vertices.astype(np.float64))[:, :2] / _FRONT.size
    return StandIn(
        vertices, triangles, np.column_stack([uv[:, 0], 1 - uv[:, 1]]), texture,
        model.five_positions(person.vertices), person.metre,
    )  # fmt: skip


def write_obj(path: Path, head: StandIn, scale: float, *, texture: bool = True) -> None:
    """A mesh with texture coordinates and its picture, `scale` file units to the world unit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"mtllib {path.stem}.mtl"]
    lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in head.vertices * scale]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in head.uv]
    lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in head.triangles + 1]
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".mtl").write_text(f"newmtl skin\nmap_Kd {path.stem}.jpg\n")
    if texture:
        PillowImage.fromarray(head.texture).save(path.with_suffix(".jpg"), quality=95)


def write_stirling(root: Path, heads: list[StandIn]) -> None:
    """One neutral scan of each: F1001, M1002, F1003 ... in millimetres."""
    for index, head in enumerate(heads):
        sex = "FM"[index % 2]
        write_obj(root / f"{sex}_3D_N" / f"{sex}{1001 + index}_N.obj", head, 1000 * head.metre)


def write_models(root: Path, heads: list[StandIn]) -> None:
    """TU models: a neutral one of each, people 1, 2 ... in millimetres."""
    for index, head in enumerate(heads):
        folder = root / "facescape_trainset_001_100" / str(index + 1) / "models_reg"
        write_obj(folder / "1_neutral.obj", head, 63.0)


def write_view_set(root: Path, head: StandIn, identity: int, expression: str = "2_smile") -> None:
    """A multi-view set in a frame of its own: a mesh without colour, and five photographs with their cameras."""
    import trimesh

    # The frame: turned, shifted, and of another scale, as structure from motion leaves it.
    turn = np.linalg.qr(np.random.default_rng(identity).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    scale, shift = 0.7, np.array([0.3, -0.2, 1.1])
    own = (head.vertices - shift) @ turn / scale
    mesh_folder = root / "fsmview_trainset_shape_001-020" / "fsmview_trainset" / str(identity)
    mesh_folder.mkdir(parents=True, exist_ok=True)
    trimesh.Trimesh(own, head.triangles, process=False).export(mesh_folder / f"{expression}.ply")
    rigid = np.column_stack([turn, 63 * shift])
    number = expression.partition("_")[0]
    (root / "Rt_scale_dict.json").write_text(json.dumps({str(identity): {number: [63 * scale, rigid.tolist()]}}))

    folder = root / "fsmview_trainset_images_001-020" / "fsmview_trainset" / str(identity) / expression
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {}
    for view, yaw in enumerate((90.0, 45.0, 4.0, -45.0, 0.0)):
        camera = Camera(320, 60.0, (160.0, 130.0), yaw=yaw, focal=900.0, principal=(160.0, 160.0))
        flip = np.diag([1.0, -1.0, -1.0])
        pivot = np.asarray(camera.pivot)
        extrinsic = flip @ camera.rotation
        offset = flip @ (pivot - camera.rotation @ pivot - camera.position)
        values |= {
            f"{view}_K": [[900.0, 0, 159.5], [0, 900.0, 159.5], [0, 0, 1]],
            f"{view}_Rt": np.column_stack([extrinsic @ turn, (extrinsic @ shift + offset) / scale]).tolist(),
            f"{view}_distortion": [0.0] * 5, f"{view}_width": 320, f"{view}_height": 320, f"{view}_matches": 99,
            f"{view}_valid": yaw != 0.0, f"{view}_sn": "0", f"{view}_ori": "a.jpg",
        }  # fmt: skip
        PillowImage.fromarray(_photograph(head, camera)).save(folder / f"{view}.jpg", quality=95)
    (folder / "params.json").write_text(json.dumps(values))


def _photograph(head: StandIn, camera: Camera) -> NDArray[np.uint8]:
    hits = RayScene(head.vertices, head.triangles).cast(camera, pixel_grid(camera.size, camera.size))
    seen = hits.where_hit()
    uv = seen.interpolate(head.triangles, head.uv)
    size = head.texture.shape[0]
    column, row = (np.clip(values * size, 0, size - 1).astype(int) for values in (uv[:, 0], 1 - uv[:, 1]))
    picture = np.full((camera.size, camera.size, 3), 60, np.uint8)
    picture[hits.hit] = head.texture[row, column]
    return picture
