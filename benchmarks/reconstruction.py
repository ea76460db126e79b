"""How well faces that were never seen are reconstructed, beside a flat plane, a posed mean face and the fit alone.

    uv run benchmarks/reconstruction.py [--identities 60] [--ict DIR] [--ict-faces 200] [--pairs 12]
        [--weights "Anny alone=FILE"]... [--scans stirling --root DIR]

Heads photographed as for training, twice each, from seeds that training never draws from: Anny's, with `--ict` those of
a clone of ICT-FaceKit, with `--scans` those of a corpus. Depth inside the face, in % of the inter-ocular distance and
in mm. The posed mean face is Anny's template, turned, scaled and shifted onto the 68 true visible landmarks; or the
face model's mean, posed as the model is fitted. Then: parts of the face, landmarks, expressions and their changes, and
what moves in still faces. `--weights` may be given more than once; without it the shipped ones are measured.
Prints Markdown with hardware and commit.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
from depth_metrics import DepthErrors, depth_errors, landmark_errors, mean_errors
from expressions import EXPRESSIONS, Pair, agreement, photograph_pairs
from mean_face import mean_alone, posed_mean
from numpy.typing import NDArray
from stages import commit, hardware
from stillness import MODES, Still, astronaut, jitters, noisy
from tables import table

from mvgen.core.camera import EYE_DISTANCE, crop_camera
from mvgen.core.config import BuildConfig
from mvgen.core.errors import MvgenError
from mvgen.core.landmarks68 import EYE_LEFT, EYE_RIGHT, MOUTH, REGIONS, region_mask
from mvgen.core.records import FacePoints, Image, Mask
from mvgen.faces.landmarks import ibug_landmarks
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import fit_image
from mvgen.pipeline.clip import Tools
from mvgen.scans import open_corpus
from mvgen.scans.corpora.anny import AnnyHeads, anny_heads
from mvgen.scans.corpora.ict import IctHeads, ict_heads
from mvgen.scans.looks.appearance import Look
from mvgen.scans.records import Corpus
from mvgen.training.depth_data import Samples, make_samples

Floats = NDArray[np.floating]
Nets = Mapping[str, Tools]

SEED, PAIR_SEED = 730_001, 730_002  # training draws from other seeds
NOISES = (2.0, 5.0)  # sigma of sensor noise, of 255
FIT, MEAN_TRUE, MEAN_FOUND = "fit alone", "posed mean face, true landmarks", "posed mean face, landmarks found"
# Parts of a face that landmarks enclose: regions, and inter-ocular distances beyond them.
PARTS = {
    "mouth": (("mouth",), 0.12),
    "nose": (("nose",), 0.08),
    "eyes": (("eye left", "eye right"), 0.06),
    "brows": (("brow left", "brow right"), 0.08),
}
WORSE = 1.03  # more than this times the fit's error is worse than the fit


def reconstructions(colour: Image, fit: NDArray[np.float32], nets: Nets) -> dict[str, NDArray[np.float32]]:
    """Depth (B, S, S) of pictures (B, S, S, 3): the fit's (B, S, S, 4), and what each network makes of it."""
    return {FIT: fit[..., 0], **{name: tools.estimator.predict(colour, fit).depth for name, tools in nets.items()}}


def known_face(samples: Samples) -> Mask:
    """(B, S, S) bool, face whose depth is known and that the fit covers: where all ways are compared."""
    return np.asarray(samples.face & np.isfinite(samples.depth) & np.isfinite(samples.fit[..., 0]))


def depth_rows(samples: Samples, found: dict[str, NDArray[np.float32]], seen: FacePoints) -> list[list[str | float]]:
    """A row for each way to get depth: the mean of each error over the pictures, and MAE over that of the posed mean.

    found : by `reconstructions`; beside a posed mean face its median depth goes on
    """
    heads, average, size = anny_heads().model, mean_alone(face_model()), samples.colour.shape[1]
    camera = crop_camera(size)
    errors: dict[str, list[DepthErrors]] = {}
    for index, (truth, known) in enumerate(zip(samples.depth.astype(np.float32), known_face(samples), strict=True)):
        if known.sum() < 100:
            continue
        ways: dict[str, Floats] = {"flat plane": np.full_like(truth, np.median(truth[known]))}
        points = np.where(samples.visible[index, :, None], samples.landmarks[index], np.nan)
        if np.isfinite(points).all(axis=1).sum() > 5:
            ways[MEAN_TRUE] = posed_mean(heads, points, size)
        posed = fit_face(seen.points[index : index + 1], camera, average)
        ways[MEAN_FOUND] = fit_image(camera, posed.vertices[0])[..., 0]
        ways |= {name: depth[index] for name, depth in found.items()}
        for name, way in ways.items():
            spread = np.where(np.isfinite(way), way, np.nanmedian(way))
            one = depth_errors(spread, truth, known, EYE_DISTANCE * size, float(samples.metre[index]))
            errors.setdefault(name, []).append(one)
    means = {name: mean_errors(each) for name, each in errors.items()}
    baseline = means.get(MEAN_TRUE, means[MEAN_FOUND]).mae
    return [[name, *astuple(mean), 100 * mean.mae / baseline] for name, mean in means.items()]


def face_parts(landmarks: Floats, face: Mask) -> dict[str, Mask]:
    """A face (S, S) in parts, by its 68 landmarks (68, 2), pixels."""
    parts, left = {}, face.copy()
    for name, (regions, margin) in PARTS.items():
        parts[name] = left & region_mask(landmarks, len(face), regions, margin)
        left &= ~parts[name]
    row = np.arange(len(face))[:, None] + 0.5
    above = row < (landmarks[EYE_LEFT, 1].mean() + landmarks[EYE_RIGHT, 1].mean()) / 2
    below = row > landmarks[MOUTH, 1].max()
    return parts | {"forehead": left & above, "chin": left & below, "cheeks": left & ~above & ~below}


def part_errors(
    samples: Samples, found: dict[str, NDArray[np.float32]], landmarks: Floats
) -> dict[str, dict[str, list[float]]]:
    """By part of the face and way, the error in each picture, % of the inter-ocular distance; NaN where it is unseen.

    landmarks : (B, 68, 2) pixels
    """
    errors: dict[str, dict[str, list[float]]] = {}
    for index, known in enumerate(known_face(samples)):
        for part, where in face_parts(landmarks[index], known).items():
            for name, depth in found.items():
                away = np.abs(depth[index] - samples.depth[index])[where]
                errors.setdefault(part, {}).setdefault(name, []).append(
                    100 * float(away.mean()) if len(away) else np.nan
                )
    return errors


def beside_fit(title: str, errors: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """A table of mean errors, and where networks are worse than the fit; errors : row -> way -> of each picture."""
    means = {row: {name: float(np.nanmean(each)) for name, each in ways.items()} for row, ways in errors.items()}
    nets = [name for name in next(iter(means.values())) if name != FIT]
    rows: list[list[str | float]] = [
        [row, ways[FIT], *(cell for name in nets for cell in (ways[name], ways[name] / ways[FIT]))]
        for row, ways in means.items()
    ]
    header = [title, FIT, *(cell for name in nets for cell in (name, "/ fit"))]
    worse = [f"{name}, {row}" for row, ways in means.items() for name in nets if ways[name] > WORSE * ways[FIT]]
    return f"{table(header, rows)}\nWorse than the fit by more than 3 %: {'; '.join(worse) or 'nowhere'}.\n"


def landmark_row(samples: Samples, landmarks: Floats) -> list[str | float]:
    """NME of all landmarks (B, 68, 2), of the visible ones, and of the visible ones in each region."""
    errors = landmark_errors(landmarks, samples.landmarks)
    shown = np.where(samples.visible, errors, np.nan)
    parts = [float(np.nanmean(shown[:, region])) for region in REGIONS.values()]
    return ["face mesh", float(np.nanmean(errors)), float(np.nanmean(shown)), *parts]


def corpus_section(title: str, corpus: Corpus, people: int, size: int, nets: Nets) -> None:
    """Print the tables of depth and landmarks of one corpus."""
    samples = make_samples(corpus, SEED, first=0, people=people, per_person=2, size=size)
    seen = next(iter(nets.values())).landmarker.find(samples.colour)
    used = seen.confidence > 0.5
    refused = f"; {np.sum(~used)} others the landmarker refuses, as in a build" if not used.all() else ""
    samples = Samples(*(getattr(samples, field.name)[used] for field in fields(Samples)))
    seen = FacePoints(seen.points[used], seen.confidence[used])
    found, landmarks = reconstructions(samples.colour, samples.fit.astype(np.float32), nets), ibug_landmarks(seen)
    print(f"## {title}: {len(samples.colour)} photographs of {len(set(samples.identity))} people{refused}\n")
    header = ["depth", "MAE %", "RMSE %", "MAE mm", "RMSE mm", "normal °", "scale error", "tilt °", "correlation"]
    print(table([*header, "MAE, % of the posed mean's"], depth_rows(samples, found, seen)))
    print(beside_fit("MAE %, part of the face", part_errors(samples, found, landmarks)), flush=True)
    if np.isfinite(samples.landmarks).any():
        header = ["landmarks, NME %", "all", "visible", *REGIONS]
        print(table(header, [landmark_row(samples, landmarks)]), flush=True)


def expression_section(title: str, heads: AnnyHeads | IctHeads, people: int, size: int, nets: Nets) -> None:
    """Print the tables of faces with an expression, and of what changes between them and the neutral face."""
    pairs: list[Pair] = []
    for number in range(people):
        generator = np.random.default_rng([PAIR_SEED, number])
        person = heads.sample_identities(generator, 1)[0]
        pairs += photograph_pairs(heads.model, person, Look.draw(generator), generator, size)
    print(f"## {title}: {len(pairs)} changes of expression of {people} people\n")
    colour, fit = (np.concatenate([getattr(pair, name) for pair in pairs]) for name in ("colour", "fit"))
    found = reconstructions(colour, fit, nets)
    errors: dict[str, dict[str, list[float]]] = {}
    for name, depth in found.items():
        for index, pair in enumerate(pairs):
            for group, one, truth in zip(("neutral", pair.group), depth[2 * index :], pair.depth, strict=False):
                away = 100 * float(np.abs(one - truth)[pair.face].mean())
                errors.setdefault(group, {}).setdefault(name, []).append(away)
    print(beside_fit("MAE %, expression", errors))
    rows: list[list[str | float]] = []
    for name, depth in found.items():
        changes = list(depth[1::2] - depth[::2])
        for group in (*EXPRESSIONS, "all"):
            chosen = [index for index, pair in enumerate(pairs) if group in (pair.group, "all")]
            follows = agreement([pairs[index] for index in chosen], [changes[index] for index in chosen])
            rows.append([f"{name}: {group}", str(follows.pairs), follows.correlation, follows.slope, follows.each])
    print(table(["expression - neutral", "pairs", "correlation", "slope", "mean of the pairs' own"], rows), flush=True)


def jitter_section(stills: Sequence[Still], nets: Nets) -> None:
    """Print the table of false motion in still faces with noise, for a build's ways to make a clip's geometry."""
    rows: list[list[str | float]] = []
    for name, tools in nets.items():
        for still in stills:
            for sigma in NOISES:
                found = jitters(noisy(still, sigma), tools)
                rows.append([f"{name}: {still.name}, sigma {sigma:.0f}", *(found[how] for how in MODES)])
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
    named = chosen.weights or [("shipped", None)]
    nets = {name: Tools.load(BuildConfig(geometry={"weights": path}, run={"device": "cpu"})) for name, path in named}
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
