"""Publishing a dataset with its pixels: the usual libraries open the result, which holds the same bytes."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from factories import write_stand_in
from fake_build import tree_bytes
from photograph_build import PhotographStages, photograph_config
from PIL import Image

from mvgen.building.build import build
from mvgen.cli import run
from mvgen.core.config import file_digest
from mvgen.core.errors import LicenceError, PublishError
from mvgen.publish.forget import forget_published
from mvgen.publish.formats.columns import COLUMNS, DEPTH_ZERO
from mvgen.publish.formats.samples import depth_png, plan_shards, read_samples
from mvgen.publish.formats.webdataset import sample_key
from mvgen.publish.licence import check_pixels_allowed
from mvgen.publish.pixels import pixel_parts
from mvgen.publish.targets.address import parse_target
from mvgen.publish.writing import plan_publishing
from mvgen.sources.marks import write_mark
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.arrays import npz_bytes, read_arrays, read_maps
from mvgen.store.coding.steps import DEPTH_STEP
from mvgen.store.manifest import ViewRow, read_table

WORDS = "Prof. X, letter of 3 May 2026, for project Y"
KINDS = ("parquet", "webdataset")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a stand-in of CAS(ME)², published in both formats."""
    folder = tmp_path_factory.mktemp("publish")
    write_stand_in(folder / "root", "casme2", subjects=2, clips=1, frames=3)
    write_mark(folder / "root", "CAS(ME)²")
    config = photograph_config(folder / "root", folder / "out", angles="-20", test_share=0.5)
    build(config, PhotographStages(folder / "root"))
    for kind in KINDS:
        plan_publishing(folder / "out", str(folder / kind), pixels=True, kind=kind, permission=WORDS).write()
    return folder


@pytest.fixture
def rows(built: Path) -> list[ViewRow]:
    return read_table(built / "out" / layout.TABLE)


def frames_of(built: Path, row: ViewRow) -> list[bytes]:
    return [(built / "out" / row.frames_directory / name).read_bytes() for name in row.frame_names]


def pixels_of(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)


# Libraries that open it


def test_datasets_opens_it_and_returns_every_frame_and_map(built: Path, rows: list[ViewRow], tmp_path: Path) -> None:
    import datasets

    views = datasets.load_dataset(str(built / "parquet"), cache_dir=str(tmp_path))
    assert set(views) == {"train", "test"}
    assert list(views["train"].features) == [column.name for column in COLUMNS]
    assert views["train"].features["label"].names == ["negative", "positive", "surprise"]
    found = {}
    for split, table in views.items():
        raw = table.cast_column("frames", datasets.List(datasets.Image(decode=False)))
        for whole, item in zip(table, raw, strict=True):
            found[item["clip"], item["view"]] = (split, item, whole)
    assert set(found) == {(row.clip, row.view) for row in rows}
    for row in rows:
        split, item, whole = found[row.clip, row.view]
        assert split == item["split"] == row.split
        assert [frame["bytes"] for frame in item["frames"]] == frames_of(built, row)
        assert [frame["path"] for frame in item["frames"]] == item["frame_names"] == row.frame_names
        assert np.array_equal(np.asarray(whole["frames"][0]), pixels_of(frames_of(built, row)[0]))
        assert item["maps"] == (built / "out" / row.maps).read_bytes()
        geometry = (built / "out" / row.geometry).read_bytes()
        assert item["geometry"] == (geometry if row.view == "source" else None)
        name = None if item["label"] is None else views[split].features["label"].int2str(item["label"])
        assert (name, item["yaw"], item["apex"], item["kept"]) == (row.label, row.yaw, row.apex_index, row.kept)
        maps = read_maps(built / "out", row, flow="none")
        depth, known = np.asarray(whole["depth"]), np.isfinite(maps.depth)
        assert depth.dtype == np.uint16
        assert np.array_equal(depth > 0, known)
        assert np.array_equal((depth[known].astype(np.float32) - DEPTH_ZERO) * DEPTH_STEP, maps.depth[known])
        assert np.array_equal(np.asarray(whole["valid"]) == 255, maps.valid)


def test_webdataset_opens_it_and_returns_every_frame(built: Path, rows: list[ViewRow]) -> None:
    import webdataset

    shards = sorted(str(path) for path in (built / "webdataset" / "data").iterdir())
    found = {item["__key__"]: item for item in webdataset.WebDataset(shards, shardshuffle=False)}
    assert set(found) == {sample_key(row) for row in rows}
    for row in rows:
        item = found[sample_key(row)]
        about = json.loads(item["json"])
        assert (about["clip"], about["view"], about["label_name"]) == (row.clip, row.view, row.label)
        assert [item[f"{index:04d}.jpg"] for index in range(row.frames)] == frames_of(built, row)
        assert item["maps.npz"] == (built / "out" / row.maps).read_bytes()
        assert ("geometry.npz" in item) == (row.view == "source")
        assert pixels_of(item["depth.png"]).dtype == np.uint16


@pytest.mark.slow
def test_mlcroissant_accepts_it_and_reads_every_view(
    built: Path, rows: list[ViewRow], caplog: pytest.LogCaptureFixture
) -> None:
    import mlcroissant

    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(jsonld=str(built / "parquet" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    assert dataset.metadata.name == "Multi-view CAS(ME)² (stand-in)"
    assert "not standard" not in caplog.text  # the JSON-LD follows version 1.1
    found = {(view["views/clip"], view["views/view"]): view for view in dataset.records("views")}
    assert set(found) == {(row.clip.encode(), row.view.encode()) for row in rows}
    for row in rows:
        view = found[row.clip.encode(), row.view.encode()]
        stored = frames_of(built, row)
        assert len(view["views/frames"]) == len(stored)
        for picture, content in zip(view["views/frames"], stored, strict=True):
            assert np.array_equal(np.asarray(picture), pixels_of(content))
        assert view["views/maps"] == (built / "out" / row.maps).read_bytes()
        assert np.asarray(view["views/depth"]).dtype == np.uint16
        assert (view["views/yaw"], view["views/split"]) == (row.yaw, row.split.encode())
    labels = {record["labels/number"]: record["labels/class"] for record in dataset.records("labels")}
    assert labels == {0: "negative", 1: "positive", 2: "surprise"}


@pytest.mark.slow
def test_mlcroissant_reads_every_frame_of_the_tar_files(
    built: Path, rows: list[ViewRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlcroissant
    from etils import epath
    from mlcroissant._src.operation_graph.operations import extract

    monkeypatch.setattr(extract, "EXTRACT_PATH", epath.Path(tmp_path))
    dataset = mlcroissant.Dataset(jsonld=str(built / "webdataset" / "croissant.json"))
    found = {record["frames/file"].decode(): record["frames/picture"] for record in dataset.records("frames")}
    stored = {
        f"{sample_key(row)}.{index:04d}.jpg": content
        for row in rows
        for index, content in enumerate(frames_of(built, row))
    }
    assert set(found) == set(stored)
    for name, content in stored.items():
        assert np.array_equal(
            np.asarray(found[name].convert("RGB")), np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        )


# Card, Croissant and manifest


@pytest.mark.parametrize("kind", KINDS)
def test_croissant_holds_name_licence_creator_url_and_digests(built: Path, kind: str) -> None:
    said = json.loads((built / kind / "croissant.json").read_text())
    assert said["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    assert said["name"] == "Multi-view CAS(ME)² (stand-in)"
    assert "no frame of the release" in said["description"]
    assert said["license"] == [
        "CAS(ME)² release agreement: research only, no redistribution",
        "http://casme.psych.ac.cn",
    ]
    assert said["creator"]["name"].startswith("not named")
    assert said["url"] == f"urn:sha256:{file_digest(built / 'out' / layout.DATASET)}"
    assert "10.1109/TAFFC.2017.2654440" in said["citeAs"]
    assert any(WORDS in text for text in said["rai:personalSensitiveInformation"])
    for field in ("dataCollection", "dataBiases", "dataLimitations", "dataUseCases", "dataSocialImpact"):
        assert said[f"rai:{field}"]
    files = {file["contentUrl"]: file for file in said["distribution"] if file["@type"] == "cr:FileObject"}
    there = {path for path in tree_bytes(built / kind) if path not in ("croissant.json", "manifest-sha256.txt")}
    assert set(files) == there
    for name, file in files.items():
        assert file["sha256"] == file_digest(built / kind / name)
        assert file["contentSize"] == f"{(built / kind / name).stat().st_size} B"


@pytest.mark.parametrize("kind", KINDS)
def test_the_manifest_is_what_sha256sum_checks(built: Path, kind: str) -> None:
    line = ["sha256sum", "--check", "--strict", "--quiet", "manifest-sha256.txt"]
    assert subprocess.run(line, cwd=built / kind, check=False).returncode == 0
    listed = {line.split("  ")[1] for line in (built / kind / "manifest-sha256.txt").read_text().splitlines()}
    assert listed == set(tree_bytes(built / kind)) - {"manifest-sha256.txt"}


def test_the_card_states_terms_permission_and_stand_in(built: Path) -> None:
    card = (built / "parquet" / "README.md").read_text()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "other"
    assert front["license_name"] == "cas-me-release-agreement-research-only-no-redistribution"
    assert front["license_link"] == "http://casme.psych.ac.cn"
    assert front["source_datasets"] == ["casme2"]
    assert front["extra_gated_fields"]["I hold CAS(ME)² under its terms"] == "checkbox"
    assert [entry["split"] for entry in front["configs"][0]["data_files"]] == ["test", "train"]
    assert "These are stand-ins" in card
    assert f"- Permission: {WORDS}" in card
    assert f"(value - {DEPTH_ZERO}) / 8192" in card
    assert "10.1109/TAFFC.2017.2654440" in card
    assert str(built) not in card


def test_a_release_is_not_called_a_stand_in(built: Path, rows: list[ViewRow], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for path, content in tree_bytes(built / "out").items():
        if "STAND-IN" not in path:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_bytes(content)
    given: dict[str, Any] = {"permission": None, "creator": "Lab Z", "url": "https://example.org/z"}
    target = parse_target(str(tmp_path / "to"))
    parts = pixel_parts(out, read_about(out), rows, (), target=target, kind="parquet", **given)
    parts[0].write(tmp_path / "card", {})
    card = (tmp_path / "card").read_text()
    assert "stand-in" not in card.replace("a stand-in)", "")
    assert "- Permission: none claimed" in card
    assert "- Published by: Lab Z" in card
    parts[-2].write(tmp_path / "croissant", {})
    said = json.loads((tmp_path / "croissant").read_text())
    assert (said["creator"]["name"], said["url"]) == ("Lab Z", "https://example.org/z")


# How it is packed


@pytest.mark.parametrize("kind", KINDS)
def test_publishing_again_gives_the_same_bytes_and_sends_nothing(built: Path, tmp_path: Path, kind: Any) -> None:
    again = plan_publishing(built / "out", str(tmp_path / "again"), pixels=True, kind=kind, permission=WORDS)
    assert again.write().sent == again.names
    assert tree_bytes(tmp_path / "again") == tree_bytes(built / kind)
    assert again.write().sent == frozenset()


def test_tar_files_name_no_owner_and_no_time(built: Path) -> None:
    for path in (built / "webdataset" / "data").iterdir():
        with tarfile.open(path) as archive:
            members = archive.getmembers()
        assert {(one.mtime, one.uid, one.gid, one.uname, one.gname, one.mode) for one in members} == {
            (0, 0, 0, "", "", 0o644)
        }
        assert not zipfile.is_zipfile(path)  # some readers check this first
        names = [one.name for one in members]
        assert names == sorted(names, key=lambda name: (names.index(f"{name.split('.')[0]}.0000.jpg"), name))


def test_keys_have_no_dots_and_stay_apart(rows: list[ViewRow]) -> None:
    keys = [sample_key(replace(rows[0], clip=clip)) for clip in ("a.b", "a%2Eb", "a_b")]
    assert len(set(keys)) == 3
    assert not any("." in key for key in keys)


def test_shards_hold_every_row_once_and_in_order(built: Path, rows: list[ViewRow], tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    sizes = {path: 10 for row in rows for path in row.files()}
    for limit in (1, 75, 10**6):
        shards = plan_shards(rows, sizes, limit)
        assert sorted(row.frames_directory for shard in shards for row in shard.rows) == sorted(
            row.frames_directory for row in rows
        )
        assert all(shard.size <= limit or len(shard.rows) == 1 for shard in shards)
        assert {row.split == shard.split for shard in shards for row in shard.rows} == {True}
        assert [shard.index for shard in shards if shard.split == "train"] == list(range(shards[0].count))
    given: dict[str, Any] = {"kind": "parquet", "permission": None, "creator": None, "url": None}
    target = parse_target(str(tmp_path))
    parts = pixel_parts(built / "out", read_about(built / "out"), rows, (), target=target, shard_bytes=1, **given)
    train = [part for part in parts if part.name.startswith("data/train-")]
    assert len(train) == 2
    for part in train:
        part.write(tmp_path / Path(part.name).name, {})
    one = pq.ParquetDataset(sorted(tmp_path.glob("*.parquet"))).read()
    (whole,) = (built / "parquet" / "data").glob("train-*")
    assert one.equals(pq.read_table(whole))


def test_depth_that_a_png_cannot_hold_is_refused(built: Path, rows: list[ViewRow], tmp_path: Path) -> None:
    depth = np.full((4, 4), np.nan, np.float32)
    assert not pixels_of(depth_png(depth)).any()
    depth[0] = (-3.99, 0, 3.99, np.nan)
    assert pixels_of(depth_png(depth))[0].tolist() == [82, 32768, 65454, 0]
    depth[1, 1] = 4.1
    with pytest.raises(ValueError, match=r"from -3\.99 to 4\.10"):
        depth_png(depth)
    (tmp_path / rows[0].maps).parent.mkdir(parents=True)
    whole = read_arrays(built / "out" / rows[0].maps)
    whole["depth_step"] = np.array(0.1)
    (tmp_path / rows[0].maps).write_bytes(npz_bytes(whole))
    with pytest.raises(PublishError, match=r"maps/.*beyond -4 to 4"):
        next(read_samples(tmp_path, rows[:1]))


# Targets and terms


def test_a_folder_holds_one_format_of_one_dataset(built: Path, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match=r"holds other files, for example data/.*\.parquet"):
        plan_publishing(built / "out", str(built / "parquet"), pixels=True, kind="webdataset", permission=WORDS)
    with pytest.raises(PublishError, match="holds other files"):
        plan_publishing(built / "out", str(built / "parquet"), permission=WORDS)


def test_closed_sources_are_not_published_publicly(built: Path) -> None:
    with pytest.raises(LicenceError, match=r"may not be passed on.*--i-have-permission"):
        plan_publishing(built / "out", "hf://datasets/me/mine", pixels=True)
    with pytest.raises(LicenceError, match="private or gated"):
        plan_publishing(built / "out", "hf://datasets/me/mine", pixels=True, public=True, permission=WORDS)
    check_pixels_allowed({"name": "demo", "redistribution": "open"}, None, "public")
    check_pixels_allowed({"name": "folder", "redistribution": "gated"}, None, "gated")
    with pytest.raises(LicenceError, match="are gated"):
        check_pixels_allowed({"name": "folder", "redistribution": "gated"}, "me", "public")


def test_a_recipe_takes_no_settings_of_pixels(built: Path, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="a recipe has no --format; add --pixels"):
        plan_publishing(built / "out", str(tmp_path), kind="parquet")


def test_the_command_plans_refuses_and_publishes(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["publish", str(built / "out"), "--to", str(tmp_path / "to"), "--pixels", "--format", "webdataset"]
    assert run(line) == 2
    assert "may not be passed on" in capsys.readouterr().err
    line += ["--i-have-permission", WORDS]
    assert run([*line, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "data/train-00000-of-00001" in printed
    assert "nothing was written" in printed
    assert not (tmp_path / "to").exists()
    assert run(line) == 0
    printed = capsys.readouterr().out
    assert "a folder counts as private" in printed
    assert "6 of them written" in printed
    assert tree_bytes(tmp_path / "to") == tree_bytes(built / "webdataset")
    assert run(line) == 0
    assert "0 of them written" in capsys.readouterr().out


# S3


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a local S3 server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of an empty bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    name = request.node.name.replace("_", "-").lower()[:60].strip("-")
    client().mkdir(name)
    return str(name)


def client() -> Any:
    """A client of the server, independent of the code under test."""
    import fsspec

    return fsspec.filesystem(
        "s3", use_listings_cache=False, client_kwargs={"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    )


def read_back(place: str) -> dict[str, bytes]:
    system = client()
    return {path.removeprefix(f"{place}/"): system.cat_file(path) for path in system.find(place)}


@pytest.mark.slow
def test_s3_gives_back_what_was_published(built: Path, bucket: str) -> None:
    place = f"{bucket}/some/where"
    plan = plan_publishing(built / "out", f"s3://{place}", pixels=True, permission=WORDS)
    order: list[str] = []
    assert plan.write(lambda name, size, sent: order.append(name)).sent == plan.names
    assert order[-1] == "manifest-sha256.txt"
    there, here = read_back(place), tree_bytes(built / "parquet")
    views = {path for path in here if path.startswith("data/")}
    assert set(there) == set(here)
    assert {path: there[path] for path in views} == {path: here[path] for path in views}
    assert json.loads(there["croissant.json"])["url"] == f"s3://{place}"


@pytest.mark.slow
def test_s3_is_sent_missing_files_only(built: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    plan = plan_publishing(built / "out", f"s3://{bucket}/x", pixels=True, permission=WORDS)
    original = s3fs.S3FileSystem.put_file

    def fails_at_the_second_shard(self: Any, path: str, name: str, **options: Any) -> None:
        if "/data/test-" in name:
            raise OSError("the line is cut")
        original(self, path, name, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "put_file", fails_at_the_second_shard)
    with pytest.raises(PublishError, match=r"the line is cut; what was sent is safe: run the same command again"):
        plan.write()
    assert "manifest-sha256.txt" not in read_back(f"{bucket}/x")
    monkeypatch.setattr(s3fs.S3FileSystem, "put_file", original)
    sent = plan.write().sent
    assert {name.split("-")[0] for name in sent} == {"data/test", "croissant.json", "manifest"}
    whole = read_back(f"{bucket}/x")
    client().pipe_file(f"{bucket}/x/README.md", b"x" * len(whole["README.md"]))
    assert plan.write().sent == {"README.md"}
    assert read_back(f"{bucket}/x") == whole


@pytest.mark.slow
def test_a_subject_leaves_what_lies_in_s3(built: Path, rows: list[ViewRow], bucket: str) -> None:
    place, subject = f"{bucket}/deep/er", rows[0].subject
    plan_publishing(built / "out", f"s3://{place}", pixels=True, permission=WORDS).write()
    assert forget_published(f"s3://{place}", subject, "asked to").clips == (rows[0].clip,)
    there = read_back(place)
    assert not [name for name, content in there.items() if rows[0].clip.encode() in content]
    assert layout.FORGOTTEN in there
    assert json.loads(there[layout.DATASET])["counts"]["clips"] == len({row.clip for row in rows}) - 1
    assert forget_published(f"s3://{place}", subject, "asked to").before
    with pytest.raises(PublishError, match="is empty"):
        forget_published(f"s3://{bucket}/nothing", subject, "asked to")


@pytest.mark.slow
def test_a_public_bucket_is_sent_no_face(built: Path, bucket: str) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client().call_s3("put_bucket_policy", Bucket=bucket, Policy=policy)
    plan = plan_publishing(built / "out", f"s3://{bucket}/x", pixels=True, permission=WORDS)
    with pytest.raises(LicenceError, match="can be read by everyone; nothing that shows a face was sent"):
        plan.write()
    assert set(read_back(f"{bucket}/x")) == {"README.md"}
    # A recipe may be published there.
    plan_publishing(built / "out", f"s3://{bucket}/recipe").write()
    assert "recipe.json" in read_back(f"{bucket}/recipe")


@pytest.mark.slow
def test_errors_of_s3_name_the_bucket(built: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PublishError, match="s3://nowhere/x: these keys find no such bucket"):
        plan_publishing(built / "out", "s3://nowhere/x").write()
    client().pipe_file(f"{bucket}/x/notes.txt", b"mine")
    with pytest.raises(PublishError, match=r"holds other files, for example notes\.txt"):
        plan_publishing(built / "out", f"s3://{bucket}/x").write()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(PublishError, match="no keys were found; run `aws configure`"):
        plan_publishing(built / "out", f"s3://{bucket}/y").write()
