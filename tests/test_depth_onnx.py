"""A user's own depth or normal model: what it adds to the fit, and files that cannot be used."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import EllipsoidEstimator, astronaut, known_tools
from fake_build import FakeStages, list_clips, make_config, make_source
from numpy.typing import NDArray
from photograph_build import smiling

import mvgen
from mvgen.building.build import build
from mvgen.core.camera import crop_camera
from mvgen.core.config import BuildConfig, file_digest
from mvgen.core.errors import ClipError, MissingPartError, RecipeError, StoreError, WeightsError
from mvgen.core.records import FacePrediction, Image
from mvgen.core.settings import by_part, load_config
from mvgen.depth.onnx_estimator import OnnxEstimator
from mvgen.depth.onnx_model import OnnxModel
from mvgen.morphable.model import face_model
from mvgen.morphable.rasterise import fit_image, rasterise, vertex_normals
from mvgen.pipeline.clip import build_clip

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIZE = 96
CAMERA = crop_camera(SIZE)
GREY = [[1 / 3, 1 / 3, 1 / 3]]


class FitNetwork(EllipsoidEstimator):
    """A depth network that adds nothing to the fit and sees face everywhere."""

    def predict(self, crops: Image, fit: NDArray[np.float32]) -> FacePrediction:
        depth = np.broadcast_to(fit[..., 0], crops.shape[:3])
        return FacePrediction(depth, np.ones(depth.shape, np.float32))


@cache
def mean_fit() -> NDArray[np.float32]:
    return fit_image(CAMERA, face_model().mean.astype(np.float64))


def bumped() -> tuple[NDArray[Any], NDArray[Any]]:
    """Vertices of the mean face with a bump on a cheek, and the bump's depth image."""
    vertices = face_model().mean.astype(np.float64)
    bump = 0.08 * np.exp(-((vertices[:, :2] - (0.45, -0.6)) ** 2).sum(axis=1) / (2 * 0.15**2))
    return vertices + bump[:, None] * (0, 0, 1), rasterise(CAMERA, vertices, bump[:, None])[..., 0]


def write_model(  # noqa: PLR0917
    path: Path,
    weights: Any = GREY,
    after: str = "Identity",
    shape: tuple[Any, ...] = (1, 3, SIZE, SIZE),
    outputs: tuple[str, ...] = ("map",),
    constant: NDArray[Any] | None = None,
) -> Path:
    """A model whose map is a sum of the picture's colours at each pixel, through one operation, plus a constant."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    kernel = np.asarray(weights, np.float32)[..., None, None]
    steps, name = [], "picture"
    if shape[-1] == 3:
        steps.append(helper.make_node("Transpose", [name], ["first"], perm=[0, 3, 1, 2]))
        name = "first"
    steps.append(helper.make_node("Conv", [name, "kernel"], ["mixed"]))
    steps.append(helper.make_node(after, ["mixed"], ["seen"]))
    constants = [numpy_helper.from_array(kernel, "kernel")]
    constants.append(
        numpy_helper.from_array(np.float32(0) if constant is None else constant.astype(np.float32), "plus")
    )
    steps += [helper.make_node("Add", ["seen", "plus"], [output]) for output in outputs]
    picture = helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, shape)
    found = [helper.make_tensor_value_info(each, onnx.TensorProto.FLOAT, None) for each in outputs]
    graph = helper.make_graph(steps, "tiny", [picture], found, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def grey_picture(depth: NDArray[Any]) -> Image:
    """(S, S, 3) uint8 whose brightness is depth, from 55 for the farthest to 255 for the nearest."""
    far, near = np.nanmin(depth), np.nanmax(depth)
    level = 55 + 200 * (np.nan_to_num(depth, nan=far) - far) / (near - far)
    return np.repeat(level.round().astype(np.uint8)[..., None], 3, axis=2)


def added(path: Path, crop: Image, **options: Any) -> NDArray[Any]:
    """(S, S), what a model adds to the mean face; NaN off it."""
    seen = OnnxEstimator(FitNetwork(), OnnxModel(path, **options)).predict(crop[None], mean_fit()[None])
    return seen.depth[0] - mean_fit()[..., 0]


@pytest.mark.parametrize(
    ("weights", "after", "shape"),
    [
        (GREY, "Identity", (1, 3, SIZE, SIZE)),
        (GREY, "Reciprocal", (1, SIZE, SIZE, 3)),  # depth from brightness that is inverse depth
        ([[-2.0, -2.0, -2.0]], "Identity", ("n", 3, "h", "w")),  # away from the camera, any size
    ],
)
def test_a_depth_map_of_any_scale_and_sign_or_its_inverse_adds_its_detail(
    tmp_path: Path, weights: Any, after: str, shape: tuple[Any, ...]
) -> None:
    vertices, bump = bumped()
    picture = grey_picture(fit_image(CAMERA, vertices)[..., 0])
    found = added(write_model(tmp_path / "a.onnx", weights, after, shape), picture, scale="unit")
    known = np.isfinite(mean_fit()[..., 0])
    np.testing.assert_array_equal(np.isfinite(found), known)
    assert np.abs(found - bump)[known].mean() < 0.004  # the picture has 8 bits: steps of 0.007
    assert found[bump > 0.07].min() > 0.05


def test_a_normal_map_adds_its_detail_whichever_way_its_axes_point(tmp_path: Path) -> None:
    vertices, bump = bumped()
    normals = rasterise(CAMERA, vertices, vertex_normals(vertices))
    picture = np.nan_to_num((127.5 * normals + 127.5).round(), nan=0).astype(np.uint8)
    known = np.isfinite(mean_fit()[..., 0])
    for signs in ((1, 1, 1), (-1, 1, -1)):
        found = added(write_model(tmp_path / "a.onnx", np.diag(signs)), picture, scale="symmetric")
        assert np.corrcoef(found[known], bump[known])[0, 1] > 0.8
        assert 0.04 < found[bump > 0.07].mean() < 0.09
    colours = added(write_model(tmp_path / "a.onnx", np.eye(3)), picture, scale="unit")
    np.testing.assert_allclose(colours[known], found[known], atol=1e-4)


def test_a_clip_asks_the_model_once_and_shows_its_first_frame(tmp_path: Path) -> None:
    model = OnnxModel(write_model(tmp_path / "a.onnx"), "unit")
    asked: list[Image] = []
    estimator = OnnxEstimator(FitNetwork(), lambda crop: asked.append(crop) or model(crop))  # type: ignore[arg-type]
    first = grey_picture(fit_image(CAMERA, bumped()[0])[..., 0])
    crops = np.stack([first, *np.random.default_rng(0).integers(0, 255, (2, SIZE, SIZE, 3), np.uint8)])
    alone = estimator.predict(crops[:1], mean_fit()[None])  # as the registration does
    together = estimator.predict(crops, mean_fit()[None])
    assert [np.array_equal(one, first) for one in asked] == [True]
    np.testing.assert_array_equal(together.depth, np.repeat(alone.depth, 3, axis=0))
    assert estimator.predict(crops[:0], mean_fit()[None]).depth.shape == (0, SIZE, SIZE)


@pytest.mark.slow
def test_a_whole_clip_asks_the_model_once(tmp_path: Path) -> None:
    depth = np.nan_to_num(fit_image(CAMERA, bumped()[0])[..., 0], nan=-2.0)
    model = OnnxModel(write_model(tmp_path / "a.onnx", [[0.0, 0.0, 0.0]], constant=-depth))
    asked: list[int] = []
    estimator = OnnxEstimator(FitNetwork(), lambda crop: asked.append(1) or model(crop))  # type: ignore[arg-type]
    clip = list_clips(make_source(tmp_path / "root", subjects=1, clips=1))[0]
    config = load_config(None, by_part({"size": SIZE, "angles": "30"}))
    tools = replace(known_tools(), estimator=estimator)
    built = build_clip(clip, smiling(len(clip.frames), 1, 0), config, tools)
    assert len(asked) == 1
    assert np.isfinite(built.reconstruction.depth.depth).any()


def test_where_something_hides_the_face_the_fit_is_kept(tmp_path: Path) -> None:
    class Half(FitNetwork):
        def predict(self, crops: Image, fit: NDArray[np.float32]) -> FacePrediction:
            seen = super().predict(crops, fit)
            return seen._replace(face=seen.face * (np.arange(SIZE) < SIZE // 2).astype(np.float32))

    crop = grey_picture(fit_image(CAMERA, bumped()[0])[..., 0])
    estimator = OnnxEstimator(Half(), OnnxModel(write_model(tmp_path / "a.onnx"), "unit"))
    found = estimator.predict(crop[None], mean_fit()[None]).depth[0] - mean_fit()[..., 0]
    assert np.nanmax(np.abs(found[:, SIZE // 2 :])) < 0.02  # the bump there has 0.08


def test_a_map_of_something_else_is_a_clip_that_cannot_be_built(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.onnx")
    noise = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    for crop in (noise, np.full_like(noise, 128)):
        with pytest.raises(ClipError, match=r"depth: the map does not follow the face.*a\.onnx"):
            added(path, crop)
    with pytest.raises(ClipError, match="does not follow the face"):
        added(write_model(path, np.eye(3)), noise)
    for weights in (GREY, np.eye(3)):
        nowhere = write_model(path, weights, constant=np.full((SIZE, SIZE), np.nan))
        with pytest.raises(ClipError, match=r"unknown \(NaN\) in most of the face.*without --depth-onnx"):
            added(nowhere, noise)


def test_one_of_several_maps_is_chosen_by_name(tmp_path: Path) -> None:
    path = write_model(tmp_path / "a.onnx", np.eye(3), outputs=("points", "normal"))
    with pytest.raises(WeightsError, match="choose with --depth-onnx-output, one of points, normal"):
        OnnxModel(path)
    with pytest.raises(WeightsError, match="no map 'depth'"):
        OnnxModel(path, output="depth")
    crop = grey_picture(mean_fit()[..., 0])
    assert OnnxModel(path, output="normal")(crop).shape == (SIZE, SIZE, 3)
    np.testing.assert_allclose(OnnxModel(path, "byte", "points")(crop)[..., 0], crop[..., 2])


def external(path: Path) -> Path:
    """A model with weights in a file outside its folder."""
    model = onnx.load(write_model(path))
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "is not an ONNX file"),
        (lambda path: path.write_bytes(b"no model" * 100), "is not an ONNX file"),
        (lambda path: path.mkdir(), "cannot be read"),
        (external, "keeps weights in other files"),
        (lambda path: write_model(path, after="NoSuchOperation"), "cannot be loaded by ONNX Runtime"),
        (lambda path: write_model(path, shape=(2, 3, SIZE, SIZE)), "not one RGB picture"),
        (lambda path: write_model(path, shape=(1, 4, SIZE, SIZE)), "without three channels"),
        (lambda path: write_model(path, shape=(1, 3, 64, 96)), "takes pictures of 64 x 96 pixels"),
        (lambda path: write_model(path, shape=(1, 3, 1 << 20, 1 << 20)), "squares of at most"),
        (lambda path: write_model(path, np.ones((2, 3))), "has no output of one channel"),
        (lambda path: write_model(path, shape=(1, 3, "h", "w"), constant=np.zeros((7, 7))), "cannot be run"),
    ],
)
def test_a_file_that_is_no_such_model_is_refused_by_name(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "a.onnx")
    with pytest.raises(WeightsError, match=rf"depth model .*a\.onnx .*{message}.*; give another --depth-onnx"):
        OnnxModel(tmp_path / "a.onnx")


def test_a_model_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mvgen.depth.onnx_model._SECONDS", 0.5)
    helper, kind = onnx.helper, onnx.TensorProto
    model = onnx.load(write_model(tmp_path / "a.onnx"))
    values = [("count", kind.INT64, []), ("go", kind.BOOL, []), ("before", kind.FLOAT, None)]
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Neg", ["before"], ["after"])],
        "body",
        [helper.make_tensor_value_info(*value) for value in values],
        [helper.make_tensor_value_info("on", kind.BOOL, []), helper.make_tensor_value_info("after", kind.FLOAT, None)],
    )
    loop = helper.make_node("Loop", ["", "yes", "map"], ["last"], body=body)
    model.graph.node.append(loop)
    model.graph.initializer.append(helper.make_tensor("yes", kind.BOOL, [], [True]))
    model.graph.output[0].name = "last"
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match=r"a\.onnx cannot be run: one picture takes over 0.5 seconds"):
        OnnxModel(tmp_path / "a.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_extra_its_name_is_given(tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPartError, match=r"pip install 'mvgen\[onnx\]'"):
        OnnxModel(path)


def test_the_file_is_part_of_what_a_build_is(tmp_path: Path) -> None:
    from mvgen.pipeline.stages import PipelineStages
    from mvgen.publish.rebuild import _check_weights

    root, one, other = make_source(tmp_path / "root", subjects=1, clips=1), tmp_path / "1.onnx", tmp_path / "2.onnx"
    write_model(one)
    write_model(other, [[1.0, 0.0, 0.0]])
    config = make_config(root, tmp_path / "out", depth_onnx=one)
    assert config.identity()["geometry"]["depth_onnx"] == file_digest(one)
    assert PipelineStages().weights(config)["depth-onnx"] == file_digest(one)
    without = BuildConfig()
    assert "onnxruntime" not in PipelineStages().software(without)
    assert "onnxruntime" in PipelineStages().software(without.changed(geometry={"depth_onnx": one}))
    build(config, FakeStages(root))
    assert build(config, FakeStages(root)).nothing_to_do
    with pytest.raises(StoreError, match="depth_onnx"):
        build(make_config(root, tmp_path / "out", depth_onnx=other), FakeStages(root))
    with pytest.raises(RecipeError, match=rf"made with --depth-onnx of sha256 {file_digest(one)}; give that file"):
        _check_weights("geometry.depth_onnx", file_digest(one), None)
    one.write_bytes(b"no model")
    with pytest.raises(WeightsError, match="is not an ONNX file"):
        PipelineStages().weights(load_config(None, by_part({"depth_onnx": one})))


@pytest.mark.slow
def test_on_a_photograph_the_models_detail_lies_on_the_fit(tmp_path: Path) -> None:
    depth = np.nan_to_num(fit_image(crop_camera(SIZE), bumped()[0])[..., 0], nan=-2.0)
    path = write_model(tmp_path / "a.onnx", [[0.0, 0.0, 0.0]], constant=5 - 3 * depth)
    face = mvgen.reconstruct(astronaut(), depth_onnx=path, angles="20", size=128, device="cpu")
    detail = face.surface.depth - fit_image(face.surface.camera, face.fit.vertices[0])[..., 0]
    assert np.isfinite(detail).sum() > 128**2 / 5
    assert 0.005 < np.nanmean(np.abs(detail)) < 0.1
    cheeks = [np.nanmean(detail[68:82, columns]) for columns in (slice(76, 90), slice(38, 52))]
    assert cheeks[0] > cheeks[1] + 0.03  # the map's bump is on the cheek at image right
