"""How well faces that were never seen are reconstructed: the shipped weights beside a flat plane and a posed mean face.

    uv run benchmarks/reconstruction.py [--identities 60] [--weights FILE]

Held-out Anny heads, photographed as for training but from another seed, in crops that MTCNN's five points would give.
Depth in % of the inter-ocular distance, inside the face. The posed mean face is Anny's template, turned, scaled and
shifted onto the five points that MTCNN finds in the same picture. Prints a Markdown table with hardware and commit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from stages import commit, hardware

from mvgen.camera import crop_camera, pixel_grid
from mvgen.depth.data import make_samples
from mvgen.depth.predict import DepthEstimator
from mvgen.faces import FaceDetector
from mvgen.scans.anny import anny_heads
from mvgen.scans.head import HeadModel
from mvgen.scans.raycast import RayScene
from mvgen.scans.rotation import rotation

Floats = NDArray[np.floating]

SEED = 730_001  # training draws from other seeds
SIZE = 128


def posed_mean(model: HeadModel, points: Floats) -> NDArray[np.float32]:
    """Depth (S, S) of the template head posed onto five points (5, 2) of a crop, zero at its eyes, NaN beside it."""
    camera = crop_camera(SIZE)
    template = model.five_positions(model.canonical).astype(np.float64)
    target = np.stack([points[:, 0] - camera.centre[0], camera.centre[1] - points[:, 1]], axis=1) / camera.scale

    def place(vertices: Floats, pose: Floats) -> Floats:
        return np.exp(pose[3]) * vertices @ rotation(*pose[:3]).T + [pose[4], pose[5], 0]

    def miss(pose: Floats) -> Floats:
        # The likeliest pose: points with MTCNN's spread, angles with the spread that heads are drawn with.
        return np.concatenate([(place(template, pose)[:, :2] - target).ravel() / 0.035, pose[:3] / (7, 8, 4)])

    pose = least_squares(miss, np.zeros(6), x_scale=[5, 5, 5, 0.1, 0.1, 0.1]).x
    vertices = place(model.canonical.astype(np.float64), pose)
    vertices[:, 2] -= place(template, pose)[:2, 2].mean()
    hits = RayScene(vertices, model.triangles).cast(camera, pixel_grid(SIZE, SIZE))
    return np.where(hits.hit, hits.interpolate(model.triangles, vertices)[..., 2], np.nan).astype(np.float32)


def errors(depth: Floats, truth: Floats, known: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Mean absolute and RMS error, the mean absolute error about the means, in %; and the correlation."""
    known = known & np.isfinite(depth)
    difference = (depth - truth)[known]
    spread = depth[known].std() > 1e-6
    return (
        100 * float(np.abs(difference).mean()),
        100 * float(np.sqrt((difference**2).mean())),
        100 * float(np.abs(difference - difference.mean()).mean()),
        float(np.corrcoef(depth[known], truth[known])[0, 1]) if spread else float("nan"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=60)
    parser.add_argument("--weights", type=Path, default=None)
    chosen = parser.parse_args()
    samples = make_samples(SEED, 0, chosen.identities, 2, SIZE)
    predicted, _ = DepthEstimator(chosen.weights).predict(samples.colour)
    detector, model = FaceDetector("cpu"), anny_heads().model
    table: dict[str, list[tuple[float, float, float, float]]] = {
        "flat plane": [],
        "mean face posed on five points": [],
        "network": [],
    }
    missed = 0
    for image, depth, truth, face in zip(
        samples.colour, predicted, samples.depth.astype(np.float32), samples.face, strict=True
    ):
        found = detector.detect(image)
        if not len(found.points):
            missed += 1
            continue
        mean = posed_mean(model, found.points[found.confidence.argmax()])
        known = face & np.isfinite(truth) & np.isfinite(mean)
        flat = np.full_like(truth, np.median(truth[known]))
        for name, guess in (("flat plane", flat), ("mean face posed on five points", mean), ("network", depth)):
            table[name].append(errors(guess, truth, known))
    about = f"{len(table['network'])} pictures of {chosen.identities} heads, {missed} more without a found face"
    print(f"{hardware()}; commit {commit()}; {about}\n")
    print("| depth | MAE % | RMSE % | MAE about the mean % | correlation |\n|---|---|---|---|---|")
    for name, rows in table.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
