"""Publishing to a dataset repository on the Hugging Face Hub: private and manually gated unless `--public` is given."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mvgen.core.errors import LicenceError, PublishError
from mvgen.core.extras import import_part
from mvgen.publish.targets.base import FileRecord, Target

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

_KIND = "dataset"
_OF_THE_HUB = frozenset({".gitattributes"})


class Hub(Target):
    """A repository. repository : USER/NAME; api : client of the Hub, by default with the login of `hf auth login`"""

    may_be_public = True

    def __init__(self, repository: str, *, public: bool = False, api: HfApi | None = None) -> None:
        self.repository = repository
        self.address = f"hf://datasets/{repository}"
        self.visibility = "public" if public else "gated"
        self.url = f"https://huggingface.co/datasets/{repository}"
        self.owner = repository.partition("/")[0]
        self._api = api
        self._files: dict[str, RepoFile] = {}

    @classmethod
    def at(cls, place: str, *, public: bool) -> Self:
        if not (named := re.fullmatch(r"datasets/([\w.-]+/[\w.-]+)", place)):
            raise PublishError(f"hf://{place} is not a dataset address on the Hub; write hf://datasets/USER/NAME")
        return cls(named[1], public=public)

    def begin(self) -> None:
        api = self._api = self._api or _api()
        public = self.visibility == "public"
        with _hub_errors(self.address):
            api.create_repo(self.repository, repo_type=_KIND, private=not public, exist_ok=True)
            found = self._is_public()
            if found and not public:
                raise PublishError(
                    f"{self.address} exists and is public; choose another name, make it private, or add --public"
                )
            if public and not found:
                raise PublishError(f"{self.address} exists and is private or gated; leave out --public")
            if not public:
                api.update_repo_settings(self.repository, gated="manual", private=True, repo_type=_KIND)
            self._list()

    def open(self) -> None:
        self._api = self._api or _api()
        with _hub_errors(self.address):
            self._list()
            self.visibility = "public" if self._is_public() else "gated"

    def _list(self) -> None:
        from huggingface_hub.hf_api import RepoFile

        assert self._api is not None
        tree = self._api.list_repo_tree(self.repository, recursive=True, repo_type=_KIND)
        self._files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}

    def fetch(self, name: str, folder: Path) -> Path:
        assert self._api is not None
        with _hub_errors(self.address):
            return Path(self._api.hf_hub_download(self.repository, name, repo_type=_KIND, local_dir=folder))

    def remove(self, names: Sequence[str]) -> None:
        assert self._api is not None
        if names:
            with _hub_errors(self.address):
                self._api.delete_files(
                    self.repository, list(names), repo_type=_KIND, commit_message="Remove what is replaced"
                )

    def names(self) -> frozenset[str]:
        return frozenset(self._files) - _OF_THE_HUB

    def holds(self, path: Path, name: str, file: FileRecord) -> bool:
        there = self._files.get(name)
        if there is None or there.size != file.size:
            return False
        # Small files are in git itself, which identifies them by another digest.
        return there.lfs.sha256 == file.sha256 if there.lfs else there.blob_id == _blob_digest(path.read_bytes())

    def put(self, path: Path, name: str, file: FileRecord) -> None:
        assert self._api is not None
        folder = path.parents[len(Path(name).parts) - 1]
        with _hub_errors(self.address):
            self._api.upload_folder(
                repo_id=self.repository,
                repo_type=_KIND,
                folder_path=folder,
                allow_patterns=[name],
                commit_message=f"Publish {name}",
            )

    def guard(self, name: str) -> None:
        with _hub_errors(self.address):
            if self._is_public():
                raise LicenceError(f"{self.address} can be read by everyone; nothing that shows a face was sent")

    def _is_public(self) -> bool:
        """Whether the repository is public."""
        assert self._api is not None
        info = self._api.repo_info(self.repository, repo_type=_KIND)
        return not (info.private or info.gated)


def _api() -> HfApi:
    api: HfApi = import_part("huggingface_hub", "publishing to hf://").HfApi(library_name="mvgen")
    return api


@contextmanager
def _hub_errors(address: str) -> Iterator[None]:
    """Turn errors of the Hub into PublishError."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except LocalTokenNotFoundError:
        raise PublishError(f"{address}: not logged in; run `hf auth login`, or set HF_TOKEN") from None
    except (HfHubHTTPError, HTTPError, OfflineModeIsEnabled, OSError) as error:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        if status in (401, 403):
            raise PublishError(
                f"{address}: the Hub refuses access ({status}); run `hf auth login` with a token that has write access"
            ) from None
        raise PublishError(
            f"{address} cannot be reached or gave an unexpected answer: {error}; "
            "what was sent is safe: run the same command again to continue"
        ) from None


def _blob_digest(content: bytes) -> str:
    """sha1 of a file's git object."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
