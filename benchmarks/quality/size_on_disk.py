"""Bytes that a view's frame takes in a store, by part and by format, and what each format loses.

    python benchmarks/quality/size_on_disk.py --frames 60 --angles=-30,30 --out size.json
    python benchmarks/quality/size_on_disk.py --video CLIP.mp4

Two videos are built at 256 pixels in every format: a photograph (of scikit-image) that sways and whose mouth moves,
with the noise of a camera, and a rendered recording, a stand-in without noise; or the videos given. The first table
has bytes a frame of a view. `before` is how stores were until schema 6: PNG, and flow as plain int16 through ISA-L.

The second compares frames read back with those that were encoded: pixels in grey levels inside the face, and flow that
is estimated again from them (the build's own method, joint) with that of the frames before, in pixels: from frame to
frame, and from onset to apex. The flow and depth in the maps are made before frames are encoded and are the same in
all formats, which is checked. `one grey level` shows how far the estimate moves when a tenth of the pixels are one grey
level brighter: less than that is no loss of a format. JPEG is what frames of JPEG sources are stored as.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common import Report, command_line, run_script
from mvgen.building.build import build
from mvgen.core.config import BuildConfig, FlowConfig
from mvgen.core.records import Image, Mask
from mvgen.core.settings import by_part
from mvgen.motion.flow.methods import ClipFlow, clip_flow
from mvgen.pipeline.stages import PipelineStages
from mvgen.store import layout
from mvgen.store.arrays import npz_bytes, read_maps
from mvgen.store.coding.pictures import encode_frame
from mvgen.store.coding.steps import FLOW_STEP, quantise_flow
from mvgen.store.frames import read_frames
from mvgen.store.manifest import ViewRow, read_table
from mvgen.views.view import flow_methods

_FORMATS = ("png", "mkv-lossless", "mkv")
_NOISE = 2.5  # grey levels, of the photograph's camera
_SIDE = (900, 800)


@dataclass(frozen=True)
class Parts:
    """Bytes a frame of a view."""

    frames: float
    flow: float
    other_maps: float
    geometry: float

    @property
    def all(self) -> float:
        return self.frames + self.flow + self.other_maps + self.geometry


def swaying_photograph(frames: int) -> Iterator[Image]:
    """A portrait that sways by a few pixels and lifts its mouth's corners twice, seen by a noisy camera."""
    from skimage import data

    still = cv2.resize(data.astronaut()[:400, :450], _SIDE, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    y, x = np.mgrid[: _SIDE[1], : _SIDE[0]].astype(np.float32)
    corners = [(side, np.exp(-((x - at) ** 2 + (y - 330) ** 2) / (2 * 25**2))) for side, at in ((1, 400), (-1, 500))]
    rng = np.random.default_rng(0)
    for index in range(frames):
        turn, smile = 2 * math.pi * index / frames, max(0.0, math.sin(4 * math.pi * index / frames))
        to_x, to_y = x + np.float32(3 * math.sin(turn)), y + np.float32(2 * math.sin(2 * turn))
        for side, near in corners:
            to_x, to_y = to_x + np.float32(4 * smile * side) * near, to_y + np.float32(4 * smile) * near
        moved = cv2.remap(still, to_x, to_y, cv2.INTER_CUBIC) + rng.normal(0, _NOISE, still.shape)
        yield np.clip(moved, 0, 255).astype(np.uint8)


def write_video(path: Path, frames: Iterator[Image]) -> None:
    """An MP4 as a phone writes it: H.264, 4:2:0."""
    import av

    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = *_SIDE, "yuv420p"
        stream.thread_count = 1  # the same bytes each time
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def write_recording(folder: Path, frames: int) -> None:
    """A rendered recording of `mvgen synth --layout long`."""
    from mvgen.cli import run

    seconds = max(5.0, frames / 30)
    run(["synth", "--layout", "long", "--out", str(folder), "--subjects", "1", "--seconds", str(seconds)])


def build_store(root: Path, out: Path, image_format: str, chosen: argparse.Namespace) -> list[ViewRow]:
    values = {"dataset": "folder", "root": root, "out": out, "angles": chosen.angles, "size": chosen.size}
    config = BuildConfig.model_validate(by_part({**values, "format": image_format, "to": chosen.frames}))
    build(config, PipelineStages())
    return read_table(out / layout.TABLE)


def parts_of(out: Path, rows: list[ViewRow], before: bool = False) -> Parts:
    """What the files of a store take. before : with the maps of schema 6"""
    count = sum(row.frames for row in rows)
    flows, others = zip(*((_maps_before if before else _maps_now)(out, row) for row in rows), strict=True)
    geometry = {row.geometry: (out / row.geometry).stat().st_size for row in rows}
    frames = [path for row in rows for path in row.files() if path not in (row.maps, row.geometry)]
    sizes = (sum((out / path).stat().st_size for path in frames), sum(flows), sum(others), sum(geometry.values()))
    return Parts(*(size / count for size in sizes))


def _maps_now(out: Path, row: ViewRow) -> tuple[int, int]:
    import zipfile

    with zipfile.ZipFile(out / row.maps) as archive:
        flow = archive.getinfo("flow.npy").compress_size
    return flow, (out / row.maps).stat().st_size - flow


def _maps_before(out: Path, row: ViewRow) -> tuple[int, int]:
    maps = read_maps(out, row)
    surface = np.isfinite(maps.depth)
    flow = len(npz_bytes({"flow": quantise_flow(maps.flow.frames, surface)}))
    apex = quantise_flow(maps.flow.apex, surface)
    step = np.array(FLOW_STEP)
    depth = depth_before(out, row)
    return flow, len(npz_bytes({"valid": maps.valid, "depth": depth, "apex_flow": apex, "flow_step": step}))


def depth_before(out: Path, row: ViewRow) -> np.ndarray:
    """Depth that is not rounded: the clip's own, which takes as much as that of a view."""
    from mvgen.store.geometry import read_geometry

    return read_geometry(out, row).depth.depth


def flow_of(frames: Image, row: ViewRow, face: Mask) -> ClipFlow:
    return clip_flow(frames, row.onset_index, row.apex_index, face, flow_methods(FlowConfig(), "cpu"))


def jpeg(frames: Image) -> Image:
    found = [cv2.imdecode(np.frombuffer(encode_frame(frame, "JPEG", False, 98), np.uint8), 1) for frame in frames]
    return np.stack(found)[..., ::-1].copy()


def brighter(frames: Image) -> Image:
    """A tenth of the pixels one grey level brighter."""
    chosen = np.random.default_rng(0).random(frames.shape[:3]) < 0.1
    return np.clip(frames.astype(int) + chosen[..., None], 0, 255).astype(np.uint8)


def losses(frames: Image, others: dict[str, Image], row: ViewRow, face: Mask) -> Iterator[tuple[str, list[float]]]:
    """Of each of the others: largest and mean error, medians and 95th percentiles of the change of flow."""
    first = flow_of(frames, row, face)
    for name, other in others.items():
        away = np.abs(other.astype(int) - frames)[:, face]
        again = flow_of(other, row, face)
        moved = np.linalg.norm(again.frames - first.frames, axis=-1)[:, face]
        apex = np.linalg.norm(again.apex - first.apex, axis=-1)[face]
        quantiles = [float(np.quantile(each, at)) for each in (moved, apex) for at in (0.5, 0.95)]
        yield name, [float(away.max()), float(away.mean()), *quantiles]


def measure(report: Report, name: str, root: Path, work: Path, chosen: argparse.Namespace) -> None:
    stores = {form: (work / form, build_store(root, work / form, form, chosen)) for form in _FORMATS}
    out, rows = stores["png"]
    sizes = {"before": parts_of(out, rows, before=True)}
    sizes |= {form: parts_of(place, some) for form, (place, some) in stores.items()}
    table = [
        [
            form,
            *(round(each) for each in (p.frames, p.flow, p.other_maps, p.geometry, p.all)),
            p.all / sizes["before"].all,
        ]
        for form, p in sizes.items()
    ]
    report.section(f"{name}: bytes a frame of a view")
    report.table(("format", "frames", "flow", "depth, mask", "geometry", "all", "of before"), table, digits=3)
    same = all(
        (work / form / one.maps).read_bytes() == (out / row.maps).read_bytes()
        for form, (_, some) in stores.items()
        for row, one in zip(rows, some, strict=True)
    )
    report.section(f"{name}: what is lost; maps are the same in all formats: {'yes' if same else 'NO'}")
    found = []
    for index, row in enumerate(rows):
        frames, face = read_frames(out, row), np.isfinite(read_maps(out, row, "none").depth)
        others = {form: read_frames(place, some[index]) for form, (place, some) in stores.items() if form != "png"}
        others |= {"jpeg 98": jpeg(frames), "one grey level": brighter(frames)}
        found += [[row.view, form, *numbers] for form, numbers in losses(frames, others, row, face)]
    header = ("view", "format", "largest", "mean", "flow", "flow, 95 %", "apex", "apex, 95 %")
    report.table(header, found, digits=4)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--frames", type=int, default=60, help="frames that are built of each video")
    parser.add_argument("--size", type=int, default=256, help="side of the views, pixels")
    parser.add_argument("--angles", default="-30,30", help="yaw angles of the side views")
    parser.add_argument("--video", type=Path, action="append", default=[], help="measure this video instead")
    parser.add_argument("--no-recording", action="store_true", help="leave the rendered recording out")
    chosen = parser.parse_args()
    report = Report(__file__, chosen, f"{chosen.size} pixels, {chosen.frames} frames, views source and {chosen.angles}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        roots = {path.stem: _folder_of(path, place / f"given-{index}") for index, path in enumerate(chosen.video)}
        if not roots:
            roots["photograph"] = place / "photograph"
            write_video(roots["photograph"] / "clip.mp4", swaying_photograph(chosen.frames))
            if not chosen.no_recording:
                roots["rendered stand-in"] = place / "recording"
                write_recording(roots["rendered stand-in"], chosen.frames)
        for index, (name, root) in enumerate(roots.items()):
            measure(report, name, root, place / f"stores-{index}", chosen)


def _folder_of(video: Path, folder: Path) -> Path:
    folder.mkdir()
    (folder / video.name).symlink_to(video.absolute())
    return folder


if __name__ == "__main__":
    run_script(main)
