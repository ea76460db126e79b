"""Publishing targets: folders and the Hub. S3 is tested in test_publish."""

from __future__ import annotations

import errno
import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2 as httpx
import pytest
from fake_build import tree_bytes
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from huggingface_hub.hf_api import RepoFile, RepoFolder

from mvgen.core.errors import LicenceError, MissingPartError, PublishError, StoreError
from mvgen.publish.plan import Part, Plan, part_of
from mvgen.publish.targets.address import parse_target
from mvgen.publish.targets.base import FileRecord, Target
from mvgen.publish.targets.hub import Hub

CARD, SHARD, LAST = "README.md", "data/train-00000-of-00001.parquet", "manifest-sha256.txt"


class Repository:
    """A Hub with one repository, and a fake `HfApi` client that accepts the arguments of the real one only."""

    def __init__(self, private: bool | None = None, gated: Any = False) -> None:
        self.private, self.gated = private, gated
        self.files: dict[str, bytes] = {".gitattributes": b""}
        self.commits: list[str] = []
        self.api: Any = SimpleNamespace(
            create_repo=checked("create_repo", self._create),
            update_repo_settings=checked("update_repo_settings", self._settle),
            repo_info=checked("repo_info", lambda *_, **__: SimpleNamespace(private=self.private, gated=self.gated)),
            list_repo_tree=checked("list_repo_tree", self._tree),
            upload_folder=checked("upload_folder", self._upload),
            hf_hub_download=checked("hf_hub_download", self._download),
            delete_files=checked("delete_files", self._delete),
        )

    def _create(self, repository: str, *, repo_type: str, private: bool, exist_ok: bool) -> None:
        assert (repository, repo_type, exist_ok) == ("me/mine", "dataset", True)
        self.private = private if self.private is None else self.private

    def _settle(self, repository: str, *, gated: Any, private: bool, repo_type: str) -> None:
        assert not self.commits
        self.gated, self.private = gated, private

    def _tree(self, repository: str, *, recursive: bool, repo_type: str) -> list[RepoFile | RepoFolder]:
        return [RepoFolder(path="data", oid="0"), *(self._entry(name) for name in self.files)]

    def _entry(self, name: str) -> RepoFile:
        content = self.files[name]
        large = {"size": len(content), "oid": hashlib.sha256(content).hexdigest(), "pointerSize": 130}
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        lfs = large if name.endswith(".parquet") else None
        return RepoFile(path=name, size=len(content), oid="0" * 40 if lfs else blob, lfs=lfs)

    def _upload(
        self, *, repo_id: str, repo_type: str, folder_path: Path, allow_patterns: list[str], commit_message: str
    ) -> None:
        for name in allow_patterns:
            self.files[name] = (folder_path / name).read_bytes()
            self.commits.append(name)

    def _download(self, repository: str, name: str, *, repo_type: str, local_dir: Path) -> str:
        path = local_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.files[name])
        return str(path)

    def _delete(self, repository: str, names: list[str], *, repo_type: str, commit_message: str) -> None:
        for name in names:
            del self.files[name]
        self.commits.append("delete")


def checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called only with arguments that the method of `HfApi` takes."""
    signature = inspect.signature(getattr(HfApi, name))

    def call(*arguments: Any, **named: Any) -> Any:
        signature.bind(None, *arguments, **named)
        return function(*arguments, **named)

    return call


def plan_of(target: Target, guarded: bool = True, shard: bytes = b"pixels") -> Plan:
    def write_last(path: Path, files: Mapping[str, FileRecord]) -> None:
        path.write_text("".join(f"{file.sha256}  {name}\n" for name, file in files.items()))

    parts = (part_of(CARD, b"# card"), part_of(SHARD, shard), Part(LAST, None, write_last))
    return Plan(target, parts, guarded)


def test_a_repository_on_the_hub_is_private_and_gated_before_anything_is_sent() -> None:
    there = Repository()
    plan = plan_of(Hub("me/mine", api=there.api))
    assert plan.write().sent == plan.names
    assert (there.private, there.gated) == (True, "manual")
    assert there.commits == [CARD, SHARD, LAST]
    assert there.files[SHARD] == b"pixels"
    assert hashlib.sha256(b"pixels").hexdigest() in there.files[LAST].decode()


def test_the_hub_is_sent_missing_files_only() -> None:
    there = Repository()
    cut = there.api.upload_folder

    def fails_at_the_shard(**given: Any) -> None:
        if given["allow_patterns"] == [SHARD]:
            raise httpx.ConnectError("the line is cut")
        cut(**given)

    there.api.upload_folder = fails_at_the_shard
    with pytest.raises(PublishError, match=r"the line is cut; what was sent is safe: run the same command again"):
        plan_of(Hub("me/mine", api=there.api)).write()
    assert set(there.files) == {".gitattributes", CARD}
    there.api.upload_folder = cut
    there.api.update_repo_settings = lambda *_, **__: None
    assert plan_of(Hub("me/mine", api=there.api)).write().sent == {SHARD, LAST}
    assert plan_of(Hub("me/mine", api=there.api)).write().sent == frozenset()
    assert plan_of(Hub("me/mine", api=there.api), shard=b"PIXELS").write().sent == {SHARD, LAST}


def test_a_public_repository_is_sent_nothing_private() -> None:
    there = Repository(private=False)
    with pytest.raises(PublishError, match="exists and is public"):
        plan_of(Hub("me/mine", api=there.api)).write()
    assert (there.commits, there.private, there.gated) == ([], False, False)
    assert plan_of(Hub("me/mine", public=True, api=there.api), guarded=False).write().sent
    assert not there.gated
    with pytest.raises(PublishError, match="exists and is private or gated; leave out --public"):
        plan_of(Hub("me/mine", public=True, api=Repository(private=True).api)).write()


def test_a_repository_that_becomes_public_meanwhile_is_sent_no_face() -> None:
    there = Repository()
    there.api.update_repo_settings = lambda *_, **__: setattr(there, "private", False)
    with pytest.raises(LicenceError, match="can be read by everyone; nothing that shows a face was sent"):
        plan_of(Hub("me/mine", api=there.api)).write()
    assert there.commits == [CARD]


def test_a_repository_with_other_files_is_refused() -> None:
    there = Repository()
    there.files["data/train-0.tar"] = b"another format"
    with pytest.raises(PublishError, match=r"holds other files, for example data/train-0\.tar"):
        plan_of(Hub("me/mine", api=there.api)).write()
    assert not there.commits


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalTokenNotFoundError("no token"), "not logged in; run `hf auth login`"),
        (
            HfHubHTTPError("no", response=httpx.Response(403, request=httpx.Request("GET", "https://hub"))),
            "refuses access .403",
        ),
        (
            HfHubHTTPError("no", response=httpx.Response(500, request=httpx.Request("GET", "https://hub"))),
            "run the same",
        ),
    ],
)
def test_errors_of_the_hub_are_explained(error: Exception, message: str) -> None:
    there = Repository()

    def fails(*_: Any, **__: Any) -> None:
        raise error

    there.api.create_repo = fails
    with pytest.raises(PublishError, match=message):
        plan_of(Hub("me/mine", api=there.api)).write()


def test_a_full_disk_is_reported_and_finished_files_stay(tmp_path: Path) -> None:
    def full(path: Path, files: Mapping[str, FileRecord]) -> None:
        raise OSError(errno.ENOSPC, "full")

    whole = plan_of(parse_target(str(tmp_path / "to")))
    with pytest.raises(StoreError, match=r"no space left for .*to; what is finished is safe"):
        Plan(whole.target, (*whole.parts[:1], Part(SHARD, None, full), *whole.parts[2:])).write()
    assert set(tree_bytes(tmp_path / "to")) == {CARD}


def test_publishing_to_a_folder_continues_after_an_interruption(tmp_path: Path) -> None:
    def killed(path: Path, files: Mapping[str, FileRecord]) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    whole = plan_of(parse_target(str(tmp_path / "to")))
    stopped = Plan(whole.target, (*whole.parts[:1], Part(SHARD, None, killed), *whole.parts[2:]))
    with pytest.raises(KeyboardInterrupt):
        stopped.write()
    assert set(tree_bytes(tmp_path / "to")) == {CARD}
    (tmp_path / "to" / ".publishing").mkdir()  # what a killed process leaves
    (tmp_path / "to" / ".publishing" / "half").write_bytes(b"half")
    assert whole.write().sent == {SHARD, LAST}
    assert set(tree_bytes(tmp_path / "to")) == {CARD, SHARD, LAST}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://me/mine", "write hf://datasets/USER/NAME"),
        ("hf://datasets/me", "write hf://datasets/USER/NAME"),
        ("s3://bucket", "write s3://BUCKET/PREFIX"),
        ("s3://bucket/../other", "write s3://BUCKET/PREFIX"),
        ("s3://Bucket_/x", "write s3://BUCKET/PREFIX"),
        ("ftp://host/x", "unknown URL scheme 'ftp'; Known: hf, s3"),
        ("", "--to is empty"),
    ],
)
def test_invalid_addresses_are_refused(address: str, message: str) -> None:
    with pytest.raises(PublishError, match=message):
        parse_target(address)


def test_only_the_hub_supports_public() -> None:
    hub = parse_target("hf://datasets/me/mine/", public=True)
    assert (hub.visibility, hub.owner, hub.url) == ("public", "me", "https://huggingface.co/datasets/me/mine")
    for address in ("folder", "s3://bucket/x"):
        assert parse_target(address).visibility == "private"
        with pytest.raises(PublishError, match="--public is for a repository on the Hub"):
            parse_target(address, public=True)


@pytest.mark.parametrize(
    ("address", "package"), [("s3://bucket/x", "s3fs"), ("hf://datasets/me/mine", "huggingface_hub")]
)
def test_a_missing_package_is_named(address: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPartError, match=rf'{package} is not available.*pip install "mvgen\[publish\]"'):
        plan_of(parse_target(address)).write()
