"""Building blocks of systems, compared with their definitions."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import AstronautDetector, astronaut
from numpy.typing import NDArray
from torch import nn

from mvgen.core.camera import EYE_DISTANCE
from mvgen.core.landmarks68 import MOUTH, five_points
from mvgen.faces.crop import crop_frames, track_face
from mvgen.faces.face_mesh import FaceMesh
from mvgen.faces.landmarks import ibug_landmarks
from recognizer.errors import RecogniserError
from recognizer.evaluation.synthetic_samples import synthetic_sample
from recognizer.ops.alignment import LocalWeightedMean, aligned_face
from recognizer.ops.clips import expression, resampled, resampled_flow, resized_flow, select
from recognizer.ops.convlstm import BiConvLSTM, ConvLSTM
from recognizer.ops.copies import mirrored, turned
from recognizer.ops.faces import box_around, landmarks_of, mean_landmarks
from recognizer.ops.magnification import magnified
from recognizer.ops.recurrent_convolution import RecurrentConvolution
from recognizer.ops.spiking import SpikingBranch
from recognizer.ops.texture import UNIFORM, lbp_sip, lbp_top
from recognizer.systems import get_system
from recognizer.systems.bi_woof import bi_woof
from recognizer.systems.mdmo import POINTS, mdmo, regions
from recognizer.systems.microexp_fusenet import boxes_of
from recognizer.systems.strcn_a import Choices, Network
from recognizer.systems.strcn_g import apex_of

Floats = NDArray[np.float32]


def test_a_clip_is_resampled_from_its_first_frame_to_its_last() -> None:
    values = np.array([[0.0], [2.0], [4.0], [10.0]])
    np.testing.assert_allclose(resampled(values, 7)[:, 0], [0, 1, 2, 3, 4, 7, 10])
    np.testing.assert_allclose(resampled(values, 2)[:, 0], [0, 10])


def test_resampled_flow_adds_up_to_the_same_motion() -> None:
    flow = np.random.default_rng(0).normal(size=(9, 4, 4, 2)).astype(np.float32)
    for count in (4, 10, 25):
        assert resampled_flow(flow, count).shape == (count - 1, 4, 4, 2)
        np.testing.assert_allclose(resampled_flow(flow, count).sum(axis=0), flow.sum(axis=0), atol=1e-5)
    np.testing.assert_allclose(resampled_flow(flow, 10), flow, atol=1e-6)


def test_flow_does_not_depend_on_the_size_of_the_crop() -> None:
    coarse, fine = (synthetic_sample(size=size, strength=size / 32).apex_flow[None] for size in (64, 128))
    np.testing.assert_allclose(resized_flow(coarse, 32, 32), resized_flow(fine, 32, 32), atol=0.05)
    assert resized_flow(coarse, 32, 32).max() == pytest.approx(8, rel=0.05)  # 2 of 64 pixels are 8 of 256


def test_flow_between_the_frames_that_are_left_adds_up() -> None:
    sample = synthetic_sample(frames=9, size=16)
    kept = np.array([0, 3, 4, 8])
    less = select(sample, kept)
    assert (less.onset, less.apex, less.offset) == (0, 2, 3)
    np.testing.assert_allclose(less.flow[0], sample.flow[:3].sum(axis=0), atol=1e-6)
    np.testing.assert_allclose(less.flow[1], sample.flow[3], atol=1e-6)
    np.testing.assert_array_equal(less.frames, sample.frames[kept])


def test_an_expression_is_its_frames_from_onset_to_offset() -> None:
    sample = replace(synthetic_sample(frames=9, size=16), onset=2, apex=4, offset=6)
    face = expression(sample)
    assert (face.onset, face.apex, face.offset) == (0, 2, 4)
    np.testing.assert_array_equal(face.frames, sample.frames[2:7])
    np.testing.assert_array_equal(face.flow, sample.flow[2:6])


def test_a_mirrored_clip_moves_in_the_opposite_direction() -> None:
    sample = synthetic_sample(label=0, size=32)
    image = mirrored(sample)
    assert image.apex_flow[..., 0].min() < -1
    np.testing.assert_array_equal(image.frames[:, :, 0], sample.frames[:, :, -1])
    assert sample.landmarks is not None
    assert image.landmarks is not None
    np.testing.assert_allclose(image.landmarks[36], [32, 0] + sample.landmarks[45] * [-1, 1], rtol=1e-6)
    back = mirrored(image)
    np.testing.assert_array_equal(back.frames, sample.frames)
    np.testing.assert_array_equal(back.flow, sample.flow)
    np.testing.assert_allclose(back.landmarks, sample.landmarks, rtol=1e-5)


def test_a_clip_turned_by_a_right_angle_is_the_turned_picture_with_turned_motion() -> None:
    sample = synthetic_sample(label=0, size=32)
    image = turned(sample, 90)
    np.testing.assert_array_equal(image.frames, np.rot90(sample.frames, axes=(1, 2)))
    rotated = np.rot90(sample.apex_flow)  # counter-clockwise, right becomes up
    np.testing.assert_allclose(image.apex_flow, np.stack([rotated[..., 1], -rotated[..., 0]], axis=-1), atol=1e-5)
    assert sample.landmarks is not None
    assert image.landmarks is not None
    x, y = sample.landmarks.T
    np.testing.assert_allclose(image.landmarks, np.stack([y, 32 - x], axis=-1), atol=1e-4)


def test_landmarks_that_are_not_known_are_a_mean_face_seen_from_the_views_angle() -> None:
    sample = replace(synthetic_sample(size=100), landmarks=None)
    frontal, left = (landmarks_of(replace(sample, view=view)) for view in ("source", "yaw-45"))
    np.testing.assert_allclose(frontal[:, 0] + frontal[::-1, 0][[*range(68)]], frontal[:, 0] + frontal[::-1, 0])
    assert frontal[30, 0] == pytest.approx(50, abs=1e-3)  # the nose's tip is in the middle
    assert left[30, 0] > frontal[30, 0] + 5  # seen from the subject's right, it points to the image's right
    np.testing.assert_array_equal(landmarks_of(replace(sample, view="yaw+00")), frontal)


def test_a_box_around_points_stays_in_the_picture() -> None:
    rows, columns = box_around(np.array([[-5.0, 3.0], [20.0, 7.0]], np.float32), 0.1, 16)
    assert (rows, columns) == (slice(0, 10), slice(0, 16))
    rows, columns = box_around(np.full((3, 2), 99.0, np.float32), 0.0, 16)
    assert (rows, columns) == (slice(14, 16), slice(14, 16))


def test_the_eye_crop_of_fusenet_holds_the_brows_of_a_photographed_face() -> None:
    face = track_face(astronaut()[None], 256, AstronautDetector())
    found = FaceMesh("cpu").find(crop_frames(astronaut()[None], face))
    landmarks = ibug_landmarks(found)[0].astype(np.float32)
    assert landmarks.shape == (68, 2)
    for part, points in (("eyes", np.r_[17:27, 36:48]), ("mouth", np.r_[48:68])):
        rows, columns = boxes_of(landmarks, 256)[part]
        x, y = landmarks[points].T
        assert ((columns.start <= x) & (x < columns.stop)).all(), part
        assert ((rows.start <= y) & (y < rows.stop)).all(), part


def test_local_weighted_mean_of_an_affine_map_is_that_map() -> None:
    points = mean_landmarks(100, "source").astype(np.float64)
    matrix, shift = np.array([[1.1, 0.2], [-0.1, 0.9]]), np.array([3.0, -2.0])
    moved = LocalWeightedMean(points, points @ matrix.T + shift)
    places = np.random.default_rng(0).uniform(0, 100, (50, 2))
    np.testing.assert_allclose(moved(places), places @ matrix.T + shift, atol=1e-8)


def test_local_weighted_mean_moves_what_is_near_to_what_moved() -> None:
    points = mean_landmarks(100, "source").astype(np.float64)
    targets = points.copy()
    targets[MOUTH] += [0.0, 2.0]
    moved = LocalWeightedMean(points, targets)
    mouth = points[MOUTH]
    np.testing.assert_allclose(moved(mouth) - mouth, np.broadcast_to([0.0, 2.0], mouth.shape), atol=0.5)
    brows = points[17:27]
    np.testing.assert_allclose(moved(brows), brows, atol=0.3)


def test_a_face_is_cropped_about_its_eyes_and_brought_to_the_mean_face() -> None:
    size = 128
    sample = synthetic_sample(size=size, frames=2)
    marked = np.zeros((2, size, size), np.uint8)
    assert sample.landmarks is not None
    eyes = five_points(sample.landmarks)[:2]
    for x, y in np.floor(eyes).astype(int):
        marked[:, y - 1 : y + 2, x - 1 : x + 2] = 255
    face = aligned_face(sample, marked)
    unit = EYE_DISTANCE * size
    assert face.shape == (2, round(2.2 * unit), round(1.8 * unit))
    y, x = np.nonzero(face[0] > 100)
    left = x < x.mean()
    # 0.4 beside each eye, 0.6 above; the landmarks of the sample lie a pixel off the mean face's
    assert (x[left] + 0.5).mean() / unit == pytest.approx(0.4, abs=0.03)
    assert (x[~left] + 0.5).mean() / unit == pytest.approx(1.4, abs=0.03)
    assert (y + 0.5).mean() / unit == pytest.approx(0.6, abs=0.03)


def grating(motion: Floats, wavelength: float = 32.0, size: int = 128) -> Floats:
    """(T, size, size) grey in [0, 255], waves shifted by `motion` pixels to the right."""
    x = np.arange(size) - motion[:, None]
    rows = 127 + 60 * np.sin(2 * np.pi * x / wavelength)
    return np.repeat(rows[:, None], size, axis=1).astype(np.float32)


def displacement(clip: Floats, wavelength: float = 32.0) -> Floats:
    """Shift of the waves of each frame to the right of those of the first, pixels."""
    waves = np.exp(-2j * np.pi * np.arange(clip.shape[2]) / wavelength)
    phase = np.angle((clip @ waves).sum(axis=1))
    return -np.angle(np.exp(1j * (phase - phase[0]))) * wavelength / (2 * np.pi)


def test_magnification_makes_a_known_motion_larger() -> None:
    # A period of 16 frames: the band's gain there is the difference of the two low passes' responses.
    motion = (0.1 * np.sin(2 * np.pi * np.arange(96) / 16)).astype(np.float32)
    turn = np.exp(-2j * np.pi / 16)
    gain = 0.4 / (1 - 0.6 * turn) - 0.05 / (1 - 0.95 * turn)
    for factor in (4.0, 8.0):
        found = displacement(magnified(grating(motion), factor))[32:]
        expected = 0.1 * abs(1 + factor * gain)
        assert np.sqrt(2 * (found**2).mean()) == pytest.approx(expected, rel=0.12)
    np.testing.assert_allclose(displacement(magnified(grating(motion), 0.0)), motion, atol=1e-3)


def test_bands_of_magnification_are_chosen_and_may_begin_at_rest() -> None:
    motion = (0.1 * np.sin(2 * np.pi * np.arange(96) / 16)).astype(np.float32)
    turn = np.exp(-2j * np.pi / 16)
    for slow, fast in ((0.4, 1.0), (0.0, 0.05)):
        low = [share / (1 - (1 - share) * turn) for share in (slow, fast)]
        found = displacement(magnified(grating(motion), 8, slow, fast))[32:]
        gain = abs(1 + 8 * (low[1] - low[0]))
        assert np.sqrt(2 * ((found - found.mean()) ** 2).mean()) == pytest.approx(0.1 * gain, rel=0.15)
    sample = synthetic_sample(size=64)
    narrow, usual = (get_system("strcn-a", **band).prepare(sample)["clip"] for band in ({"fast": 0.1}, {}))
    assert np.abs(np.diff(narrow, axis=1)).mean() < np.abs(np.diff(usual, axis=1)).mean()
    with pytest.raises(RecogniserError, match="slow must be less than fast"):
        get_system("strcn-g", slow=0.5)


def test_magnification_leaves_the_first_frame_and_what_is_still() -> None:
    still = grating(np.zeros(6, np.float32))
    np.testing.assert_array_equal(magnified(still, 8), still)
    clip = np.random.default_rng(0).integers(0, 255, (4, 40, 32, 3), np.uint8)
    np.testing.assert_array_equal(magnified(clip, 8)[0], clip[0])
    assert magnified(clip, 8).shape == clip.shape


def test_fine_waves_are_magnified_less() -> None:
    motion = (0.05 * np.sin(2 * np.pi * np.arange(48) / 16)).astype(np.float32)
    fine, coarse = (np.abs(displacement(magnified(grating(motion, each), 8), each)[16:]).max() for each in (4.0, 32.0))
    assert fine < 0.7 * coarse


def test_the_apex_is_where_the_frame_deviates_most() -> None:
    clip = np.random.default_rng(0).uniform(0, 1, (7, 16, 16)).astype(np.float32) + 100
    clip[:, 4:8] += np.array([0, 3, 9, 20, 11, 5, 1], np.float32)[:, None, None]
    assert apex_of(clip) == 3


def test_one_step_of_convlstm_is_equation_5() -> None:
    torch.manual_seed(0)
    cell = ConvLSTM(3, 2, kernel=3).double()
    clip = torch.randn(1, 2, 3, 5, 5, dtype=torch.float64)

    def convolve(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The definition, pixel by pixel."""
        padded = nn.functional.pad(values, (1, 1, 1, 1))
        result = torch.zeros(1, len(weights), 5, 5, dtype=torch.float64)
        for y in range(5):
            for x in range(5):
                result[0, :, y, x] = (weights * padded[0, :, y : y + 3, x : x + 3]).sum(dim=(1, 2, 3))
        return result

    h = c = torch.zeros(1, 2, 5, 5, dtype=torch.float64)
    bias = cell.from_input.bias
    assert bias is not None
    states = []
    for step in range(2):
        gates = [
            convolve(clip[:, step], cell.from_input.weight[2 * gate : 2 * gate + 2])
            + convolve(h, cell.from_state.weight[2 * gate : 2 * gate + 2])
            + bias[2 * gate : 2 * gate + 2, None, None]
            for gate in range(4)
        ]
        i, f, o = (torch.sigmoid(gate) for gate in gates[:3])
        c = f * c + i * torch.tanh(gates[3])
        h = o * torch.tanh(c)
        states.append(h)
    torch.testing.assert_close(cell(clip), torch.stack(states, dim=1))


def test_a_bidirectional_convlstm_reads_from_both_ends() -> None:
    torch.manual_seed(0)
    both = BiConvLSTM(3, 4)
    clip = torch.randn(2, 5, 3, 6, 6)
    expected = both.join(torch.cat([both.ahead(clip)[:, -1], both.back(clip.flip(1))[:, -1]], dim=1))
    torch.testing.assert_close(both(clip), expected)
    both.back.load_state_dict(both.ahead.state_dict())
    with torch.no_grad():
        both.join.weight[:, 4:] = both.join.weight[:, :4]
    torch.testing.assert_close(both(clip), both(clip.flip(1)))


def test_a_recurrent_convolution_is_equations_6_and_7() -> None:
    torch.manual_seed(0)
    layer = RecurrentConvolution(4)
    u = torch.randn(3, 4, 6, 5)
    v = u
    for activation in layer.activations:
        z = nn.functional.conv2d(u, layer.forward_weights.weight)
        z = z + nn.functional.conv2d(v, layer.recurrent_weights.weight, padding=1)
        normalised = (z - z.mean(dim=(0, 2, 3), keepdim=True)) / (
            z.var(dim=(0, 2, 3), keepdim=True, unbiased=False) + activation[0].eps
        ).sqrt()
        v = normalised.clamp(min=0)
    torch.testing.assert_close(layer(u), v, atol=1e-5, rtol=1e-4)


def test_the_mask_is_where_training_clips_change_most() -> None:
    network = Network(Choices(maps=2, share=0.25), classes=3)
    clips = torch.zeros(4, 3, 30, 64, 48)
    with pytest.raises(RuntimeError, match="mask has not been learned"):
        network({"clip": clips})
    clips[:, :, 10:, 16:32] = 1.0  # a quarter of the rows
    clips[:, :, :, :8] = 5.0  # bright, but still
    network.learn_mask([clips[:2], clips[2:]])
    assert network.mask.tolist() == list(range(16 * 48, 32 * 48))
    assert network({"clip": clips}).shape == (4, 3)


def test_spikes_leave_nothing_behind() -> None:
    torch.manual_seed(0)
    branch = SpikingBranch(2, 4, features=8).eval()
    clip = torch.randn(2, 2, 6, 8, 8)
    first = branch(clip)
    torch.testing.assert_close(branch(clip), first)
    torch.testing.assert_close(branch(clip[:1]), first[:1])
    assert not any("mem" in name for name in branch.state_dict())
    torch.testing.assert_close(deepcopy(branch)(clip), first)


def test_neurons_fire_at_rest_and_change_with_the_input() -> None:
    torch.manual_seed(0)
    branch = SpikingBranch(2, 4)
    rates: list[torch.Tensor] = []
    branch.dense.register_forward_pre_hook(lambda _, inputs: rates.append(inputs[0].detach()))
    clip = torch.randn(2, 2, 12, 8, 8)
    branch(clip)
    branch(torch.cat([clip[:1], 3 * clip[1:]]))
    assert ((rates[0] > 0.02) & (rates[0] < 0.6)).all()
    assert not torch.allclose(rates[0], rates[1])


def test_patterns_of_lbp_top_are_those_of_scikit_image() -> None:
    from skimage.feature import local_binary_pattern

    clip = np.random.default_rng(0).integers(0, 255, (9, 24, 20), np.uint8)
    features = lbp_top(clip, blocks=1, radius=3).reshape(3, UNIFORM)
    np.testing.assert_allclose(features.sum(axis=1), 1, atol=1e-5)
    inner = slice(3, -3)
    for axis, found in enumerate(features):
        codes = np.stack([local_binary_pattern(plane, 8, 3, "nri_uniform") for plane in np.moveaxis(clip, axis, 0)])
        inside = np.moveaxis(codes, 0, axis)[inner, inner, inner].astype(int)
        expected = np.bincount(inside.ravel(), minlength=UNIFORM) / inside.size
        # Both number uniform patterns in an order of their own; the rest comes last in both.
        np.testing.assert_allclose(np.sort(found[:-1]), np.sort(expected[:-1]), atol=1e-6)
        assert found[-1] == pytest.approx(expected[-1])


def test_histograms_of_lbp_top_are_blocks_that_sum_to_one() -> None:
    clip = np.random.default_rng(0).integers(0, 255, (8, 26, 26), np.uint8)
    features = lbp_top(clip, blocks=4, radius=2)
    assert features.shape == (4 * 4 * 3 * UNIFORM,)
    np.testing.assert_allclose(features.reshape(-1, UNIFORM).sum(axis=1), 1, atol=1e-5)
    flat = lbp_top(np.full((8, 26, 26), 77, np.uint8), blocks=2, radius=2).reshape(-1, UNIFORM)
    np.testing.assert_array_equal(flat.argmax(axis=1), UNIFORM - 2)  # all eight neighbours reach the pixel's value
    np.testing.assert_array_equal(flat.max(axis=1), 1)


def test_patterns_of_lbp_sip_follow_its_definition() -> None:
    # Brighter to the right and over time, the same from row to row.
    ramp = np.add.outer(np.arange(8), np.add.outer(np.zeros(9, int), np.arange(10))).astype(np.uint8)
    space, time = np.split(lbp_sip(ramp, blocks=1, radius=1), [16])
    assert space.argmax() == 0b0111  # above, right and below, not left
    assert time.argmax() == 0b10  # after, not before
    np.testing.assert_allclose([space.sum(), time.sum()], 1)
    assert lbp_sip(ramp, blocks=2, radius=1).shape == (2 * 2 * 20,)


def test_bi_woof_counts_what_is_strained() -> None:
    still = np.broadcast_to(np.array([2.0, 0.0], np.float32), (32, 32, 2))
    assert bi_woof(still, 4, 8).sum() == 0  # everything moves alike: no strain
    flow = np.zeros((32, 32, 2), np.float32)
    flow[8:16, 16:24, 1] = np.arange(8)  # downward, more to the right
    features = bi_woof(flow, 4, 8).reshape(4, 4, 8)
    assert features.sum() == pytest.approx(1)
    assert features[1, 2].sum() == pytest.approx(1)
    assert features[1, 2].argmax() == 6  # +90 degrees of -180 to 180, in eight sectors


def test_mdmo_finds_the_main_direction_of_a_region() -> None:
    owner = regions(mean_landmarks(64, "source"), 64)
    assert set(np.unique(owner)) == set(range(-1, len(POINTS)))
    flow = np.zeros((3, 64, 64, 2), np.float32)
    corner, chin = 27, 35
    assert POINTS[corner] == (48,)
    flow[:, owner == corner] = [0.0, -2.0]
    flow[:, owner == chin] = [1.0, 0.0]
    members = np.argwhere(owner == chin)[:2]
    flow[:, members[:, 0], members[:, 1]] = [-9.0, 0.0]  # few pixels with another direction do not count
    features = mdmo(flow, owner, balance=0.8)
    magnitude, angle = features[: len(POINTS)] / 0.8, features[len(POINTS) :] / 0.2
    assert magnitude[corner] == pytest.approx(1)
    assert magnitude[chin] == pytest.approx(0.5)
    assert angle[corner] == pytest.approx(-np.pi / 2, abs=1e-5)
    assert angle[chin] == pytest.approx(0, abs=1e-6)
    assert np.delete(magnitude, [corner, chin]).max() == 0
