"""Flow: which way it points, how exact it is, and what stays zero."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from factories import astronaut

from mvgen.flow import flow, flow_between
from mvgen.records import Image


def shifted(image: Image, dx: float, dy: float) -> Image:
    matrix = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
    return np.asarray(
        cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT),
        np.uint8,
    )


def face() -> Image:
    return astronaut()[40:232, 130:322]


@pytest.mark.parametrize(("dx", "dy"), [(1.0, 0.0), (0.0, -1.5), (0.5, 0.5), (-2.0, 1.0)])
def test_flow_points_from_the_first_frame_to_the_second(dx: float, dy: float) -> None:
    motion = flow_between(face(), shifted(face(), dx, dy))
    assert motion.shape == (192, 192, 2)
    np.testing.assert_allclose(np.median(motion[20:-20, 20:-20], axis=(0, 1)), [dx, dy], atol=0.1)


def test_flow_goes_from_frame_to_frame_and_is_zero_off_the_surface() -> None:
    surface = np.zeros((192, 192), bool)
    surface[40:150, 40:150] = True
    clip = np.stack([face(), shifted(face(), 1, 0), shifted(face(), 1, 2)])
    motion = flow(clip, surface)
    assert motion.shape == (2, 192, 192, 2)
    assert motion.dtype == np.float32
    np.testing.assert_allclose(np.median(motion[:, surface], axis=1), [[1, 0], [0, 2]], atol=0.1)
    assert not motion[:, ~surface].any()


def test_still_frames_do_not_move() -> None:
    assert np.abs(flow_between(face(), face())).max() == 0


def test_one_frame_has_no_flow() -> None:
    assert flow(face()[None], np.ones((192, 192), bool)).shape == (0, 192, 192, 2)


def test_flow_does_not_depend_on_the_number_of_threads() -> None:
    before = cv2.getNumThreads()
    try:
        results = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            results.append(flow_between(face(), shifted(face(), 0.7, 0.3)))
            assert cv2.getNumThreads() == threads
        np.testing.assert_array_equal(results[0], results[1])
    finally:
        cv2.setNumThreads(before)
