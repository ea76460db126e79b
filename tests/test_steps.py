"""Flow and depth as whole steps: what is decoded is what was encoded, and small."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mvgen.motion.flow.methods import ClipFlow
from mvgen.store.arrays import ViewMaps, map_bytes
from mvgen.store.coding.steps import (
    DEPTH_STEP,
    FLOW_STEP,
    decode,
    decode_flow,
    depth_of,
    encode,
    encode_flow,
    quantise_depth,
    quantise_flow,
)


@given(arrays(np.int16, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(-(2**15), 2**15 - 1)))
def test_any_steps_come_back_as_they_were(steps: np.ndarray) -> None:
    coded = encode(steps)
    assert coded.dtype == np.uint8 and coded.shape == (2, *steps.shape)  # noqa: PT018
    assert np.array_equal(decode(coded), steps)


def test_flow_comes_back_as_it_was_rounded_and_without_mvgen_too() -> None:
    flow = np.random.default_rng(0).uniform(-250, 250, (3, 8, 8, 2)).astype(np.float32)
    surface = np.arange(64).reshape(8, 8) % 5 > 0
    coded, rounded = encode_flow(flow, surface), quantise_flow(flow, surface)
    assert np.array_equal(decode_flow(coded), rounded * np.float32(FLOW_STEP))
    # As the page on the store says.
    low, high = np.moveaxis(coded.astype(np.uint16), -3, 0)
    folded = low | high << 8
    plain = np.cumsum((folded >> 1) ^ -(folded & 1), axis=-2, dtype=np.uint16).view(np.int16)
    assert np.array_equal(np.moveaxis(plain, 1, -1), rounded)


def test_depth_is_rounded_to_its_step_and_unknown_where_it_was() -> None:
    depth = np.random.default_rng(0).uniform(-3.9, 3.9, (16, 16)).astype(np.float32)
    depth[:4] = np.nan
    depth[5, 5], depth[5, 6] = 100.0, -100.0
    back = depth_of(quantise_depth(depth))
    assert np.array_equal(np.isnan(back), np.isnan(depth))
    assert back[5, 5] == -back[5, 6] == pytest.approx(4, abs=1e-3)
    back[5, 5:7] = depth[5, 5:7]
    assert np.nanmax(np.abs(back - depth)) <= DEPTH_STEP / 2 + 1e-6


def test_smooth_flow_takes_less_than_half_of_what_plain_steps_take() -> None:
    import zlib

    y, x = np.mgrid[:64, :64].astype(np.float32)
    flow = np.stack([np.stack([np.sin(x / 9 + t), np.cos(y / 9 + t)], -1) for t in range(8)]).astype(np.float32)
    maps = ViewMaps(np.ones((64, 64), bool), np.zeros((64, 64), np.float32), ClipFlow(flow, 0 * flow[0]))
    plain = zlib.compress(np.rint(flow / FLOW_STEP).astype(np.int16).tobytes(), 9)
    assert len(map_bytes(maps)) < len(plain) / 2
