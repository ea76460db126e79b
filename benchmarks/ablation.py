"""What each part of the training is worth: short runs that differ in one thing, on people none of them saw.

    uv run benchmarks/ablation.py --ict DIR [--data DIR] [--people 400] [--epochs 2] [--only NAME]...

Each run has as many pictures and steps as the others. Depth and landmarks in % of the inter-ocular distance; "change"
is the correlation of predicted with true changes of expression; "still" the RMS change where only noise changes.
Prints a Markdown table with hardware and commit, a row as soon as it is known.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from stages import commit, hardware

from mvgen.depth.data import make_samples
from mvgen.depth.network import FaceDepthNetwork
from mvgen.depth.predict import load_weights
from mvgen.depth.train import evaluate, load_training_config, train
from mvgen.scans import open_corpus

SEED = 730_003  # training draws from other seeds
CONFIG = Path(__file__).parent.parent / "configs" / "depth_anny.yaml"
FIGURES = ("mae_percent", "landmark_percent", "change_correlation", "still_percent")
# Name -> what differs from the shipped recipe; "Anny alone" sees as many people, all of them Anny's. Framing anew and
# soiling are for long runs, which see a picture often: a run as short as these has not yet begun to remember.
ROWS: dict[str, dict[str, float]] = {
    "smooth L1 on depth (paper, eq. 1-2)": {
        "gradient_weight": 0,
        "change_weight": 0,
        "landmark_weight": 0,
        "augment": False,
    },
    "+ slope": {"change_weight": 0, "landmark_weight": 0, "augment": False},
    "+ slope, change": {"landmark_weight": 0, "augment": False},
    "+ slope, change, landmarks": {"augment": False},
    "+ slope, change, landmarks, augmented (shipped recipe)": {},
    "shipped recipe, Anny alone": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ict", type=Path, required=True, help="a clone of ICT-FaceKit")
    parser.add_argument("--data", type=Path, help="where rendered pictures are kept")
    parser.add_argument("--people", type=int, default=400, help="of each corpus")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--held-out", type=int, default=48, help="people of each corpus to measure on")
    parser.add_argument("--only", action="append", choices=list(ROWS))
    chosen = parser.parse_args()
    config = load_training_config(CONFIG)
    both: dict[str, Path | None] = {"anny": None, "ict": chosen.ict}
    tests = {
        name: make_samples(
            open_corpus(name, root), SEED, first=0, people=chosen.held_out, per_person=4, size=config.size
        )
        for name, root in both.items()
    }
    about = f"{2 * chosen.people} people, {chosen.epochs} epochs at 64 pixels, {chosen.held_out} others of each corpus"
    print(f"{hardware()}; commit {commit()}; {about}\n")
    titles = ("MAE %", "landmarks %", "change", "still %")
    print("| trained with | " + " | ".join(f"{name}: {title}" for name in tests for title in titles) + " |")
    print("|---" * (1 + len(tests) * len(titles)) + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, difference) in enumerate(ROWS.items()):
            if chosen.only and name not in chosen.only:
                continue
            alone = "alone" in name
            people = {"anny": 2 * chosen.people} if alone else {"anny": chosen.people, "ict": chosen.people}
            update = {"people": people, "epochs": ((64, chosen.epochs),), **difference}
            out = Path(folder) / str(number)
            weights = train(
                config.model_copy(update=update), out, corpora={"anny": None} if alone else both,
                data=chosen.data or Path(folder) / "data", report=lambda _: None,
            )  # fmt: skip
            network = FaceDepthNetwork()
            size = load_weights(network, weights)
            cells = []
            for samples in tests.values():
                figures = evaluate(network, samples, np.arange(len(samples.identity)), torch.device("cpu"), size)
                cells += [f"{figures[figure]:.2f}" for figure in FIGURES]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
