"""Reconstruct single photographs: depth, mesh, views, landmarks and an overview sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvgen.core.angles import view_name
from mvgen.core.config import BuildConfig
from mvgen.core.errors import ClipError
from mvgen.core.records import DepthMap, FaceFit, FacePoints, FaceTrack, Floats, Image, Mask, Mesh, ViewClip
from mvgen.depth.clip_geometry import clip_geometry
from mvgen.faces.crop import crop_frames
from mvgen.faces.landmarks import ibug_landmarks
from mvgen.motion.registration import leave, seen_in_all
from mvgen.pipeline.frontal import find_face, source_camera
from mvgen.pipeline.tools import Tools
from mvgen.render.mesh import export_mesh
from mvgen.render.surface import source_normals
from mvgen.store.coding.pictures import png_bytes
from mvgen.views.view import make_scene, make_view, render_geometry

if TYPE_CHECKING:
    from PIL import Image as Picture

_LIGHT = (-0.4, 0.5, 0.77)  # over the viewer's left shoulder
_CAPTION = 18  # pixels
_DOT = 1.2  # radius of a landmark, pixels


@dataclass(frozen=True, slots=True, eq=False)
class PhotographedFace:
    """The face of one photograph in 3D, and how it looks from elsewhere.

    crop : (S, S, 3) uint8 RGB, the photograph around the face; face : where that is in the photograph
    points : one frame of landmarks; fit : the face model fitted to them, one frame
    surface : depth of the crop in world units; mesh : the same as triangles
    views : one frame each, in the order of the angles asked for
    """

    crop: Image
    face: FaceTrack
    points: FacePoints
    fit: FaceFit
    surface: DepthMap
    mesh: Mesh
    views: tuple[ViewClip, ...]

    @property
    def depth(self) -> NDArray[np.float32]:
        """(S, S) float32, crop pixels, z along the optical axis toward the camera, NaN outside the face."""
        return (self.surface.depth * np.float32(self.surface.camera.scale)).astype(np.float32)

    @property
    def valid(self) -> Mask:
        """(S, S) bool, pixels of the face that the photograph shows."""
        return np.asarray(np.isfinite(self.surface.depth) & self.face.inside)

    @property
    def landmarks(self) -> Floats:
        """(68, 2) crop pixels, see `mvgen.core.landmarks68`."""
        return ibug_landmarks(self.points)[0]

    def __repr__(self) -> str:
        angles = ", ".join(f"{view.yaw:g}" for view in self.views)
        return f"<PhotographedFace of {len(self.crop)} pixels, views at yaw {angles} degrees>"

    def _repr_png_(self) -> bytes:
        return png_bytes(np.asarray(self.sheet()))

    def sheet(self) -> Picture.Image:
        """The crop, its relief and the views side by side, with their names."""
        shown = [(view_name(view.yaw), view.colour[0]) for view in self.views]
        return _sheet([("source", self.crop), ("depth relief", relief(self.surface)), *shown])

    def save(self, folder: Path) -> None:
        """Write depth, landmarks, mesh, views and the sheet into a folder."""
        from PIL import Image as Picture

        (folder / "views").mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            folder / "depth.npz",
            depth=self.depth,
            valid=self.valid,
            crop=self.face.crop,
            landmarks=self.landmarks,
            points=self.points.points[0],
            identity=self.fit.identity,
            actions=self.fit.actions[0],
            rotation=self.fit.rotation[0],
        )
        shown = draw_landmarks(self.crop, self.points.points[0, :, :2], self.surface.confidence)
        Picture.fromarray(shown).save(folder / "landmarks.png")
        export_mesh(self.mesh, self.crop, folder / "mesh.glb")
        for view in self.views:
            name = view_name(view.yaw)
            Picture.fromarray(view.colour[0]).save(folder / "views" / f"{name}.png")
            Picture.fromarray(view.valid).save(folder / "views" / f"{name}.valid.png")
        self.sheet().save(folder / "sheet.png")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one photograph: the folder it was written to, or the error."""

    image: Path
    folder: Path | None
    error: str | None = None


def reconstruct(
    images: Sequence[Path],
    out: Path,
    config: BuildConfig,
    report: Callable[[str], None] = print,
    *,
    tools: Tools | None = None,
) -> list[Outcome]:
    """Reconstruct photographs, each into `out/<its stem>/`; images of the same stem get a number after it.

    tools : loaded from the config where not given
    A photograph that cannot be read or shows no face is reported and skipped. One outcome per image, in order.
    """
    tools = tools or Tools.load(config)
    outcomes, taken = [], set[str]()
    for image in images:
        folder = out / _free_name(image.stem, taken)
        try:
            reconstruct_face(read_photograph(image), config, tools).save(folder)
        except ClipError as error:
            outcomes.append(Outcome(image, None, str(error)))
            report(f"{image}: {error}")
        else:
            outcomes.append(Outcome(image, folder))
            report(f"{image}: {folder / 'sheet.png'}")
    return outcomes


def _free_name(stem: str, taken: set[str]) -> str:
    name, number = stem, 1
    # Compared without case: on some file systems `A` and `a` are one.
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name


def read_photograph(path: Path) -> Image:
    """Pixels of an image file, upright by its EXIF orientation: (H, W, 3) uint8 RGB. Raises ClipError("source")."""
    from PIL import Image as Picture
    from PIL import ImageOps, UnidentifiedImageError

    if not path.is_file():
        raise ClipError("source", "there is no such file")
    try:
        with Picture.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I;16") or upright.mode == "I":
                return np.repeat((np.asarray(upright).astype(np.uint32) >> 8).astype(np.uint8)[..., None], 3, axis=2)
            if upright.mode in ("RGBA", "LA", "P", "PA"):
                upright = Picture.alpha_composite(Picture.new("RGBA", upright.size, "white"), upright.convert("RGBA"))
            return np.asarray(upright.convert("RGB"), np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, Picture.DecompressionBombError) as error:
        reason = "it is not an image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise ClipError("source", f"the image cannot be read: {reason}") from None


def reconstruct_face(image: Image, config: BuildConfig, tools: Tools) -> PhotographedFace:
    """Reconstruct the largest face of a photograph, (H, W, 3) uint8 RGB. Raises ClipError where there is no face."""
    face = find_face(image[None], 0, config.camera, tools)
    crops = crop_frames(image[None], face)
    points = tools.landmarker.find(crops)
    camera = source_camera(face, config.camera)
    surfaces, fits = clip_geometry(crops, points, camera, "clip", 1.0, tools.model, tools.estimator)
    surface = surfaces.at_onset
    nowhere = np.zeros(surface.depth.shape, np.float32)
    inside = seen_in_all(face.inside, leave(1))
    scene = make_scene(crops, 0, inside, ibug_landmarks(points)[0], nowhere, surfaces)
    seen = (render_geometry(scene, yaw, 0.0, config.render, tools.renderer) for yaw in config.camera.angles)
    views = tuple(make_view(scene, each, config, with_flow=False) for each in seen)
    return PhotographedFace(crops[0], face, points, fits.at_onset, surface, scene.meshes.at_onset, views)


def draw_landmarks(crop: Image, points: Floats, face: Floats) -> Image:
    """The crop at twice its size with its landmarks: full dots where the face is seen, rings where it is occluded.

    crop : (S, S, 3) uint8; points : (468, 2) its pixels; face : (S, S) in [0, 1], see `DepthMap.confidence`
    Returns (2 S, 2 S, 3) uint8.
    """
    from PIL import Image as Picture
    from PIL import ImageDraw

    side = 2 * len(crop)
    picture = Picture.fromarray(crop).resize((side, side), Picture.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for u, v in points:
        shown = face[min(max(int(v), 0), len(face) - 1), min(max(int(u), 0), len(face) - 1)] > 0.5
        dot = (2 * u - _DOT, 2 * v - _DOT, 2 * u + _DOT, 2 * v + _DOT)
        draw.ellipse(dot, fill="lime" if shown else None, outline="lime")
    return np.asarray(picture, np.uint8)


def relief(surface: DepthMap) -> Image:
    """(S, S, 3) uint8, the surface shaded by one light, without its colour."""
    light = np.array(_LIGHT) / np.linalg.norm(_LIGHT)
    shade = np.nan_to_num(source_normals(surface) @ light).clip(0, 1)
    grey = np.where(np.isfinite(surface.depth), 40 + 215 * shade, 0)
    return np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=2)


def _sheet(pictures: Sequence[tuple[str, Image]]) -> Picture.Image:
    """Pictures in rows of six, with their names."""
    from PIL import Image as Picture
    from PIL import ImageDraw

    size = pictures[0][1].shape[0]
    columns = min(6, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = Picture.new("RGB", (columns * size, rows * (size + _CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (name, picture) in enumerate(pictures):
        left, top = index % columns * size, index // columns * (size + _CAPTION)
        draw.text((left + 4, top + 3), name, fill="black")
        sheet.paste(Picture.fromarray(picture), (left, top + _CAPTION))
    return sheet
