"""The baseline of `throughput.py`: a simple multi-view build from the same packages.

Every frame by itself: MTCNN and a crop, the face mesh and its fit, the depth network in fp32 torch, a textured mesh,
one pyrender call for each view, DIS flow from the frame before in each view, a PNG as Pillow writes it by default. No
crop, geometry or scene is kept from one frame to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, crop_camera, pixel_grid
from mvgen.core.errors import ClipError
from mvgen.core.records import Clip, DepthMap, FacePrediction, Image
from mvgen.depth.clip_geometry import clip_geometry
from mvgen.faces.crop import crop_from_points
from mvgen.views.view import Stopwatch

_NEAR, _FAR = 0.05, 6.0  # world units: clipping planes around a head


@dataclass(frozen=True, slots=True)
class PlainSettings:
    """Side of the views in pixels, their yaws, the weights of the depth network, and where the result goes."""

    size: int
    angles: tuple[float, ...]
    weights: Path
    out: Path


class PlainBuilder:
    """The loaded parts. Raises MissingPartError without OpenGL, WeightsError for weights that do not fit."""

    def __init__(self, settings: PlainSettings) -> None:
        from facenet_pytorch import MTCNN

        from mvgen.depth.estimator import load_network
        from mvgen.faces.face_mesh import FaceMesh
        from mvgen.morphable.model import face_model
        from mvgen.render import get_renderer

        self.settings = settings
        self._detector = MTCNN(post_process=False).eval()
        self._landmarker, self._model = FaceMesh("cpu"), face_model()
        self._network, self._input = load_network(settings.weights)
        self._network.eval()
        get_renderer("pyrender")  # settles which off-screen OpenGL there is
        import pyrender

        self._window = pyrender.OffscreenRenderer(settings.size, settings.size)

    def build(self, clip: Clip) -> dict[str, float]:
        """Build one clip; returns the seconds spent on each stage. Raises ClipError when a frame shows no face."""
        import cv2
        from PIL import Image as Picture

        clock, settings = Stopwatch(), self.settings
        folders = {yaw: settings.out / f"yaw{yaw:+g}" / clip.directory for yaw in settings.angles}
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        flows: dict[float, list[NDArray[np.float32]]] = {yaw: [] for yaw in settings.angles}
        before: dict[float, Image] = {}
        for frame in clip.frames:
            with clock("read"):
                picture = np.asarray(Picture.open(frame.path).convert("RGB"))
            with clock("face"):
                crop = self._crop(picture)
            with clock("depth"):
                camera, points = crop_camera(settings.size), self._landmarker.find(crop[None])
                surfaces, _ = clip_geometry(crop[None], points, camera, "per-frame", clip.fps, self._model, self)
            with clock("mesh"):
                mesh = _textured_mesh(crop, surfaces.at_onset)
            for yaw in settings.angles:
                with clock("views"):
                    colour = self._render(mesh, crop_camera(settings.size).at(yaw))
                with clock("flow"):
                    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
                    if yaw in before:
                        method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
                        flows[yaw].append(method.calc(before[yaw], grey, None))  # type: ignore[call-overload]
                    before[yaw] = grey
                with clock("store"):
                    Picture.fromarray(colour).save(folders[yaw] / f"{frame.number}.png")
        with clock("store"):
            for yaw, flow in flows.items():
                np.savez_compressed(folders[yaw] / "flow.npz", flow=np.asarray(flow))
        return clock.seconds

    def _crop(self, picture: Image) -> Image:
        import cv2

        _, _, points = self._detector.detect(picture, landmarks=True)
        if points is None:
            raise ClipError("face", "no face found")
        matrix = crop_from_points(points[0] + 0.5, self.settings.size)
        # In OpenCV pixel centres are at whole numbers.
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
        return np.asarray(cv2.warpAffine(picture, matrix, (self.settings.size,) * 2, flags=cv2.INTER_CUBIC), np.uint8)

    def predict(self, crops: Image, fit: NDArray[np.float32]) -> FacePrediction:
        """The depth network, see `mvgen.depth.clip_geometry.DepthPredictor`, each crop once."""
        import torch
        from torch.nn.functional import interpolate

        from mvgen.depth.estimator import resize_fit
        from mvgen.depth.network import network_input, normalise

        with torch.inference_mode():
            small = interpolate(normalise(crops), (self._input,) * 2, mode="bilinear", antialias=True)
            shown = resize_fit(torch.tensor(fit).permute(0, 3, 1, 2), self._input) if self._network.fitted else None
            seen = self._network(network_input(small, shown))
            maps = torch.stack([seen.depth, seen.face.sigmoid()], dim=1)
            depth, face = interpolate(maps, (self.settings.size,) * 2, mode="bicubic").unbind(dim=1)
        return FacePrediction(depth.numpy(), face.numpy())

    def _render(self, mesh: Any, camera: Camera) -> Image:
        import pyrender

        middle = camera.size / 2
        eye = np.array([(middle - camera.centre[0]) / camera.scale, (camera.centre[1] - middle) / camera.scale, 2.0])
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = camera.rotation.T, camera.to_world(eye)
        scene = pyrender.Scene()
        scene.add(pyrender.Mesh.from_trimesh(mesh, smooth=False))
        scene.add(pyrender.OrthographicCamera(*[middle / camera.scale] * 2, znear=_NEAR, zfar=_FAR), pose=pose)
        colour, _ = self._window.render(scene, flags=pyrender.RenderFlags.FLAT)
        return np.asarray(colour, np.uint8)


def _textured_mesh(crop: Image, surface: DepthMap) -> Any:
    """A trimesh with a vertex at every pixel of the face, two triangles for every four of them, and the crop."""
    import trimesh
    from PIL import Image as Picture

    camera, face = surface.camera, np.isfinite(surface.depth)
    grid = pixel_grid(camera.size, camera.size)
    vertices = camera.unproject(np.concatenate([grid, surface.depth[..., None]], axis=-1))[face]
    number = np.full(face.shape, -1)
    number[face] = np.arange(len(vertices))
    corners = np.stack([number[:-1, :-1], number[1:, :-1], number[:-1, 1:], number[1:, 1:]], axis=-1)
    a, b, c, d = corners[(corners >= 0).all(axis=-1)].T
    uv = grid[face] / camera.size
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Picture.fromarray(crop))
    visual = trimesh.visual.TextureVisuals(uv=np.column_stack([uv[:, 0], 1 - uv[:, 1]]), material=material)
    triangles = np.concatenate([np.column_stack([a, b, c]), np.column_stack([c, b, d])])
    return trimesh.Trimesh(vertices=vertices, faces=triangles, visual=visual, process=False)
