"""Output shapes of every layer against the papers' tables; shapes are computed without data."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from recognizer.errors import RecogniserError
from recognizer.systems import NeuralSystem, get_system

Shape = tuple[int, ...]


def shapes(system: Any, inputs: dict[str, Shape], kinds: tuple[type[nn.Module], ...]) -> list[tuple[str, Shape]]:
    """Kind and output shape, without the batch axis, of every layer of the given kinds, in order."""
    assert isinstance(system, NeuralSystem)
    seen: list[tuple[str, Shape]] = []
    with torch.device("meta"):
        network = system.network(classes=3)
        for layer in network.modules():
            if isinstance(layer, kinds):
                layer.register_forward_hook(
                    lambda layer, _, output: seen.append((type(layer).__name__, tuple(output.shape[1:])))
                )
        logits = network({name: torch.zeros(2, *shape) for name, shape in inputs.items()})
    assert logits.shape == (2, 3)
    return seen


def parameters(system: Any) -> int:
    assert isinstance(system, NeuralSystem)
    with torch.device("meta"):
        return sum(weights.numel() for weights in system.network(classes=3).parameters())


LAYERS = (nn.Conv2d, nn.Conv3d, nn.MaxPool2d, nn.AvgPool2d, nn.MaxPool3d, nn.Dropout, nn.Flatten, nn.Linear)


def test_microexp_stcnn_is_table_1() -> None:
    # The table's order of axes is width, height, depth; torch's is depth, height, width.
    found = shapes(get_system("microexp-stcnn"), {"clip": (1, 96, 64, 64)}, LAYERS)
    assert found == [
        ("Conv3d", (32, 82, 62, 62)),
        ("MaxPool3d", (32, 27, 20, 20)),
        ("Dropout", (32, 27, 20, 20)),
        ("Flatten", (345600,)),
        ("Linear", (128,)),
        ("Dropout", (128,)),
        ("Linear", (3,)),
    ]


def test_microexp_stcnn_on_smic() -> None:
    found = shapes(get_system("microexp-stcnn", depth=18), {"clip": (1, 18, 64, 64)}, LAYERS)
    assert found[:4] == [
        ("Conv3d", (32, 4, 62, 62)),
        ("MaxPool3d", (32, 1, 20, 20)),
        ("Dropout", (32, 1, 20, 20)),
        ("Flatten", (12800,)),
    ]


STREAM = [
    ("Conv3d", (32, 82, 30, 30)),
    ("MaxPool3d", (32, 27, 10, 10)),
    ("Dropout", (32, 27, 10, 10)),
    ("Flatten", (86400,)),
]
PARTS = {"eyes": (1, 96, 32, 32), "mouth": (1, 96, 32, 32)}


def test_microexp_fusenet_intermediate_is_table_2() -> None:
    dense = [("Linear", (1024,)), ("Dropout", (1024,)), ("Linear", (128,)), ("Dropout", (128,)), ("Linear", (3,))]
    system = get_system("microexp-fusenet-intermediate")
    assert shapes(system, PARTS, LAYERS) == STREAM + STREAM + dense
    with torch.device("meta"):
        first = system.network(3).first[0]  # type: ignore[attr-defined]
    assert first.in_features == 2 * 86400


def test_microexp_fusenet_late_is_table_3() -> None:
    stream = [*STREAM, ("Linear", (1024,)), ("Dropout", (1024,)), ("Linear", (128,)), ("Dropout", (128,))]
    system = get_system("microexp-fusenet-late")
    assert shapes(system, PARTS, LAYERS) == [*stream, *stream, ("Linear", (3,))]
    with torch.device("meta"):
        assert system.network(3).classify.in_features == 256  # type: ignore[attr-defined]


def test_microexp_has_the_parameters_of_its_layers_in_keras() -> None:
    convolution = 32 * (3 * 3 * 15 + 1)

    def dense(*units: int) -> int:
        return sum((before + 1) * after for before, after in itertools.pairwise(units))

    expected = {
        "microexp-stcnn": convolution + dense(345600, 128, 3),
        "microexp-fusenet-intermediate": 2 * convolution + dense(172800, 1024, 128, 3),
        "microexp-fusenet-late": 2 * (convolution + dense(86400, 1024, 128)) + dense(256, 3),
    }
    assert {name: parameters(get_system(name)) for name in expected} == expected


def test_kernels_of_microexp_are_those_of_table_9() -> None:
    found = shapes(get_system("microexp-stcnn", kernel=7, kernel_depth=19), {"clip": (1, 96, 64, 64)}, LAYERS)
    assert found[:2] == [("Conv3d", (32, 78, 58, 58)), ("MaxPool3d", (32, 26, 19, 19))]
    with pytest.raises(RecogniserError, match="a kernel of 3 x 3 x 19 leaves nothing to pool of 64 x 64 x 18"):
        get_system("microexp-stcnn", depth=18, kernel_depth=19)


def test_the_kernel_of_microexp_is_3_by_3_by_15_with_32_filters() -> None:
    with torch.device("meta"):
        convolution = get_system("microexp-stcnn").network(3).convolution[0]  # type: ignore[attr-defined]
    assert convolution.weight.shape == (32, 1, 15, 3, 3)


def recurrent(maps: int, height: int, width: int) -> list[tuple[str, Shape]]:
    """Table I: one feed-forward 1x1, three recurrent 3x3, which keep the size."""
    return [("Conv2d", (maps, height, width))] * 4


@pytest.mark.parametrize(
    ("name", "inputs", "sides"),
    [
        (
            "strcn-a",
            {"clip": (3, 30, 64, 48)},
            # 30 % of 64 x 48 pixels over 30 frames; 5x5; pools 4x1, 4x1, 4x4, 2x2
            [(918, 26), (229, 26), (57, 26), (14, 6), (7, 3)],
        ),
        (
            "strcn-g",
            {"flow": (2, 300, 245)},
            # 5x5; pools 4x4, 4x4, 4x4, 2x2
            [(296, 241), (74, 60), (18, 15), (4, 3), (2, 1)],
        ),
    ],
)
def test_strcn_is_table_1(
    name: str, inputs: dict[str, Shape], sides: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from recognizer.systems import strcn_a

    # Which pixels they are has no bearing on shapes, and no tensor without data can tell that they have been learned.
    monkeypatch.setattr(strcn_a.Network, "_learned", lambda network: network.mask)
    expected: list[tuple[str, Shape]] = [("Conv2d", (32, *sides[0]))]
    for side in sides[1:]:
        expected += [("MaxPool2d", (32, *side)), *recurrent(32, *side)]
    expected += [("AdaptiveAvgPool2d", (32, 1, 1)), ("Linear", (3,))]
    system = get_system(name, maps=32)
    assert shapes(system, inputs, (nn.Conv2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Linear)) == expected


def test_kernels_of_strcn_are_table_1s() -> None:
    with torch.device("meta"):
        layers = get_system("strcn-g", maps=8).network(3).layers  # type: ignore[attr-defined]
    kernels = [tuple(layer.weight.shape) for layer in layers.modules() if isinstance(layer, nn.Conv2d)]
    assert kernels == [(8, 2, 5, 5)] + [(8, 8, 1, 1), (8, 8, 3, 3)] * 4


def test_tscnn_is_figure_1() -> None:
    def stream(side: int) -> list[tuple[str, Shape]]:
        half, quarter, eighth = side // 2, side // 4, side // 8
        return [
            ("Conv2d", (64, side, side)),
            ("MaxPool2d", (64, half, half)),
            ("Conv2d", (64, half, half)),
            ("Conv2d", (64, half, half)),
            ("AvgPool2d", (64, quarter, quarter)),
            ("Conv2d", (128, quarter, quarter)),
            ("Conv2d", (128, quarter, quarter)),
            ("AvgPool2d", (128, eighth, eighth)),
            ("Flatten", (128 * eighth * eighth,)),
        ]

    inputs = {"static": (1, 48, 48), "local": (9, 16, 16), "dynamic": (4, 48, 48)}
    found = shapes(get_system("tscnn"), inputs, LAYERS)
    features = 2 * 4608 + 512
    assert found == [*stream(48), *stream(16), *stream(48), ("Dropout", (features,)), ("Linear", (3,))]


def test_a_slope_of_tscnn_belongs_to_a_channel() -> None:
    convolutions = 25 * (1 + 9 + 4) * 64 + 3 * 64 + 25 * 64 * (64 + 64 + 128) + 25 * 128 * 128 + 2 * 64 + 2 * 128
    slopes = 3 * 64 + 2 * 64 + 2 * 128
    assert parameters(get_system("tscnn")) == convolutions + slopes + (2 * 4608 + 512) * 3 + 3


@pytest.mark.parametrize("streams", [{"static"}, {"local"}, {"dynamic"}, {"local", "dynamic"}])
def test_streams_of_tscnn_can_be_left_out(streams: set[str]) -> None:
    system = get_system("tscnn", **{f"no_{name}": name not in streams for name in ("static", "local", "dynamic")})
    with torch.device("meta"):
        network = system.network(3)  # type: ignore[attr-defined]
    assert set(network.first) == streams
    assert network.classify.in_features == sum(
        {"static": 4608, "local": 512, "dynamic": 4608}[each] for each in streams
    )


KINDS = (nn.Conv3d, nn.MaxPool3d, nn.Conv2d, nn.MaxPool2d, nn.Flatten, nn.Linear)


def multiview_stream(steps: int) -> list[tuple[str, Shape]]:
    gates = [("Conv2d", (128, 42, 42))] * (1 + steps)  # all inputs at once, then every state
    return [
        ("Conv3d", (32, 18 if steps == 6 else 17, 126, 126)),
        ("MaxPool3d", (32, steps, 42, 42)),
        *gates,
        *gates,
        ("Conv2d", (32, 42, 42)),
        ("Conv2d", (32, 42, 42)),
        ("MaxPool2d", (32, 21, 21)),
        ("Conv2d", (32, 21, 21)),
        ("MaxPool2d", (32, 10, 10)),
        ("Flatten", (3200,)),
    ]


def test_multiview_has_the_papers_layers() -> None:
    found = shapes(get_system("multiview"), {"frames": (3, 32, 128, 128), "flow": (2, 31, 128, 128)}, KINDS)
    assert found == [
        *multiview_stream(6),
        *multiview_stream(5),
        ("Linear", (128,)),
        ("Conv3d", (32, 31, 64, 64)),
        ("Linear", (64,)),
        ("Linear", (64,)),
        ("Linear", (3,)),
    ]
    with torch.device("meta"):
        streams = get_system("multiview").network(3).streams  # type: ignore[attr-defined]
    assert streams["frames"].short[0].weight.shape == (32, 3, 15, 3, 3)
    assert streams["flow"].short[0].weight.shape == (32, 2, 15, 3, 3)


@pytest.mark.parametrize(
    ("option", "left_out"),
    [("no_flow", "streams.flow"), ("no_snn", "spiking"), ("no_convlstm", "streams.frames.long")],
)
def test_an_ablation_of_multiview_leaves_its_part_out(option: str, left_out: str) -> None:
    options = {"size": 32, "frames": 20, "filters": 4, "units": 8}
    with torch.device("meta"):
        whole = get_system("multiview", **options).network(3)  # type: ignore[attr-defined]
    system = get_system("multiview", **options, **{option: True})
    assert isinstance(system, NeuralSystem)
    network = system.network(3)
    assert any(name.startswith(left_out) for name, _ in whole.named_parameters())
    assert not any(name.startswith(left_out) for name, _ in network.named_parameters())
    inputs = {"frames": torch.zeros(2, 3, 20, 32, 32), "flow": torch.zeros(2, 2, 19, 32, 32)}
    if option == "no_flow":
        del inputs["flow"]
    assert network(inputs).shape == (2, 3)
