"""Ablation of the training: short runs on more and more corpora, then one without the fitted face.

    python benchmarks/quality/ablation.py --ict ICT-FaceKit --people 768 --epochs 2 --out ablation.json

All runs have the same number of people, pictures and steps, and are measured on unseen people: depth in % of the
inter-ocular distance; "change" is the correlation of predicted with true changes of expression; "still" the RMS change
where only noise changes. `--real` is the folder of `real_faces.py`: its depth and tilt-free depth, medians. Prints a
Markdown table for each run with hardware and commit, as soon as it is known.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import Report, command_line, run_script
from mvgen.core.config import BuildConfig
from mvgen.depth.estimator import load_network
from mvgen.evaluation.real_heads import MVGEN, measure, read_heads
from mvgen.pipeline.tools import Tools
from mvgen.scans import open_corpus
from mvgen.training.depth import evaluate, load_training_config, train
from mvgen.training.depth_data import make_samples

SEED = 730_003  # training draws from other seeds
CONFIG = Path(__file__).parents[2] / "configs" / "depth.yaml"
FIGURES = {
    "mae_percent": "MAE %", "fit_mae_percent": "fit alone", "change_correlation": "change", "still_percent": "still %",
}  # fmt: skip


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--ict", type=Path, help="a clone of ICT-FaceKit")
    parser.add_argument("--photos", type=Path, help="a folder of frontal photographs")
    parser.add_argument("--real", type=Path, help="heads to measure on, see real_faces.py")
    parser.add_argument("--data", type=Path, help="where rendered pictures are kept")
    parser.add_argument("--people", type=int, default=768, help="in all; best a multiple of 96, as they are kept by 16")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--held-out", type=int, default=48, help="people of each corpus to measure on")
    chosen = parser.parse_args()
    config = load_training_config(CONFIG)
    roots = {name: root for name, root in {"ict": chosen.ict, "photos": chosen.photos}.items() if root}
    names = ["anny", *roots]
    tests = {}
    for name in [name for name in names if name != "photos"]:
        samples = make_samples(
            open_corpus(name, roots.get(name)), SEED, first=0, people=chosen.held_out, per_person=4, size=config.size
        )
        # A network without the fit is measured at the same pixels as the others.
        tests[name] = replace(samples, face=samples.face & np.isfinite(samples.fit[..., 0]))
    about = f"{chosen.people} people, {chosen.epochs} epochs at 64 pixels, {chosen.held_out} others of each corpus"
    report = Report(__file__, chosen, about)
    titles = [f"{name}: {title}" for name in tests for title in FIGURES.values()]
    titles += ["real: depth", "tilt-free"] if chosen.real else []
    rows = [(", ".join(names[:count]), names[:count], True) for count in range(1, len(names) + 1)]
    rows.append((f"{rows[-1][0]}, without the fit", names, False))
    with tempfile.TemporaryDirectory() as folder:
        for title, corpora, fitted in rows:
            update = {
                "people": dict.fromkeys(corpora, chosen.people // len(corpora)),
                "epochs": ((64, chosen.epochs),),
                "fitted": fitted,
            }
            weights = train(
                config.model_copy(update=update), Path(folder) / title,
                corpora={name: roots.get(name) for name in corpora},
                data=chosen.data or Path(folder) / "data", report=lambda _: None,
            )  # fmt: skip
            network, size = load_network(weights)
            cells: list[float] = []
            for samples in tests.values():
                figures = evaluate(network, samples, np.arange(len(samples.identity)), torch.device("cpu"), size)
                cells += [figures.get(figure, float("nan")) for figure in FIGURES]
            if chosen.real:
                tools = Tools.load(BuildConfig(geometry={"weights": weights}))
                found = measure(read_heads(chosen.real)[0], tools, print, with_views=False)
                cells += [*np.median([scores.depth[MVGEN][:2] for scores in found.values()], axis=0)]
            report.table(["trained with", *titles], [[title, *cells]])


if __name__ == "__main__":
    run_script(main)
