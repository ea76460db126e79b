"""Every system through the interface that training and benchmarks use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mvgen.core.console import run_app
from recognizer.cli import app
from recognizer.errors import RecogniserError
from recognizer.evaluation.overfit import SMALL, learn
from recognizer.evaluation.synthetic_samples import DIRECTIONS, synthetic_sample
from recognizer.records import Sample
from recognizer.systems import SYSTEMS, FeatureSystem, NeuralSystem, get_system
from recognizer.systems.listing import describe_systems
from recognizer.systems.microexp import _around

# Other tests may have put systems of their own beside the published ones.
PUBLISHED = [name for name in SYSTEMS if SYSTEMS.get(name).__module__.startswith("recognizer.")]
NETWORKS = [name for name in PUBLISHED if isinstance(get_system(name), NeuralSystem)]
FEATURES = [name for name in PUBLISHED if name not in NETWORKS]


def small(name: str) -> Any:
    return get_system(name, **SMALL.get(name, {}))


def batch_of(system: NeuralSystem[Any], samples: list[Sample]) -> dict[str, torch.Tensor]:
    prepared = [system.prepare(sample) for sample in samples]
    return {name: torch.from_numpy(np.stack([inputs[name] for inputs in prepared])) for name in prepared[0]}


@pytest.mark.parametrize("name", PUBLISHED)
def test_inputs_have_one_shape_whatever_the_clip(name: str) -> None:
    system = small(name)
    assert system.name == name
    short = synthetic_sample(frames=5, size=72)
    long = replace(synthetic_sample(label=1, seed=1, frames=40, size=96), landmarks=None, view="yaw-30", valid=None)
    before = long.frames.copy(), long.flow.copy()
    first, again, other = system.prepare(short), system.prepare(short), system.prepare(long)
    assert first.keys() == other.keys()
    for part, values in first.items():
        assert values.dtype == np.float32
        assert values.shape == other[part].shape
        assert np.isfinite(values).all()
        assert np.isfinite(other[part]).all()
        np.testing.assert_array_equal(values, again[part])
    np.testing.assert_array_equal(before[0], long.frames)
    np.testing.assert_array_equal(before[1], long.flow)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_reaches_every_parameter(name: str) -> None:
    system = small(name)
    batch = batch_of(system, [synthetic_sample(label=seed % 3, seed=seed, size=72) for seed in range(3)])
    torch.manual_seed(0)
    network = system.network(classes=4)
    system.initialise(network, [batch])
    logits = network(batch)
    assert logits.shape == (3, 4)
    torch.nn.functional.cross_entropy(logits, torch.arange(3)).backward()
    unreached = [each for each, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert unreached == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_go_from_one_network_to_another(name: str) -> None:
    system = small(name)
    batch = batch_of(system, [synthetic_sample(size=72), synthetic_sample(label=1, seed=1, size=72)])
    first, second = system.network(3), system.network(3)
    system.initialise(first, [batch])
    second.load_state_dict(first.state_dict())
    with torch.inference_mode():
        np.testing.assert_array_equal(first.eval()(batch).numpy(), second.eval()(batch).numpy())


@pytest.mark.slow
@pytest.mark.parametrize("name", FEATURES)
def test_support_vectors_distinguish_directions_of_motion(name: str) -> None:
    system = small(name)
    assert isinstance(system, FeatureSystem)
    train, test = (
        [synthetic_sample(label=seed % 4, seed=seed, size=72, strength=3.0) for seed in seeds]
        for seeds in (range(16), range(100, 108))
    )
    features, unseen = (np.stack([system.prepare(each)["features"] for each in part]) for part in (train, test))
    machine = system.classifier(seed=0).fit(features, [each.label for each in train])
    assert machine.score(features, [each.label for each in train]) == 1
    if name in ("mdmo", "bi-woof"):  # they see motion; textures of eight people are too few for the others
        assert machine.score(unseen, [each.label for each in test]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn-gru", "flow-3dcnn", "tscnn"])
def test_a_network_learns_eight_clips_by_heart(name: str) -> None:
    samples = [synthetic_sample(label=seed % 3, seed=seed, size=64, frames=8) for seed in range(8)]
    options = {"tscnn": {"size": 24}, "flow-3dcnn": {"size": 16, "frames": 9}, "cnn-gru": {"size": 16, "frames": 4}}
    accuracy, _ = learn(get_system(name, **options[name]), samples, epochs=150, rate=3e-3)
    assert accuracy == 1


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_clip_that_cannot_be_used_is_named_with_the_reason(name: str) -> None:
    system, sample = small(name), synthetic_sample(size=72)
    still = replace(sample, onset=3, apex=3, offset=3)
    if system.needs == "motion":
        assert system.prepare(still)  # one frame holds a motion
    else:
        with pytest.raises(RecogniserError, match="clip acted/0, view source: 1 frames from onset to offset"):
            system.prepare(still)
    broken = sample.flow.copy()
    broken[2, 5, 5] = np.nan
    with pytest.raises(RecogniserError, match="clip acted/0, view source: flow holds values that are not finite"):
        system.prepare(replace(sample, flow=broken))


def test_a_depth_that_is_the_papers_refuses_shorter_clips() -> None:
    system = get_system("microexp-stcnn", depth=18, fit="first", size=24)
    assert system.prepare(synthetic_sample(frames=20, size=72))["clip"].shape == (1, 18, 24, 24)
    with pytest.raises(RecogniserError, match="16 frames from onset to offset, at least 18 are needed"):
        system.prepare(synthetic_sample(frames=16, size=72))


def test_frames_around_an_expression_fill_the_depth_of_a_paper() -> None:
    sample = replace(synthetic_sample(frames=24, size=72), onset=1, apex=3, offset=5)
    taken = _around(sample, 18)
    np.testing.assert_array_equal(taken, sample.frames[:18])
    late = replace(sample, onset=14, apex=15, offset=17)
    np.testing.assert_array_equal(_around(late, 18), sample.frames[6:24])
    np.testing.assert_array_equal(_around(replace(sample, onset=10, apex=11, offset=12), 18), sample.frames[2:20])
    system = get_system("microexp-fusenet-late", depth=18, fit="around")
    assert all(part.shape[1] == 18 for part in system.prepare(sample).values())
    with pytest.raises(RecogniserError, match="24 frames, 25 are needed; build the data with --video-frames 25"):
        get_system("microexp-stcnn", depth=25, fit="around").prepare(sample)


def test_only_the_expression_counts() -> None:
    inside = synthetic_sample(frames=16, size=72)
    noise = np.random.default_rng(0).integers(0, 255, (2, *inside.frames.shape[1:]), np.uint8)
    still = np.zeros((2, *inside.flow.shape[1:]), np.float32)
    longer = replace(
        inside,
        frames=np.concatenate([noise, inside.frames, noise]),
        flow=np.concatenate([still, inside.flow, still]),
        onset=2,
        apex=inside.apex + 2,
        offset=17,
    )
    for name in ("multiview", "strcn-g", "tscnn", "lbp-top", "mdmo"):
        system = small(name)
        expected, found = system.prepare(inside), system.prepare(longer)
        for part, values in expected.items():
            np.testing.assert_array_equal(values, found[part])


@pytest.mark.parametrize(("name", "copies"), [("strcn-a", 50), ("strcn-g", 50), ("tscnn", 10), ("cnn-frame", 6)])
def test_copies_are_as_many_as_the_paper_makes(name: str, copies: int) -> None:
    sample = synthetic_sample(frames=12, size=32)
    made = list(small(name).expand(sample))
    assert len(made) == copies
    assert {(each.label, each.clip, each.subject, each.view) for each in made} == {(0, "acted/0", "s0", "source")}
    for each, again in zip(made, small(name).expand(sample), strict=True):
        np.testing.assert_array_equal(each.frames, again.frames)
        np.testing.assert_array_equal(each.flow, again.flow)
    fewer = {**SMALL.get(name, {}), "copies": 1}
    assert [one is sample for one in get_system(name, **fewer).expand(sample)] == [True]


def test_strcns_copies_differ_in_factor_and_frames_and_keep_the_apex() -> None:
    sample = synthetic_sample(frames=20, size=32)
    made = list(small("strcn-g").expand(sample))
    assert {each.magnification for each in made} == set(map(float, range(5, 15)))
    assert {len(each.frames) for each in made} == {20, 18, 16, 14, 12}
    for each in made:
        assert len(each.flow) == len(each.frames) - 1
        np.testing.assert_array_equal(each.frames[each.apex], sample.frames[sample.apex])
        np.testing.assert_allclose(each.flow.sum(axis=0), sample.flow.sum(axis=0), atol=1e-4)
    plain, larger = (small("strcn-a").prepare(replace(sample, magnification=by))["clip"] for by in (None, 14.0))
    assert np.abs(np.diff(larger, axis=1)).mean() > 1.2 * np.abs(np.diff(plain, axis=1)).mean()
    few = list(get_system("strcn-g", copies=5).expand(sample))
    assert [each.magnification for each in few] == [5.0, 7.0, 9.0, 12.0, 14.0]


def test_a_name_that_two_systems_have_is_refused() -> None:
    with pytest.raises(RecogniserError, match=r"system 'tscnn' is registered twice: recognizer.systems.tscnn:Tscnn"):
        SYSTEMS.add("tscnn", "other:Tscnn")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("multivew", {}, "unknown system 'multivew'; did you mean 'multiview'"),
        ("multiview", {"no_cnn": True}, "multiview has no option 'no_cnn'; it has size, frames"),
        ("multiview", {"size": "large"}, "option 'size' of multiview: .* got 'large'"),
        ("multiview", {"flow": "backwards"}, "option 'flow' of multiview"),
        ("multiview", {"frames": 17}, "option 'frames' of multiview: Input should be greater than or equal to 18"),
        ("strcn-g", {"copies": 0}, "option 'copies' of strcn-g"),
        ("cnn-frame", {"dropout": 1.0}, "option 'dropout' of cnn-frame: Input should be less than 1"),
        ("tscnn", {"size": 50}, "size 50 is not a multiple of 3 blocks"),
        ("tscnn", {"no_static": 1, "no_local": 1, "no_dynamic": 1}, "tscnn: no stream is left"),
        ("bi-woof", {"blocks": 7}, "size 128 is not a multiple of 7 blocks"),
        ("lbp-top", {"frames": 6}, "6 frames of 128 pixels leave no pattern of radius 3"),
    ],
)
def test_a_system_or_option_that_is_not_there_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecogniserError, match=message):
        get_system(name, **options)


def test_options_are_read_from_text() -> None:
    assert (
        get_system("multiview", size="64", no_snn="true").options
        == get_system("multiview", size=64, no_snn=True).options
    )


def test_a_list_of_names_loads_no_network_library() -> None:
    code = "import sys, recognizer.systems as s; assert s.SYSTEMS; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_systems_are_listed_with_their_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(app, "recognizer", ["systems"]) == 0
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line for line in printed.splitlines()}
    assert all(name in lines for name in PUBLISHED)
    assert "44,241,667" in lines["microexp-stcnn"]
    assert " - " in lines["lbp-top"]


def test_parameters_are_those_of_the_network() -> None:
    described = {each.name: each.parameters for each in describe_systems(classes=5)[0]}
    for name in ("multiview", "strcn-a", "tscnn", "cnn-lstm", "flow-3dcnn"):
        network = get_system(name).network(5)
        assert described[name] == sum(value.numel() for value in network.parameters())
    assert [name for name in PUBLISHED if described[name] is None] == FEATURES


@pytest.fixture
def fer2013(tmp_path: Path) -> Callable[[str], Path]:
    """A file in the format of FER2013, with a given last line."""

    def write(last: str = "") -> Path:
        draw = np.random.default_rng(0)
        rows = [
            f"{index % 7},{' '.join(map(str, draw.integers(0, 256, 48 * 48)))},{usage}"
            for index, usage in enumerate(["Training"] * 14 + ["PublicTest"])
        ]
        path = tmp_path / "fer2013.csv"
        path.write_text("\n".join(["emotion,pixels,Usage", *rows, last]).strip() + "\n")
        return path

    return write


@pytest.mark.slow
def test_tscnns_static_stream_is_trained_first(fer2013: Callable[[str], Path]) -> None:
    system = get_system("tscnn", size=24, pretrain=str(fer2013("")), pretrain_epochs=1)
    assert isinstance(system, NeuralSystem)

    def initialised() -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        network = system.network(3)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        system.initialise(network, [], seed=0)
        after = network.state_dict()
        moved = {name.rpartition(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
        assert "first.static.0" in moved
        assert "trunk.1.0" in moved
        assert not any(name.startswith(("first.local", "first.dynamic", "classify")) for name in moved)
        return after

    first, second = initialised(), initialised()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_file_that_is_not_fer2013_is_refused(tmp_path: Path, fer2013: Callable[[str], Path]) -> None:
    from recognizer.systems.fer2013 import read_fer2013

    pictures, labels = read_fer2013(fer2013(""))
    assert pictures.shape == (14, 48, 48)
    assert labels.tolist() == [0, 1, 2, 3, 4, 5, 6] * 2
    with pytest.raises(RecogniserError, match="line 17: no 48 x 48 grey values"):
        read_fer2013(fer2013("3,1 2 3,Training"))
    with pytest.raises(RecogniserError, match="does not exist"):
        read_fer2013(tmp_path / "nowhere.csv")
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(RecogniserError, match="has no columns emotion, pixels, Usage"):
        read_fer2013(other)


def test_synthetic_samples_move_in_all_directions() -> None:
    flows = [synthetic_sample(label=label).apex_flow.sum(axis=(0, 1)) for label in range(len(DIRECTIONS))]
    for flow, way in zip(flows, DIRECTIONS, strict=True):
        np.testing.assert_allclose(flow / np.linalg.norm(flow), way, atol=1e-6)
