"""Errors of reconstruction on unseen faces, compared with a flat plane, a posed mean face and the fit alone.

    python benchmarks/quality/reconstruction.py --ict ICT-FaceKit --weights "Anny alone=FILE" --out reconstruction.json

Heads are photographed as for training, twice each, with seeds that training does not use: Anny's, with `--ict` those of
a clone of ICT-FaceKit, with `--scans` those of a corpus. Depth inside the face, in % of the inter-ocular distance and
in mm. The posed mean face is Anny's template, turned, scaled and shifted onto the 68 true visible landmarks; or the
face model's mean, posed as the model is fitted. Then: parts of the face, landmarks, expressions and their changes, and
false motion in still faces. `--weights` may be given more than once; without it the shipped ones are measured. Prints
Markdown with hardware and commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Report, command_line, run_script
from benchmarks.quality.still_clips import MODES, Still, astronaut, jitters, noisy
from mvgen.core.camera import EYE_DISTANCE, crop_camera
from mvgen.core.config import BuildConfig
from mvgen.core.landmarks68 import REGIONS
from mvgen.core.records import FacePoints, Image, Mask
from mvgen.evaluation.depth_metrics import (
    FIT,
    WORSE,
    DepthErrors,
    beside_fit,
    depth_errors,
    face_parts,
    landmark_errors,
    mean_errors,
)
from mvgen.evaluation.expressions import EXPRESSIONS, Pair, agreement, photograph_pairs
from mvgen.evaluation.mean_face import mean_alone, posed_mean
from mvgen.evaluation.tables import Rows
from mvgen.faces.landmarks import ibug_landmarks
from mvgen.morphable.fitting import fit_face
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import fit_image
from mvgen.pipeline.tools import Tools
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
MEAN_TRUE, MEAN_FOUND = "posed mean face, true landmarks", "posed mean face, landmarks found"


def reconstructions(colour: Image, fit: NDArray[np.float32], nets: Nets) -> dict[str, NDArray[np.float32]]:
    """Depth (B, S, S) of pictures (B, S, S, 3): that of the fit (B, S, S, 4), and that of each network."""
    return {FIT: fit[..., 0], **{name: tools.estimator.predict(colour, fit).depth for name, tools in nets.items()}}


def known_face(samples: Samples) -> Mask:
    """(B, S, S) bool, face whose depth is known and that the fit covers: where all methods are compared."""
    return np.asarray(samples.face & np.isfinite(samples.depth) & np.isfinite(samples.fit[..., 0]))


def depth_rows(samples: Samples, found: dict[str, NDArray[np.float32]], seen: FacePoints) -> Rows:
    """A row for each method: the mean of each error over the pictures, and MAE over that of the posed mean.

    found : from `reconstructions`; a posed mean face is extended by its median depth
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


def part_errors(
    samples: Samples, found: dict[str, NDArray[np.float32]], landmarks: Floats
) -> dict[str, dict[str, list[float]]]:
    """Error in each picture by part of the face and method, % of the inter-ocular distance; NaN where not visible.

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


def report_beside_fit(report: Report, title: str, errors: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Report mean errors, and where networks are worse than the fit; errors : row -> method -> of each picture."""
    found, worse = beside_fit(title, errors)
    report.table(*found)
    print(f"Worse than the fit by more than {WORSE - 1:.0%}: {'; '.join(worse) or 'nowhere'}.\n")


def landmark_row(samples: Samples, landmarks: Floats) -> list[str | float]:
    """NME of all landmarks (B, 68, 2), of the visible ones, and of the visible ones in each region."""
    errors = landmark_errors(landmarks, samples.landmarks)
    shown = np.where(samples.visible, errors, np.nan)
    parts = [float(np.nanmean(shown[:, region])) for region in REGIONS.values()]
    return ["face mesh", float(np.nanmean(errors)), float(np.nanmean(shown)), *parts]


def corpus_section(report: Report, title: str, corpus: Corpus, people: int, *, size: int, nets: Nets) -> None:
    """Print the tables of depth and landmarks of one corpus."""
    samples = make_samples(corpus, SEED, first=0, people=people, per_person=2, size=size)
    seen = next(iter(nets.values())).landmarker.find(samples.colour)
    used = seen.confidence > 0.5
    refused = f"; {np.sum(~used)} others the landmarker refuses, as in a build" if not used.all() else ""
    samples = Samples(*(getattr(samples, field.name)[used] for field in fields(Samples)))
    seen = FacePoints(seen.points[used], seen.confidence[used])
    found, landmarks = reconstructions(samples.colour, samples.fit.astype(np.float32), nets), ibug_landmarks(seen)
    report.section(f"{title}: {len(samples.colour)} photographs of {len(set(samples.identity))} people{refused}")
    header = ["depth", "MAE %", "RMSE %", "MAE mm", "RMSE mm", "normal °", "scale error", "tilt °", "correlation"]
    report.table([*header, "MAE, % of the posed mean's"], depth_rows(samples, found, seen))
    report_beside_fit(report, "MAE %, part of the face", part_errors(samples, found, landmarks))
    if np.isfinite(samples.landmarks).any():
        header = ["landmarks, NME %", "all", "visible", *REGIONS]
        report.table(header, [landmark_row(samples, landmarks)])


def expression_section(
    report: Report, title: str, heads: AnnyHeads | IctHeads, people: int, *, size: int, nets: Nets
) -> None:
    """Print the tables of faces with an expression, and of their change from the neutral face."""
    pairs: list[Pair] = []
    for number in range(people):
        generator = np.random.default_rng([PAIR_SEED, number])
        person = heads.sample_identities(generator, 1)[0]
        pairs += photograph_pairs(heads.model, person, Look.draw(generator), generator, size)
    report.section(f"{title}: {len(pairs)} changes of expression of {people} people")
    colour, fit = (np.concatenate([getattr(pair, name) for pair in pairs]) for name in ("colour", "fit"))
    found = reconstructions(colour, fit, nets)
    errors: dict[str, dict[str, list[float]]] = {}
    for name, depth in found.items():
        for index, pair in enumerate(pairs):
            for group, one, truth in zip(("neutral", pair.group), depth[2 * index :], pair.depth, strict=False):
                away = 100 * float(np.abs(one - truth)[pair.face].mean())
                errors.setdefault(group, {}).setdefault(name, []).append(away)
    report_beside_fit(report, "MAE %, expression", errors)
    rows: Rows = []
    for name, depth in found.items():
        changes = list(depth[1::2] - depth[::2])
        for group in (*EXPRESSIONS, "all"):
            chosen = [index for index, pair in enumerate(pairs) if group in (pair.group, "all")]
            follows = agreement([pairs[index] for index in chosen], [changes[index] for index in chosen])
            rows.append([f"{name}: {group}", follows.pairs, follows.correlation, follows.slope, follows.each])
    report.table(["expression - neutral", "pairs", "correlation", "slope", "mean of the pairs' own"], rows)


def jitter_section(report: Report, stills: Sequence[Still], nets: Nets) -> None:
    """Print the table of false motion in still faces with noise, by geometry of a build."""
    rows: Rows = []
    for name, tools in nets.items():
        for still in stills:
            for sigma in NOISES:
                found = jitters(noisy(still, sigma), tools)
                rows.append([f"{name}: {still.name}, sigma {sigma:.0f}", *(found[how] for how in MODES)])
    report.section("Still faces: RMS change of depth between frames, % of the inter-ocular distance")
    report.table(["still clip", *MODES], rows, digits=4)


def rendered_stills(count: int) -> list[Still]:
    """Rendered heads that stand-ins of a release would show, without noise."""
    from dataclasses import replace

    from mvgen.evaluation.stand_ins import film
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
    """`NAME=FILE`, or `FILE`, whose name is then the name."""
    name, found, path = text.rpartition("=")
    return (name, Path(path)) if found else (Path(text).stem, Path(text))


def main() -> None:
    parser = command_line(__doc__)
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
    size = chosen.size
    named = chosen.weights or [("shipped", None)]
    nets = {name: Tools.load(BuildConfig(geometry={"weights": path}, run={"device": "cpu"})) for name, path in named}
    report = Report(__file__, chosen)
    corpus_section(report, "Anny, held out", open_corpus("anny"), chosen.identities, size=size, nets=nets)
    if chosen.ict:
        corpus_section(report, "ICT", open_corpus("ict", chosen.ict), chosen.ict_faces, size=size, nets=nets)
    if chosen.scans:
        scans = open_corpus(chosen.scans, chosen.root)
        corpus_section(report, chosen.scans, scans, chosen.identities, size=size, nets=nets)
    expression_section(report, "Anny, held out", anny_heads(), chosen.pairs, size=size, nets=nets)
    if chosen.ict:
        expression_section(report, "ICT", ict_heads(chosen.ict), chosen.pairs, size=size, nets=nets)
    jitter_section(report, [astronaut(), *rendered_stills(chosen.stills)], nets)


if __name__ == "__main__":
    run_script(main)
