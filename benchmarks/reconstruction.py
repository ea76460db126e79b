"""How well faces that were never seen are reconstructed, beside a flat plane and a posed mean face.

    uv run benchmarks/reconstruction.py [--identities 60] [--ict DIR] [--ict-faces 200] [--pairs 12]
        [--weights "Anny alone=FILE"]... [--scans stirling --root DIR]

Heads photographed as for training, twice each, from seeds that training never draws from: Anny's, with `--ict` those of
a clone of ICT-FaceKit, with `--scans` those of a corpus. Depth inside the face, in % of the inter-ocular distance and
in mm. The posed mean face is Anny's template, turned, scaled and shifted onto 68 landmarks: the true visible ones, or
those that the network finds. Then: landmarks, changes of expression, and what moves in still faces. `--weights` may be
given more than once; without it the shipped ones are measured. Prints Markdown with hardware
and commit.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from depth_metrics import DepthErrors, depth_errors, landmark_errors, mean_errors
from expressions import EXPRESSIONS, Pair, agreement, photograph_pairs
from mean_face import posed_mean
from numpy.typing import NDArray
from stages import commit, hardware
from stillness import MODES, Still, astronaut, jitters, noisy
from tables import table

from mvgen.camera import EYE_DISTANCE
from mvgen.depth.data import Samples, make_samples
from mvgen.depth.predict import DepthEstimator
from mvgen.errors import MvgenError
from mvgen.faces.detection import FaceDetector
from mvgen.ibug import REGIONS
from mvgen.records import FacePrediction
from mvgen.scans import open_corpus
from mvgen.scans.anny import AnnyHeads, anny_heads
from mvgen.scans.appearance import Look
from mvgen.scans.ict import IctHeads, ict_heads
from mvgen.scans.records import Corpus

Floats = NDArray[np.floating]

SEED, PAIR_SEED = 730_001, 730_002  # training draws from other seeds
NOISES = (2.0, 5.0)  # sigma of sensor noise, of 255


@dataclass(frozen=True, slots=True)
class Network:
    """Weights to be measured, under a name."""

    name: str
    estimator: DepthEstimator


def depth_rows(samples: Samples, predicted: dict[str, FacePrediction]) -> list[list[str | float]]:
    """A row for each way to get depth: the mean of each error over the pictures, and MAE over that of the posed mean.

    All ways are compared on the same pixels, face of known depth; beside a posed mean face its median depth goes on.
    """
    model, size = anny_heads().model, samples.colour.shape[1]
    found: dict[str, list[DepthErrors]] = {}
    for index, (truth, face) in enumerate(zip(samples.depth.astype(np.float32), samples.face, strict=True)):
        ways: dict[str, Floats] = {}
        true_points = np.where(samples.visible[index, :, None], samples.landmarks[index], np.nan)
        if np.isfinite(true_points).all(axis=1).sum() > 5:
            ways["posed mean face, true landmarks"] = posed_mean(model, true_points, size)
        for name, seen in predicted.items():
            points = np.where(seen.visible[index, :, None] > 0.5, seen.landmarks[index], np.nan)
            if np.isfinite(points).all(axis=1).sum() > 5:
                ways[f"posed mean face, landmarks of {name}"] = posed_mean(model, points, size)
            ways[name] = seen.depth[index]
        known = face & np.isfinite(truth)
        if known.sum() < 100:
            continue
        ways = {"flat plane": np.full_like(truth, np.median(truth[known])), **ways}
        for name, way in ways.items():
            spread = np.where(np.isfinite(way), way, np.nanmedian(way) if np.isfinite(way).any() else 0.0)
            errors = depth_errors(spread, truth, known, EYE_DISTANCE * size, float(samples.metre[index]))
            found.setdefault(name, []).append(errors)
    means = {name: mean_errors(errors) for name, errors in found.items()}
    baseline = means.get("posed mean face, true landmarks")
    return [
        [name, *astuple(mean), 100 * mean.mae / baseline.mae if baseline else float("nan")]
        for name, mean in means.items()
    ]


def landmark_rows(samples: Samples, predicted: dict[str, FacePrediction]) -> list[list[str | float]]:
    """A row for each network: NME of all landmarks, of the visible ones, and of the visible ones in each region."""
    rows: list[list[str | float]] = []
    for name, seen in predicted.items():
        errors = landmark_errors(seen.landmarks, samples.landmarks)
        shown = np.where(samples.visible, errors, np.nan)
        parts = [float(np.nanmean(shown[:, region])) for region in REGIONS.values()]
        rows.append([name, float(np.nanmean(errors)), float(np.nanmean(shown)), *parts])
    return rows


def corpus_section(title: str, corpus: Corpus, people: int, size: int, nets: Sequence[Network]) -> None:
    """Print the tables of depth and landmarks of one corpus."""
    samples = make_samples(corpus, SEED, first=0, people=people, per_person=2, size=size)
    predicted = {net.name: net.estimator.predict(samples.colour) for net in nets}
    print(f"## {title}: {len(samples.colour)} photographs of {len(set(samples.identity))} people\n")
    header = ["depth", "MAE %", "RMSE %", "MAE mm", "RMSE mm", "normal °", "scale error", "tilt °", "correlation"]
    print(table([*header, "MAE, % of the posed mean's"], depth_rows(samples, predicted)), flush=True)
    if np.isfinite(samples.landmarks).any():
        print(table(["landmarks, NME %", "all", "visible", *REGIONS], landmark_rows(samples, predicted)), flush=True)


def expression_section(
    title: str, heads: AnnyHeads | IctHeads, people: int, size: int, nets: Sequence[Network]
) -> None:
    """Print the table of changes between a neutral face and the same with an expression."""
    pairs: list[Pair] = []
    for number in range(people):
        generator = np.random.default_rng([PAIR_SEED, number])
        person = heads.sample_identities(generator, 1)[0]
        pairs += photograph_pairs(heads.model, person, Look.draw(generator), generator, size)
    print(f"## {title}: {len(pairs)} changes of expression of {people} people\n")
    rows: list[list[str | float]] = []
    for net in nets:
        depth = net.estimator.predict(np.concatenate([pair.colour for pair in pairs])).depth
        changes = list(depth[1::2] - depth[::2])
        for group in (*EXPRESSIONS, "all"):
            chosen = [index for index, pair in enumerate(pairs) if group in (pair.group, "all")]
            fit = agreement([pairs[index] for index in chosen], [changes[index] for index in chosen])
            rows.append([f"{net.name}: {group}", str(fit.pairs), fit.correlation, fit.slope, fit.each])
    print(table(["expression - neutral", "pairs", "correlation", "slope", "mean of the pairs' own"], rows), flush=True)


def jitter_section(stills: Sequence[Still], nets: Sequence[Network]) -> None:
    """Print the table of false motion in still faces with noise, for a build's ways to make a clip's geometry."""
    detector = FaceDetector("cpu")
    rows: list[list[str | float]] = []
    for net in nets:
        for still in stills:
            for sigma in NOISES:
                found = jitters(noisy(still, sigma), net.estimator, detector)
                rows.append([f"{net.name}: {still.name}, sigma {sigma:.0f}", *(found[how] for how in MODES)])
    print("## Still faces: RMS change of depth between frames, % of the inter-ocular distance\n")
    print(table(["clip", *MODES], rows, digits=4), flush=True)


def rendered_stills(count: int) -> list[Still]:
    """Rendered heads that stand-ins of a release would show, without noise."""
    from dataclasses import replace

    from stand_ins import film

    from mvgen.synth.plan import plan_release

    stills = []
    for plan in plan_release("casme2", count, 1, 3, seed=SEED) if count else ():
        generator = np.random.default_rng([SEED, plan.subject])
        heads = anny_heads()
        person = heads.sample_identities(generator, 1, spread=0.25)[0], Look.draw(generator, plain=True)
        first = replace(plan, numbers=plan.numbers[:1], onset=0, apex=0, offset=0)
        take = film(first, heads.model, person, (480, 360), 0.0, moves=False)
        stills.append(Still(f"rendered head {plan.subject + 1}", take.frames[0]))
    return stills


def weights_of(text: str) -> tuple[str, Path]:
    """`NAME=FILE` or `FILE`, which is named after itself."""
    name, found, path = text.rpartition("=")
    return (name, Path(path)) if found else (Path(text).stem, Path(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=60, help="people of each corpus but ICT's")
    parser.add_argument("--ict", type=Path, help="a clone of ICT-FaceKit")
    parser.add_argument("--ict-faces", type=int, default=200)
    parser.add_argument("--scans", choices=("facescape", "stirling"), help="a corpus of scans, with its --root")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--pairs", type=int, default=12, help="people whose expressions are measured")
    parser.add_argument("--stills", type=int, default=3, help="rendered heads in still clips")
    parser.add_argument("--size", type=int, default=128, help="side of the photographs, pixels")
    parser.add_argument("--weights", type=weights_of, action="append", metavar="[NAME=]FILE")
    chosen = parser.parse_args()
    try:
        measure(chosen)
    except MvgenError as error:
        parser.error(str(error))


def measure(chosen: argparse.Namespace) -> None:
    """Print every section that was asked for."""
    size = chosen.size
    nets = [Network(name, DepthEstimator(path, "cpu")) for name, path in chosen.weights or [("shipped", None)]]
    print(f"{hardware()}; commit {commit()}\n")
    corpus_section("Anny, held out", open_corpus("anny"), chosen.identities, size, nets)
    if chosen.ict:
        corpus_section("ICT", open_corpus("ict", chosen.ict), chosen.ict_faces, size, nets)
    if chosen.scans:
        corpus_section(chosen.scans, open_corpus(chosen.scans, chosen.root), chosen.identities, size, nets)
    expression_section("Anny, held out", anny_heads(), chosen.pairs, size, nets)
    if chosen.ict:
        expression_section("ICT", ict_heads(chosen.ict), chosen.pairs, size, nets)
    jitter_section([astronaut(), *rendered_stills(chosen.stills)], nets)


if __name__ == "__main__":
    main()
