"""Reads the true side views of a stand-in: its clips, from which a store was built, as filmed by a second camera.

They are cropped like the built views, so that a recogniser sees the same part of the face; registration and flow are
those of the build's own stages. `mvgen synth --truth` writes them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mvgen.core.angles import view_name
from mvgen.core.camera import EYE_CENTRE, EYE_DISTANCE, Camera, pixel_grid
from mvgen.core.errors import StoreError
from mvgen.core.records import FaceFit, Floats, Image, Mask
from mvgen.dataset.views import landmarks_at, read_scene
from mvgen.pipeline.frontal import side_clip
from mvgen.store.about import read_about, stored_config
from mvgen.store.arrays import read_arrays
from mvgen.store.geometry import read_geometry
from mvgen.store.manifest import ViewRow, digest_of
from recognizer.errors import RecogniserError
from recognizer.readers.base import ClassRule, Entry, Reader, on_face, sample_of
from recognizer.readers.store import chosen_rows
from recognizer.records import Sample

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class _Place:
    """A true view: the row of the clip's frontal view, the frontal camera, and the yaw in degrees."""

    row: ViewRow
    camera: Camera
    yaw: float


class TruthReader(Reader):
    """True side views of the clips of a store.

    out : the store; truth : folder that `mvgen synth --truth` wrote with the stand-in
    noise : standard deviation of the sensor noise to add, 0 to 255, because the stored truth has none
    face_only : make everything outside the face black
    Raises StoreError for a folder without a store, RecogniserError for one without the truth of the store's clips, and
    for a store whose kind of registration is not possible in side views.
    """

    def __init__(
        self,
        out: Path,
        truth: Path,
        rule: ClassRule,
        *,
        noise: float = 1.5,
        exclude: Sequence[str] = (),
        least_frames: int = 1,
        face_only: bool = True,
    ) -> None:
        rows = chosen_rows(out, exclude, least_frames)
        self._rule = rule = rule.over(rows)
        self.root, self.truth, self.classes, self.noise, self.face_only = out, truth, rule.names, noise, face_only
        self._config = stored_config(read_about(out))
        if self._config.registration.method == "paper":
            raise RecogniserError(
                f"{out} is registered as in the paper, by landmarks that side views do not have; build it with "
                "--registration head to read true views of it"
            )
        index = read_index(truth)
        cameras = {one["directory"]: _camera(one["camera"]) for one in index["clips"]}
        self._places: list[_Place] = []
        entries = []
        for row in rows:
            label = rule.of(row)
            camera = cameras.get(clip_directory(row))
            if row.yaw is not None or label is None or camera is None:
                continue
            for yaw in index["angles"]:
                self._places.append(_Place(row, camera, yaw))
                entries.append(self._entry(row, label, yaw))
        if not entries:
            raise RecogniserError(f"{truth} has no true view of the clips in {out}; give the truth of their stand-in")
        self.entries = tuple(entries)

    def _entry(self, row: ViewRow, label: int, yaw: float) -> Entry:
        maps = self.truth / "maps" / view_name(yaw) / f"{clip_directory(row)}.npz"
        size = maps.stat().st_size if maps.is_file() else None
        return Entry(
            dataset=row.dataset,
            clip=row.clip,
            expression=row.expression,
            subject=row.subject_key,
            label=label,
            view=f"true {view_name(yaw)}",
            kind="true",
            yaw=yaw,
            kept=True,
            split=row.split,
            key=digest_of([row.files(), row.onset_index, row.apex_index, yaw, size, self.noise, self.face_only]),
            units=self._rule.units(row),
        )

    def read(self, index: int) -> Sample:
        place, entry = self._places[index], self.entries[index]
        row, yaw = place.row, place.yaw
        scene = read_scene(self.root, row, frames=False)
        found = read_geometry(self.root, row)
        size, camera = found.face.size, scene.surface.camera
        eyes = eye_midpoint(self._onset_depth(place), found.face.crop, size, place.camera)
        crop = side_crop(found.face.crop, eyes, place.camera.at(yaw), camera.at(yaw))
        clip = side_clip(
            self._frames(place),
            crop,
            turned_fit(found.fit, camera.at(yaw)),
            self._face(clip_directory(row), yaw, row.onset_index, crop, size),
            camera,
            onset=row.onset_index,
            apex=row.apex_index,
            config=self._config,
        )
        times = (row.onset_index, row.apex_index, row.offset_index)
        shown = on_face(clip.crops, clip.shown) if self.face_only else clip.crops
        return sample_of(entry, shown, *clip.flow, clip.shown, times, landmarks_at(scene, yaw))

    def _onset_depth(self, place: _Place) -> Floats:
        """(H, W) true depth of the onset frame in the frontal camera."""
        row = place.row
        return np.asarray(self._maps(clip_directory(row), None)["depth"][row.onset_index], np.float64)

    def _frames(self, place: _Place) -> Image:
        """(T, H, W, 3) uint8, frames of the second camera, in the order of those in the store."""
        from PIL import Image as Picture

        folder = self.truth / "views" / view_name(place.yaw) / clip_directory(place.row)
        frames = []
        for name in place.row.frame_names:
            path = folder / f"{name.partition('.')[0]}.png"
            try:
                with Picture.open(path) as picture:
                    frames.append(np.asarray(picture.convert("RGB")))
            except OSError as error:
                raise RecogniserError(f"true frame {path} cannot be read: {error}; make the stand-in again") from None
        clean = np.stack(frames)
        generator = np.random.default_rng(zlib.crc32(f"{place.row.clip} {place.yaw:g}".encode()))
        noise = generator.normal(0, self.noise, clean.shape) if self.noise else 0.0
        return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)

    def _face(self, folder: str, yaw: float, onset: int, crop: Floats, size: int) -> Mask:
        """(S, S) bool, where the onset frame of a true view shows face."""
        face = self._maps(folder, yaw)["face"][onset]
        source = (pixel_grid(size, size) - crop[:, 2]) @ np.linalg.inv(crop[:, :2]).T
        column, row = np.floor(source).astype(int).transpose(2, 0, 1)
        inside = (column >= 0) & (row >= 0) & (column < face.shape[1]) & (row < face.shape[0])
        return np.asarray(inside & face[np.where(inside, row, 0), np.where(inside, column, 0)])

    def _maps(self, folder: str, yaw: float | None) -> dict[str, np.ndarray]:
        try:
            return read_arrays(self.truth / "maps" / view_name(yaw) / f"{folder}.npz", without=("flow",))
        except StoreError as error:
            raise RecogniserError(f"{error.args[0].partition(';')[0]}; make the stand-in and its truth again") from None


def read_index(truth: Path) -> dict[str, Any]:
    """`truth.json`. Raises RecogniserError if it is missing or has another schema."""
    path = truth / "truth.json"
    if not path.is_file():
        raise RecogniserError(f"{truth} has no truth.json; `mvgen synth --truth {truth}` writes it with the stand-in")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecogniserError(f"{path} is damaged: {error}; make the stand-in again") from None
    if not isinstance(index, dict) or index.get("schema") != _SCHEMA:
        raise RecogniserError(f"{path} is of another version of mvgen; make the stand-in again")
    return index


def clip_directory(row: ViewRow) -> str:
    """The folder of a row's clip in its source."""
    return PurePosixPath(*PurePosixPath(row.frames_directory).parts[2:]).as_posix()


def eye_midpoint(depth: Floats, crop: Floats, size: int, camera: Camera) -> Floats:
    """(3,) midpoint between the eyes in world coordinates of the frontal camera.

    depth : (H, W) of a frame, world units; crop : (2, 3) frame pixel -> crop pixel of the clip's canonical crop
    """
    offsets = np.array([[-0.5, 0.0], [0.5, 0.0]]) * EYE_DISTANCE + EYE_CENTRE
    pixels = (offsets * size - crop[:, 2]) @ np.linalg.inv(crop[:, :2]).T
    column, row = np.clip(pixels.astype(int), 0, np.array(depth.shape)[::-1] - 1).T
    deep = depth[row, column]
    # Where the crop misses an eye, its depth is unknown: take zero, as for the eyes of a head at rest.
    return np.asarray(camera.unproject(np.column_stack([pixels, np.nan_to_num(deep)])).mean(axis=0))


def side_crop(crop: Floats, eyes: Floats, seen: Camera, built: Camera) -> Floats:
    """(2, 3) similarity, pixel of a true view -> pixel of the built view at the same angle.

    crop : of the frontal clip; eyes : (3,) midpoint of the eyes in the world of `seen`, the camera of the true view
    built : the camera of the built view, whose world has its origin between the eyes
    Scale and roll are those of the frontal crop; the eyes are at the same pixel as in the built view.
    """
    there, here = seen.project(eyes)[:2], built.project(np.zeros(3))[:2]
    return np.column_stack([crop[:, :2], here - crop[:, :2] @ there])


def turned_fit(fit: FaceFit, camera: Camera) -> FaceFit:
    """A fit in the coordinates of a turned camera.

    fit : in the world of the frontal crop; camera : of a view of it
    """
    return replace(
        fit,
        vertices=camera.to_view(fit.vertices),
        rotation=camera.rotation @ fit.rotation,
        shift=camera.to_view(fit.shift),
    )


def _camera(stored: Mapping[str, Any]) -> Camera:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    return Camera(**values)
