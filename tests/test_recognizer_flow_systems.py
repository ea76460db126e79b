"""Flow images end to end: a tree with a planted signal goes through systems, protocols and commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recognizer_trees import PatternReader

from mvgen.core.console import run_app
from recognizer.bench.run import run_bench
from recognizer.cli import app
from recognizer.config import BenchConfig
from recognizer.errors import RecogniserError
from recognizer.evaluation.flow_tree import CLASSES, STYLES, write_flow_tree
from recognizer.evaluation.protocols import Protocol, make_folds
from recognizer.evaluation.synthetic_samples import synthetic_sample
from recognizer.learning.data import prepare
from recognizer.learning.fit import Device, Rows, scores, train_classifier, train_network
from recognizer.ops.copies import mirrored, turned
from recognizer.ops.motion import motion_of, strain_of, stretched
from recognizer.readers.config import DataConfig, open_data
from recognizer.readers.flow_images import FlowImageReader
from recognizer.records import Sample
from recognizer.systems import SYSTEMS, FeatureSystem, NeuralSystem, get_system
from recognizer.systems.base import Training
from recognizer.systems.causalnet import Look, directions
from recognizer.systems.htnet import four_squares
from recognizer.systems.needs import check_needs, motion_systems

pytestmark = pytest.mark.slow

# Quiet copies of the three datasets: what is planted is easy to see.
EASY = tuple(replace(style, subjects=4, clips=(8, 8, 8), noise=0.05, head=0.05, misplaced=0.005) for style in STYLES)
SMALL: dict[str, dict[str, Any]] = {
    "htnet": {"dim": 24, "blocks": (1, 1, 1)},
    "causalnet": {"dim": 24, "blocks": (1, 1, 1)},
    "tscnn-dynamic": {"size": 16, "copies": 1},
    "motion-views": {"members": 1, "dropout": 0.2},
}
# Enough to learn the planted signal in a second or two, not the papers' own.
TRAINING: dict[str, Training] = {
    "ststnet": Training(epochs=30, batch=16, rate=5e-3, optimiser="adam"),
    "off-apexnet": Training(epochs=6, batch=16, rate=1e-3, optimiser="adam"),
    "dual-inception": Training(epochs=8, batch=16, rate=1e-3, optimiser="adam"),
    "rcn-a": Training(epochs=12, batch=16, rate=5e-3, optimiser="adam"),
    "htnet": Training(epochs=20, batch=16, rate=1e-3, optimiser="adam"),
    "causalnet": Training(epochs=8, batch=16, rate=1e-3, optimiser="adam"),
    "tscnn-dynamic": Training(epochs=8, batch=16, rate=1e-3, optimiser="adam"),
    "motion-views": Training(epochs=15, batch=16, rate=5e-3, optimiser="adamw"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_flow_tree(tmp_path_factory.mktemp("flow") / "norm_u_v_os", EASY)


@pytest.fixture(scope="module")
def reader(tree: Path) -> FlowImageReader:
    return FlowImageReader(tree, CLASSES)


# The tree


def test_a_tree_has_the_form_and_the_numbers_of_the_real_ones(tmp_path: Path) -> None:
    reader = FlowImageReader(write_flow_tree(tmp_path / "tree"), CLASSES)
    assert len(reader.entries) == 442
    assert [sum(entry.label == label for entry in reader.entries) for label in range(3)] == [250, 109, 83]
    subjects = {(entry.dataset, entry.subject) for entry in reader.entries}
    assert [sum(dataset == name for dataset, _ in subjects) for name in ("smic-hs", "casme-ii", "samm")] == [16, 24, 28]
    image = np.asarray(Image.open(next((tmp_path / "tree/sub01/u_test").rglob("*.png"))))
    assert image.shape == (28, 28, 3)
    assert image.min(axis=(0, 1)).tolist() == [0, 0, 0]
    assert image.max(axis=(0, 1)).tolist() == [255, 255, 255]
    own = {path.name for path in (tmp_path / "tree/006/u_test").rglob("*.png")}
    others = {path.name for path in (tmp_path / "tree/006/u_train").rglob("*.png")}
    assert not own & others
    assert len(own | others) == 442


def test_a_tree_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first, again, other = (write_flow_tree(tmp_path / str(n), EASY[:1], seed) for n, seed in enumerate((3, 3, 4)))
    read = [
        b"".join(path.read_bytes() for path in sorted((root / "s01/u_test").rglob("*.png")))
        for root in (first, again, other)
    ]
    assert read[0] == read[1] != read[2]


# What is read


def test_motion_keeps_three_channels_and_the_published_stretch(reader: FlowImageReader, tree: Path) -> None:
    entry, sample = reader.entries[0], reader.read(0)
    assert sample.frames.shape == (1, 28, 28, 3)
    assert sample.strain is not None
    path = next((tree / entry.subject / "u_test").rglob(f"{entry.clip.partition('/')[2]}.png"))
    levels = np.moveaxis(np.asarray(Image.open(path)), -1, 0)
    np.testing.assert_allclose(stretched(motion_of(sample, 28)) * 255, levels, atol=1e-2)
    assert np.median(sample.apex_flow[..., 0]) == 0


def test_classes_are_folders_and_datasets_are_what_subjects_are_called(tree: Path) -> None:
    data = DataConfig(flow_images=tree, classes={"other": ("0", "2"), "happy": ("1",)}, datasets={"one": "s.*"})
    reader = open_data(data)
    assert reader.classes == ("other", "happy")
    assert {entry.dataset for entry in reader.entries} == {"one", "norm_u_v_os"}
    assert {entry.label for entry in reader.entries} == {0, 1}


def test_strain_is_computed_where_the_data_have_none() -> None:
    ramp = np.zeros((16, 16, 2), np.float32)
    ramp[..., 0] = np.arange(16)
    np.testing.assert_allclose(strain_of(ramp), 1)
    np.testing.assert_allclose(strain_of(ramp + 5), 1)


def test_copies_turn_one_motion_and_its_strain(reader: FlowImageReader) -> None:
    sample = reader.read(0)
    image = mirrored(sample)
    assert sample.strain is not None
    assert image.strain is not None
    np.testing.assert_array_equal(image.strain[:, ::-1], sample.strain)
    np.testing.assert_array_equal(image.apex_flow[:, ::-1, 0], -sample.apex_flow[..., 0])
    turned_once = turned(sample, 5)
    assert turned_once.strain is not None
    assert turned_once.strain.shape == (28, 28)
    assert turned_once.flow.shape == (0, 28, 28, 2)


# Systems


@pytest.mark.parametrize("name", motion_systems())
def test_every_motion_system_learns_a_planted_signal(name: str, reader: FlowImageReader) -> None:
    system = get_system(name, **SMALL.get(name, {}))
    fold = make_folds(reader.entries, reader.classes, Protocol("subject-holdout", share=0.34))[0]
    sides = [[i for i, e in enumerate(reader.entries) if e.clip in side] for side in (fold.train, fold.test)]
    labels = np.array([entry.label for entry in reader.entries])
    inputs = prepare(reader, system, range(len(reader.entries)))
    train, test = (Rows(inputs.inputs, inputs.rows(side), labels[side]) for side in sides)
    if isinstance(system, FeatureSystem):
        said = train_classifier(system, train, 0).predict(inputs.inputs["features"][test.rows])
    else:
        assert isinstance(system, NeuralSystem)
        network = train_network(system, TRAINING[name], train, 3, 0, Device())
        said = scores(network, test, Device()).argmax(axis=1)
    assert (said == test.labels).mean() > 0.6  # chance is a third


def test_systems_that_need_frames_are_refused_before_anything_is_prepared(tree: Path, tmp_path: Path) -> None:
    config = BenchConfig(
        data=DataConfig(flow_images=tree), systems=({"name": "pixel-svm"}, {"name": "mmnet"}), train=("source",)
    )
    with pytest.raises(RecogniserError, match=r"mmnet needs frames.*tscnn-dynamic, ststnet.*pixel-svm"):
        run_bench(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    everything = [get_system(name) for name in SYSTEMS]
    check_needs(PatternReader(2, 3), everything)


def test_the_bench_has_figures_for_every_dataset(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "bench.yaml").write_text(
        "data: {classes: {negative: ['0'], positive: ['1'], surprise: ['2']}}\n"
        "protocol: {name: megc}\ntrain: [source]\nseeds: 1\nsystems: [{name: pixel-svm}]\n"
    )
    out = tmp_path / "out"
    command = ["bench", str(tmp_path / "bench.yaml"), "--flow-images", str(tree), "--out", str(out)]
    assert run_app(app, "recognizer", command) == 0
    written = (out / "results.md").read_text()
    assert "12 folds" in written
    for name in ("dataset casme-ii", "dataset samm", "dataset smic-hs"):
        assert name in written


def test_a_dataset_at_a_time_is_held_out(reader: FlowImageReader) -> None:
    folds = make_folds(reader.entries, reader.classes, Protocol("hde"))
    assert [fold.name for fold in folds] == ["casme-ii", "samm", "smic-hs"]
    assert all(len(fold.test) == 24 for fold in folds)


def test_train_reads_flow_images(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = ["--flow-images", str(tree), "--split", "all"], str(tmp_path / "out")
    line = ["train", "--system", "pixel-svm", *data, "--out", out]
    assert run_app(app, "recognizer", line) == 0
    assert run_app(app, "recognizer", [*line, "--data", str(tree)]) != 0
    assert "give the data once" in capsys.readouterr().err
    assert run_app(app, "recognizer", ["train", "--system", "multiview", *data, "--out", out]) != 0
    assert "multiview needs frames" in capsys.readouterr().err


# Layers


def _parameters(name: str, **options: Any) -> int:
    with torch.device("meta"):
        network = get_system(name, **options).network(3)  # type: ignore[attr-defined]
    return sum(value.numel() for value in network.parameters())


def _dense(before: int, after: int) -> int:
    return before * after + after


def test_published_networks_have_the_parameters_of_their_tables() -> None:
    assert _parameters("ststnet") == (3 + 5 + 8) * (27 + 1 + 2) + _dense(400, 3)
    streams = 2 * (6 * 25 + 6 + 16 * 6 * 25 + 16)
    assert _parameters("off-apexnet") == streams + _dense(1568, 1024) + _dense(1024, 1024) + _dense(1024, 3)
    assert round(_parameters("off-apexnet") / 1e6, 2) == 2.66
    assert round(_parameters("dual-inception") / 1e6, 2) == 6.45
    rcn = _dense(75, 64) + _dense(64, 64) + _dense(9 * 64, 64) + 3 * 2 * 64 + _dense(3136, 3)
    assert _parameters("rcn-a") == rcn


def _tower(blocks: tuple[int, int, int]) -> int:
    def block(width: int, heads: int) -> int:
        inner = width // heads * heads
        attention = 3 * width * inner + _dense(inner, width)
        return attention + _dense(width, 4 * width) + _dense(4 * width, width) + 4 * width

    levels = sum(many * block(256 * 2**level, 3 * 2**level) + 1 for level, many in enumerate(blocks))  # and positions
    aggregations = sum(9 * low * high + high + 2 * high for low, high in ((256, 512), (512, 1024)))
    return _dense(147, 256) + levels + aggregations


def test_htnet_has_the_parameters_of_its_code() -> None:
    assert _parameters("htnet") == _tower((2, 2, 8)) + 2 * 1024 + _dense(1024, 3)


def test_causalnet_has_the_parameters_of_its_code() -> None:
    look = _dense(256, 256) + _dense(256, 512) + _dense(256, 256)
    dense = _dense(256, 1024) + _dense(1024, 256)
    positions = 9 * (512 + look + dense)
    causes = 512 + 2 * look + dense + 4 * _dense(256, 256)
    assert _parameters("causalnet") == 2 * _tower((3, 3, 9)) + positions + causes + _dense(3072, 2048) + _dense(2048, 3)


def test_a_token_of_causalnet_does_not_see_the_one_across_the_diagonal() -> None:
    torch.manual_seed(0)
    look = Look(16, 16, 0.5)
    asked = torch.randn(1, 4, 16)
    changed = asked.clone()
    changed[:, 3] += 1  # across from the first
    before, after = look(asked, asked), look(asked, changed)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert not torch.allclose(after[:, 1:3], before[:, 1:3])


def test_causalnet_reads_contraction_relaxation_and_their_directions() -> None:
    sample = synthetic_sample(label=0, frames=9, size=64)
    pictures = get_system("causalnet").prepare(sample)["motion"]
    assert pictures.shape == (4, 3, 28, 28)
    assert pictures[0, 0].argmax() == pytest.approx(pictures[1, 0].argmin(), abs=56)  # there and back again
    right, left = (directions(np.full((2, 2, 2), (way, 0), np.float32))[:, 0, 0] for way in (1, -1))
    np.testing.assert_allclose([right, left], [[255, 0, 0], [0, 255, 255]], atol=1e-3)
    ends_at_apex = replace(sample, frames=sample.frames[:5], flow=sample.flow[:4], offset=4)
    assert not get_system("causalnet").prepare(ends_at_apex)["motion"][1].any()


def test_mmnet_has_the_parameters_of_its_code() -> None:
    def block(channels: int, maps: int, *, same: bool) -> int:
        change = 9 * channels * maps + 2 * maps + maps * maps + 2 * maps
        return change + (0 if same else channels * maps + 2 * maps) + 2 + 2

    blocks = block(128, 128, same=True) + block(128, 128, same=False) + block(128, 256, same=False)
    motion = 27 * 180 + 2 * 180 + 9 * 180 * 128 + 2 * 128 + blocks + block(256, 512, same=False)
    token = 4 * 512 + _dense(512, 3 * 512) + _dense(512, 512) + _dense(512, 1024) + _dense(1024, 512)
    places = _dense(3, 512) + 196 * 512 + 3 * token + 2 * 512
    assert _parameters("mmnet") == motion + places + _dense(512 * 196, 3)


def test_htnet_cuts_eyes_and_corners_of_the_mouth() -> None:
    motion = np.zeros((3, 28, 28), np.float32)
    places = np.array([[8, 9], [20, 9], [10, 20], [18, 27]])
    for number, (x, y) in enumerate(np.clip(places, 7, 21), 1):
        motion[0, y, x] = number
    cut = four_squares(motion, places)
    assert [cut[0, row, column] for row, column in ((7, 7), (7, 21), (21, 7), (21, 21))] == [1, 2, 3, 4]


# The baseline of our own


def test_motion_views_sees_masks_angles_and_signals() -> None:
    mask = np.ones((28, 28), bool)
    mask[:, :14] = False
    flow = np.full((28, 28, 2), 1, np.float32)
    signals = np.zeros((3, 8), np.float32)
    signals[1, 7] = 2
    sample = Sample(
        np.zeros((3, 28, 28, 3), np.uint8), np.zeros((2, 28, 28, 2), np.float32), flow, mask, 0, 1, 2, None, 0,
        "c", "s", "yaw-30", signals=signals,
    )  # fmt: skip
    inputs = get_system("motion-views", signals=8).prepare(sample)
    assert not inputs["motion"][:, :, :14].any()
    assert inputs["motion"][0, :, 14:].all()
    np.testing.assert_allclose(inputs["context"][:2], [-0.5, 0.5])
    np.testing.assert_allclose(inputs["context"][2:], [0] * 7 + [2])
    assert len(get_system("motion-views").prepare(sample)["context"]) == 2
    plain = get_system("motion-views", mask=False, context=False).prepare(sample)
    assert (plain["motion"][3] == 1).all()
    assert not plain["context"].any()
    with pytest.raises(RecogniserError, match="has 8 head pose and facial actions"):
        get_system("motion-views", signals=5).prepare(sample)
    with pytest.raises(RecogniserError, match="set signals=0"):
        get_system("motion-views", signals=5).prepare(replace(sample, signals=None))


def test_motion_views_copies_keep_the_sign_of_mirrored_motion() -> None:
    system = get_system("motion-views", shift=0)
    torch.manual_seed(0)
    motion = torch.randn(64, 4, 28, 28)
    context = torch.ones(64, 2)
    seen, where = system._jittered(motion, context)  # type: ignore[attr-defined]
    for own, copy, side in zip(motion, seen, where, strict=True):
        expected = own if side[0] > 0 else torch.cat([-own[:1], own[1:]]).flip(-1)
        louder = (copy[:3] / expected[:3]).mean()
        torch.testing.assert_close(copy[:3], expected[:3] * louder, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(copy[3], expected[3])
    assert 0 < (where[:, 0] < 0).sum() < 64
