"""Things tests are made of: small, deterministic, and with a truth that is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.camera import Camera, crop_camera, pixel_grid
from mvgen.core.records import DepthMap, FacePoints, FacePrediction, Image

if TYPE_CHECKING:
    from mvgen.faces.detection import Detector, Faces
    from mvgen.pipeline.tools import Tools
    from mvgen.synth.plan import ClipPlan


def head_depth(camera: Camera) -> DepthMap:
    """An ellipsoid head with a bump for a nose, seen by an orthographic camera.

    The ellipsoid is 2.2 wide, 3.2 high and 2 deep, its front 0.1 before the eyes.
    """
    grid = pixel_grid(camera.size, camera.size)
    x = (grid[..., 0] - camera.centre[0]) / camera.scale
    y = -(grid[..., 1] - camera.centre[1]) / camera.scale
    room = 1 - (x / 1.1) ** 2 - ((y + 0.3) / 1.6) ** 2
    nose = 0.35 * np.exp(-((x / 0.15) ** 2) - ((y + 0.5) / 0.25) ** 2)
    depth = -0.9 + np.sqrt(np.clip(room, 0, None)) + nose
    return DepthMap(depth.astype(np.float32), (room > 0.08).astype(np.float32), camera)


def head_surface(camera: Camera) -> DepthMap:
    """The same head as a clip's geometry has it: depth is NaN outside the face."""
    head = head_depth(camera)
    return replace(head, depth=np.where(head.confidence > 0.5, head.depth, np.float32(np.nan)))


def mean_points(size: int) -> NDArray[np.float32]:
    """(468, 3) float32, the points of the face model's mean as the landmarker has them in its own canonical crop."""
    from mvgen.core.landmarks68 import five_points
    from mvgen.faces.crop import crop_from_points, transform_points
    from mvgen.faces.face_mesh_topology import IBUG
    from mvgen.morphable.model import face_model

    camera = crop_camera(size)
    points = camera.project(face_model().mean[:468].astype(np.float64))
    crop = crop_from_points(five_points(points[IBUG, :2]), size)
    depth = points[:, 2] * camera.scale * np.hypot(crop[0, 0], crop[1, 0])
    return np.column_stack([transform_points(crop, points[:, :2]), depth]).astype(np.float32)


def landmarker_points(vertices: NDArray[Any], camera: Camera) -> NDArray[np.float32]:
    """(..., 468, 3) float32, what a landmarker that errs as the fit takes it to err sees of posed faces (..., N, 3)."""
    from mvgen.morphable.fitting import _BIAS_SHARE
    from mvgen.morphable.model import face_model

    points = camera.project(vertices[..., :468, :].astype(np.float64))
    points[..., 2] += _BIAS_SHARE * face_model().depth_bias
    return (points * [1, 1, camera.scale]).astype(np.float32)


def acted_points(actions: NDArray[Any], camera: Camera) -> NDArray[np.float32]:
    """(T, 468, 3), what a landmarker sees of the mean face that acts with weights (T, A)."""
    from mvgen.morphable.model import face_model

    model = face_model()
    return landmarker_points(model.vertices(np.zeros(len(model.identity)), actions), camera)


def mean_landmarks(size: int) -> NDArray[np.float32]:
    """(68, 2) float32, where the landmarks of a mean face lie in a canonical crop of side `size`."""
    from mvgen.core.landmarks68 import CANONICAL

    return crop_camera(size).project(CANONICAL)[:, :2].astype(np.float32)


class EllipsoidEstimator:
    """A stand-in for the depth network: every crop is the same head; the trunk is a small network of fixed weights."""

    def __init__(self, noise: float = 0.0) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        self._kernel = torch.randn(16, 3, 5, 5, generator=generator) / 9
        self.noise = noise
        self.device = "cpu"

    def predict(self, crops: Image, fit: NDArray[np.float32]) -> FacePrediction:
        """(T, S, S, 3) uint8 -> the ellipsoid, whatever was fitted."""
        head = head_depth(crop_camera(crops.shape[1]))
        wobble = np.random.default_rng(0).normal(0, self.noise, (len(crops), 1, 1)).astype(np.float32)
        return FacePrediction(head.depth + wobble, np.repeat(head.confidence[None], len(crops), axis=0))

    def normalise(self, crops: Image) -> Any:
        """(N, S, S, 3) uint8 -> (N, 3, S, S) float32 tensor."""
        import torch

        return torch.from_numpy(crops.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1

    def encoder(self, images: Any) -> list[Any]:
        """Feature maps as an encoder gives them; the last is (N, 16, S/32, S/32)."""
        import torch

        features = torch.relu(torch.nn.functional.conv2d(images, self._kernel, padding=2))
        return [images, torch.nn.functional.avg_pool2d(features, 32)]


class MeanLandmarker:
    """A stand-in for the landmarker: every crop shows the mean face, where a canonical crop has it."""

    def find(self, crops: Image) -> FacePoints:
        """(T, S, S, 3) uint8 -> the same points for all."""
        count, size = crops.shape[:2]
        return FacePoints(np.repeat(mean_points(size)[None], count, axis=0), np.ones(count, np.float32))


def no_fit(picture: Image) -> NDArray[np.float16]:
    """(S, S, 3) uint8 -> (S, S, 4), in place of `mvgen.training.depth_data.Fitter` where nobody looks at the fit."""
    return np.full((*picture.shape[:2], 4), np.nan, np.float16)


def known_tools(detector: Detector | None = None, noise: float = 0.0) -> Tools:
    """Tools without networks: the photograph's face where no other is given, a mean face in it, an ellipsoid for depth.

    noise : see `EllipsoidEstimator`
    """
    from mvgen.morphable.model import face_model
    from mvgen.pipeline.tools import Tools
    from mvgen.render import get_renderer
    from mvgen.views.attention import AttentionModel

    return Tools(
        detector=detector or AstronautDetector(),
        landmarker=MeanLandmarker(),
        model=face_model(),
        estimator=EllipsoidEstimator(noise),
        attention=AttentionModel.empty(),
        renderer=get_renderer(),
    )


@cache
def astronaut() -> Image:
    """(512, 512, 3) uint8, a photograph of a real face."""
    from skimage.data import astronaut as photograph

    return np.asarray(photograph(), np.uint8)


class AstronautDetector:
    """Knows where the face of the photograph is; finds nothing in a dark picture."""

    def detect(self, image: Image) -> Faces:
        """The photograph's face in (H, W, 3) uint8."""
        from mvgen.faces.detection import Faces

        count = int(image.max() > 10)
        box = np.array([[180.0, 60.0, 275.0, 175.0]])
        points = np.array([[[205.0, 101.7], [247.9, 103.9], [226.2, 130.2], [202.1, 140.2], [245.9, 142.5]]])
        return Faces(box[:count], np.ones(count), points[:count])


def noisy_clip(image: Image, frames: int, sigma: float, seed: int = 0) -> Image:
    """(T, H, W, 3) uint8, a still clip: one picture with fresh sensor noise in every frame."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, sigma, (frames, *image.shape))
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def write_frames(folder: Path, names: Iterable[str], size: tuple[int, int] = (32, 32), grey: bool = False) -> None:
    """Small random pictures, (width, height), under the given names."""
    from PIL import Image as PillowImage

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        PillowImage.fromarray(pixels[..., 0] if grey else pixels).save(folder / name)


def write_stand_in(root: Path, layout: str, subjects: int = 2, clips: int = 4, frames: int = 6) -> tuple[ClipPlan, ...]:
    """A stand-in of a release with random pictures for frames; returns what was planned."""
    from mvgen.synth.layouts import write_workbook
    from mvgen.synth.plan import plan_release

    plans = plan_release(layout, subjects, clips, frames, seed=1)
    write_workbook(layout, plans, root)
    for plan in plans:
        write_frames(root / plan.directory, plan.names, grey=plan.grey)
    return plans


def write_table(path: Path, rows: Sequence[Sequence[object]], sheet: str = "Sheet1") -> Path:
    """An .xlsx workbook of one sheet."""
    from mvgen.synth.layouts import xlsx_bytes

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(xlsx_bytes({sheet: [list(row) for row in rows]}))
    return path


def write_video(path: Path, frames: Image, fps: int = 25) -> None:
    """A video of (T, H, W, 3) uint8 frames, stored without loss."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1" if path.suffix in (".mkv", ".avi") else "mpeg4", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0" if path.suffix in (".mkv", ".avi") else "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
