"""Speed of rendering and texture projection on one core: pyrender, raycast and grid, with the same meshes.

    python benchmarks/speed/renderers.py --size 256 --frames 20 --rounds 5 --out renderers.json

A view is everything `render` gives: depth, source places, valid, coverage. Ten yaws from -45 to 45 degrees of a face of
known shape; work per mesh is done before and has its own column. The renderers take turns and the best round of each
counts, since the machine may do other work. Prints Markdown with hardware and commit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.common import Report, command_line, run_script
from mvgen.core.camera import Camera, crop_camera, pixel_grid
from mvgen.core.errors import MvgenError
from mvgen.core.records import DepthMap, Image, Mesh
from mvgen.evaluation.tables import Rows
from mvgen.render import RENDERERS, Renderer, get_renderer, project_texture
from mvgen.render.mesh import mesh_from_depth, smooth_outline

YAWS = tuple(range(-45, 46, 10))
SWEEPS = 5  # over the yaws, in a row, so that caches are warm
GRAZING = 65.0


def face(camera: Camera) -> Mesh:
    """An ellipsoid with a nose, as large in the crop as faces are: about 35,000 vertices at 256 pixels."""
    at = pixel_grid(camera.size, camera.size)
    x, y = (at[..., 0] - camera.centre[0]) / camera.scale, -(at[..., 1] - camera.centre[1]) / camera.scale
    room = 1 - (x / 1.2) ** 2 - ((y + 0.3) / 1.65) ** 2
    nose = 0.35 * np.exp(-((x / 0.15) ** 2) - ((y + 0.5) / 0.25) ** 2)
    depth = np.where(room > 0.05, -0.9 + np.sqrt(np.clip(room, 0, None)) + nose, np.nan).astype(np.float32)
    return smooth_outline(mesh_from_depth(DepthMap(depth, np.ones_like(depth), camera)), camera)


def frames(count: int, size: int) -> Image:
    """(T, S, S, 3) crops of the photograph that comes with scikit-image."""
    from skimage.data import astronaut
    from skimage.transform import resize

    picture = np.asarray(255 * resize(astronaut()[:256, 96:352], (size, size)), np.uint8)
    return np.stack([np.roll(picture, index, axis=1) for index in range(count)])


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def cameras(source: Camera, pitch: float = 0.0) -> list[Camera]:
    return [source.at(float(yaw), pitch) for yaw in YAWS]


def one_by_one(renderer: Renderer, mesh: Mesh, views: Sequence[Camera]) -> None:
    for camera in views:
        renderer.render(mesh, camera, GRAZING)


def measure(work: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The best of several rounds, all taking turns; the first round warms up and does not count."""
    times = [{name: each() for name, each in work.items()} for _ in range(rounds + 1)][1:]
    return {name: min(round_[name] for round_ in times) for name in work}


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where grid runs")
    chosen = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # numpy and Mesa's software driver would start threads
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    source = crop_camera(chosen.size)
    mesh, crops = face(source), frames(chosen.frames, chosen.size)

    def first_view(renderer: Renderer) -> float:
        # A new record of the same arrays, so that nothing cached for a mesh is used.
        fresh = Mesh(mesh.vertices, mesh.triangles, mesh.uv)
        return milliseconds(lambda: renderer.render(fresh, source, GRAZING))

    def views(renderer: Renderer, pitch: float) -> float:
        renderer.render(mesh, source, GRAZING)
        return milliseconds(lambda: one_by_one(renderer, mesh, SWEEPS * cameras(source, pitch))) / (SWEEPS * len(YAWS))

    found: dict[str, Renderer] = {}
    for name in RENDERERS:
        try:
            found[name] = get_renderer(name, chosen.device)
        except MvgenError as error:
            print(f"{name} left out: {error}")
    work: dict[str, Callable[[], float]] = {}
    for name, renderer in found.items():
        work[f"{name} yaw"] = lambda renderer=renderer: views(renderer, 0.0)
        work[f"{name} pitch"] = lambda renderer=renderer: views(renderer, 5.0)
        work[f"{name} first"] = lambda renderer=renderer: first_view(renderer)
    if "grid" in found:
        grid = found["grid"]
        seen = grid.render(mesh, source.at(25.0), GRAZING)
        work["texture"] = lambda: milliseconds(lambda: project_texture(seen, crops)) / len(crops)
        work["texture one"] = lambda: milliseconds(lambda: project_texture(seen, crops[:1]))
    best = measure(work, chosen.rounds)

    report = Report(__file__, chosen, f"one core; {chosen.size} x {chosen.size}, {len(mesh.vertices)} vertices")
    slow = best.get("pyrender yaw", float("nan"))
    rows: Rows = [
        [name, best[f"{name} yaw"], slow / best[f"{name} yaw"], best[f"{name} pitch"], best[f"{name} first"]]
        for name in found
    ]
    report.table(["renderer", "ms a view", "times pyrender", "ms, pitch 5°", "ms, first view of a mesh"], rows)
    if "grid" in found:
        rows = [[f"{chosen.frames} frames", best["texture"]], ["one", best["texture one"]]]
        report.table(["texture projection", "ms a frame"], rows)


if __name__ == "__main__":
    run_script(main)
