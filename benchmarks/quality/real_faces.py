"""Errors of real heads reconstructed from one photograph: depth, compared with simpler methods, and side views.

    python benchmarks/quality/real_faces.py --data HEADS --out real_faces.json

HEADS holds a folder per head: `yaw+00.png`, which is reconstructed as by `mvgen reconstruct`; the true side views,
`yaw+15.png` and so on, where there are any; and `truth.npz` with the ground truth of `yaw+00.png`: `depth` (H, W),
pixels toward the camera, NaN where no head is; `points` (468, 2), the face mesh; `mm_per_pixel`, NaN where it is
unknown.

    depth      mean error at the points of the face after fitting scale and shift, without outliers; in mm,
               or, where not all scans have a scale, in % of the distance between the outer corners of the eyes
    tilt-free  the same after removing a plane too; tilt: angle of that plane, degrees
    scale      the fitted factor of depth
    views      PSNR and SSIM in the valid pixels without their rim, at the best-fitting shift

All methods are measured at the points that `mvgen reconstruct` finds. Prints Markdown with hardware and commit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.common import Report, command_line, run_script
from mvgen.core.config import BuildConfig
from mvgen.evaluation.real_heads import SIZE, Scores, measure, read_heads
from mvgen.evaluation.tables import Rows
from mvgen.pipeline.tools import Tools


def report_depth(report: Report, found: dict[str, Scores], unit: str) -> None:
    """Report a row for each head and method, then one for each method: median and 90th percentile over the heads."""
    header = [f"depth, {unit}", "tilt-free", "tilt °", "scale"]
    rows: Rows = [[f"{name}: {way}", *score] for name, scores in found.items() for way, score in scores.depth.items()]
    report.table(["head", *header], rows)
    rows = []
    for way in next(iter(found.values())).depth:
        figures = np.array([scores.depth[way] for scores in found.values()])
        figures[:, 3] = 100 * np.abs(figures[:, 3] - 1)
        both = np.percentile(figures, (50, 90), axis=0).T
        rows.append([way, *("-" if np.isnan(pair).any() else "{:.2f} / {:.2f}".format(*pair) for pair in both)])
    report.table([f"{len(found)} heads: median / 90th percentile", *header[:3], "scale, % off"], rows)


def report_views(report: Report, found: dict[str, Scores]) -> None:
    """Report a row of PSNR / SSIM for each head, then their median and 10th percentile."""
    yaws = sorted({yaw for scores in found.values() for yaw in scores.views})
    if not yaws:
        return
    unknown = (float("nan"),) * 2
    figures = np.array([[scores.views.get(yaw, unknown) for yaw in yaws] for scores in found.values()])
    figures = np.concatenate([figures, np.nanmean(figures, axis=1, keepdims=True)], axis=1)
    named = dict(zip(found, figures, strict=True))
    named |= {"median": np.nanmedian(figures, axis=0), "10th percentile": np.nanpercentile(figures, 10, axis=0)}
    rows = [[name, *(f"{psnr:.1f} / {ssim:.3f}" for psnr, ssim in row)] for name, row in named.items()]
    report.table(["PSNR dB / SSIM", *(f"{yaw:+g}" for yaw in yaws), "mean"], rows)


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    chosen = parser.parse_args()
    heads, unit = read_heads(chosen.data)
    tools = Tools.load(BuildConfig(geometry={"weights": chosen.weights}, run={"device": "cpu"}))
    report = Report(__file__, chosen, f"{len(heads)} heads, {SIZE} pixels")
    found = measure(heads, tools, print)
    if found:
        report_depth(report, found, unit)
        report_views(report, found)


if __name__ == "__main__":
    run_script(main)
