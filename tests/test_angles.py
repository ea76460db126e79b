"""Angles and settings as people write them, and what is refused."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvgen.core.angles import RandomAngles, angle_pairs, parse_angles, view_name
from mvgen.core.config import BuildConfig, file_digest
from mvgen.core.errors import AnglesError, ConfigError
from mvgen.core.settings import SETTINGS, by_part, from_identity, load_config


def test_sweep_includes_both_ends() -> None:
    assert parse_angles("-45:45:10") == (-45, -35, -25, -15, -5, 5, 15, 25, 35, 45)


def test_sweep_ends_where_the_step_does_not_meet_the_last_angle() -> None:
    assert parse_angles("0:25:10") == (0, 10, 20)


def test_list_keeps_its_order_and_drops_repeats() -> None:
    assert parse_angles("30,-30,0,30") == (30, -30, 0)


def test_one_angle_and_fractions() -> None:
    assert parse_angles(" 22.5 ") == (22.5,)
    assert parse_angles("0:1:0.1")[3] == 0.3


def test_minus_zero_is_zero() -> None:
    assert view_name(parse_angles("-0")[0]) == "yaw+00"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0:30:0", "step 0"),
        ("", "empty"),
        ("30:0:10", "no angle"),
        ("-91,0", "beyond"),
        ("0:180:30", "beyond"),
        ("left", "not a number"),
        ("1:2", "2 parts"),
        ("nan", "beyond"),
        ("0:inf:1", "out of range"),
        ("0:90:0.001", "3600"),
    ],
)
def test_bad_angles_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(AnglesError, match=reason):
        parse_angles(text)


@given(first=st.integers(-90, 90), step=st.integers(1, 40), count=st.integers(1, 20), backward=st.booleans())
def test_sweep_has_equal_steps_within_its_ends(first: int, step: int, count: int, backward: bool) -> None:
    signed = -step if backward else step
    last = first + signed * (count - 1)
    if abs(last) > 90:
        return
    assert parse_angles(f"{first}:{last}:{signed}") == tuple(float(first + signed * i) for i in range(count))


@pytest.mark.parametrize(
    ("yaw", "name"), [(None, "source"), (-45, "yaw-45"), (0, "yaw+00"), (5, "yaw+05"), (2.5, "yaw+02.5")]
)
def test_view_names(yaw: float | None, name: str) -> None:
    assert view_name(yaw) == name


def test_flags_stand_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "build.yaml"
    file.write_text("camera: {size: 128, angles: -30:30:30}\nrender:\n  grazing: 60\nflow:\n")
    config = load_config(file, by_part({"size": 192, "grazing": None, "seed": 3}))
    assert (config.camera.size, config.camera.angles, config.render.grazing) == (192, (-30, 0, 30), 60)
    assert (config.split.seed, config.flow) == (3, BuildConfig().flow)


@pytest.mark.parametrize(
    ("text", "angles"),
    [
        ("-45:45:45", (-45, 0, 45)),
        ("[-30, 2.5]", (-30, 2.5)),
        ("15", (15,)),
        ("-30,0", (-30, 0)),
        ("0:1:0.5", (0, 0.5, 1)),
    ],
)
def test_angles_in_a_file_are_written_as_on_the_command_line(
    tmp_path: Path, text: str, angles: tuple[float, ...]
) -> None:
    file = tmp_path / "build.yaml"
    file.write_text(
        f"camera:\n  angles: {text}\n  pivot_depth: -1.5\n"
        "attention: {threshold: 1e-1}\nregistration: {method: none}\n"
    )
    config = load_config(file, {})
    assert config.camera.angles == angles
    assert (config.camera.pivot_depth, config.attention.threshold, config.registration.method) == (-1.5, 0.1, "none")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sise: 128", "unknown setting 'sise'; did you mean 'camera.size'"),
        ("camra: {size: 128}", "unknown setting 'camra'; did you mean 'camera'"),
        ("camera: {sise: 128}", "unknown setting 'camera.sise'; did you mean 'camera.size'"),
        ("camera: {grazing: 60}", "unknown setting 'camera.grazing'; did you mean 'render.grazing'"),
        ("run: {seed: 60}", "unknown setting 'run.seed'; did you mean 'split.seed'"),
        ("1: 2", "unknown setting '1'; known parts: source, split"),
        ("run: fast", "run is a part, not a setting"),
        ("camera: {size: 10}", "camera.size: .*64"),
        ("camera: {angles: 0:1:0}", "step 0"),
        ("camera: {angles: [0, 100]}", "beyond"),
        ("render: {grazing: 91}", "render.grazing"),
        ("camera: {model: pinhole}", "focal and principal"),
        ("camera: {model: fisheye}", "camera.model"),
        ("registration: {min_inliers: 3}", "registration.min_inliers"),
        ("registration: {method: true}", "registration.method"),
        ("- 1", "list"),
        ("a: [", "not valid YAML"),
        ("geometry: {weights: nowhere.safetensors}", "geometry.weights: nowhere.safetensors does not exist"),
        ("render: {jpeg_quality: 90}", "render.jpeg_quality"),
    ],
)
def test_bad_settings_are_refused_with_file_and_reason(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "build.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_config(file, {})
    assert "build.yaml" in str(caught.value) or "angles" in str(caught.value)


def test_a_file_without_parts_is_refused_and_told_where_each_setting_moved(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("size: 128\ncamera: pinhole\nflow: image\nflow_method: dis\nroot:\nrender: {fill: none}\nsise: 1\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    said, *moves = str(caught.value).splitlines()
    assert "old.yaml" in said
    assert [move.strip() for move in moves] == [
        "size -> camera.size",
        "camera -> camera.model",
        "flow -> flow.kind",
        "flow_method -> flow.method",
        "root -> source.root",
    ]


def test_every_setting_of_old_says_where_it_moved(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("".join(f"{name}: 1\n" for name in SETTINGS))
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert len(str(caught.value).splitlines()) == 1 + len(SETTINGS)


def test_missing_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        load_config(tmp_path / "gone.yaml", {})


def test_identity_leaves_out_where_and_how_fast_a_build_runs() -> None:
    here = load_config(None, {"run": {"out": "a", "workers": 1}, "source": {"root": "r"}})
    there = load_config(None, {"run": {"out": "b", "workers": 4}, "source": {"annotations": "s"}})
    other = load_config(None, {"run": {"out": "a"}, "camera": {"size": 128}})
    assert here.identity() == there.identity() != other.identity()
    assert "run" not in here.identity()


def test_an_identity_gives_its_config_back_without_weights(tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"weights")
    given = {"camera": {"size": 128, "angles": "-10,10"}, "geometry": {"method": "model", "weights": weights}}
    config = load_config(None, given)
    changed = {"method": "model", "weights": file_digest(weights)}
    assert config.identity()["geometry"] == {**BuildConfig().identity()["geometry"], **changed}
    assert from_identity(config.identity()) == config.changed(geometry={"weights": None})
    assert from_identity(config.identity(), {"geometry": {"weights": weights}}) == config


def test_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        BuildConfig().camera.size = 3  # type: ignore[misc]


ends = st.tuples(st.floats(-90, 90), st.floats(-90, 90)).map(lambda pair: (min(pair), max(pair)))


@given(ends, ends, st.integers(0, 2**40), st.integers(0, 999), st.integers(0, 999))
def test_random_angles_lie_between_their_ends_and_come_again(
    yaw: tuple[float, float], pitch: tuple[float, float], seed: int, epoch: int, index: int
) -> None:
    angles = RandomAngles(yaw, pitch, seed)
    first = list(islice(angles.draws(epoch, index), 3))
    assert first == list(islice(RandomAngles(yaw, pitch, seed).draws(epoch, index), 3))
    assert all(yaw[0] <= one <= yaw[1] and pitch[0] <= other <= pitch[1] for one, other in first)


def test_random_angles_spread_over_their_range() -> None:
    angles = RandomAngles((-40, 20), (-10, 10))
    drawn = np.array([next(angles.draws(epoch, index)) for epoch in range(20) for index in range(50)])
    np.testing.assert_allclose(drawn.mean(axis=0), [-10, 0], atol=1.5)
    np.testing.assert_allclose(drawn.std(axis=0), [60 / np.sqrt(12), 20 / np.sqrt(12)], rtol=0.05)
    assert len(np.unique(drawn)) == drawn.size


@pytest.mark.parametrize("settings", [{"yaw": (10, -10)}, {"yaw": (-91, 0)}, {"pitch": (0, 95)}, {"seed": -1}])
def test_impossible_random_angles_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(AnglesError, match="random"):
        RandomAngles(**settings)


def test_angles_to_render_are_a_sweep_yaws_or_pairs() -> None:
    assert angle_pairs("-10:10:10") == ((-10, 0), (0, 0), (10, 0))
    assert angle_pairs([5, (5, 0), (5.0, -3)]) == ((5, 0), (5, -3))
    for wrong in ([], [(0, 91)], [float("nan")]):
        with pytest.raises(AnglesError):
            angle_pairs(wrong)


def test_a_view_with_pitch_is_named_by_both_angles() -> None:
    assert view_name(-15, 7.5) == "yaw-15pitch+07.5"
    assert view_name(0, -5) == "yaw+00pitch-05"
    assert view_name(15, 0.0) == "yaw+15"
