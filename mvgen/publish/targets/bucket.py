"""Publishing to S3 or a compatible service, through fsspec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from mvgen.core.errors import LicenceError, PublishError
from mvgen.core.extras import import_part
from mvgen.publish.targets.base import FileRecord, Target

_DIGEST = "sha256"


class Bucket(Target):
    """A prefix in S3. It counts as private, which `guard` checks with anonymous access. place : BUCKET/PREFIX

    Keys, region and endpoint are configured as for AWS's own tools, including AWS_ENDPOINT_URL.
    """

    visibility = "private"

    def __init__(self, place: str) -> None:
        self.place = place
        self.address = self.url = f"s3://{place}"
        self._files: dict[str, int] = {}
        self._system: Any = None

    @classmethod
    def at(cls, place: str, *, public: bool) -> Self:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]+(/[^/]+)+", place) or ".." in place.split("/"):
            raise PublishError(f"s3://{place} is not an S3 address; write s3://BUCKET/PREFIX")
        return cls(place)

    def begin(self) -> None:
        self._system = _file_system()
        with _bucket_errors(self.address):
            self._system.call_s3("head_bucket", Bucket=self.place.partition("/")[0])
            found = self._system.find(self.place, detail=True)
        self._files = {path[len(self.place) + 1 :]: entry["size"] for path, entry in found.items()}

    def open(self) -> None:
        self.begin()
        if not self._files:
            raise PublishError(f"{self.address} is empty")

    def fetch(self, name: str, folder: Path) -> Path:
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        with _bucket_errors(self.address):
            self._system.get_file(f"{self.place}/{name}", str(copy))
        return copy

    def remove(self, names: Sequence[str]) -> None:
        with _bucket_errors(self.address):
            for name in names:
                self._system.rm_file(f"{self.place}/{name}")

    def names(self) -> frozenset[str]:
        return frozenset(self._files)

    def holds(self, path: Path, name: str, file: FileRecord) -> bool:
        if self._files.get(name) != file.size:
            return False
        with _bucket_errors(self.address):
            digest: str | None = self._system.metadata(f"{self.place}/{name}").get(_DIGEST)
        return digest == file.sha256

    def put(self, path: Path, name: str, file: FileRecord) -> None:
        with _bucket_errors(self.address):
            self._system.put_file(str(path), f"{self.place}/{name}", Metadata={_DIGEST: file.sha256})

    def guard(self, name: str) -> None:
        anonymous = _file_system(anon=True)
        with _bucket_errors(self.address):
            try:
                anonymous.cat_file(f"{self.place}/{name}", start=0, end=1)
            except PermissionError:
                return
        raise LicenceError(
            f"{self.address} can be read by everyone; nothing that shows a face was sent. Make the bucket private "
            "(Block Public Access), then run the same command again"
        )


def _file_system(**options: Any) -> Any:
    s3fs = import_part("s3fs", "publishing to s3://")
    # The listing may have changed since it was last read.
    return s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True, **options)


@contextmanager
def _bucket_errors(address: str) -> Iterator[None]:
    """Turn errors of S3 into PublishError."""
    from botocore.exceptions import BotoCoreError, NoCredentialsError

    try:
        yield
    except NoCredentialsError:
        raise PublishError(
            f"{address}: no keys were found; run `aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    except FileNotFoundError:
        raise PublishError(f"{address}: these keys find no such bucket; create it first") from None
    except PermissionError as error:
        raise PublishError(f"{address}: access is refused ({error}); use keys that may read and write there") from None
    except (BotoCoreError, OSError) as error:
        raise PublishError(
            f"{address} cannot be reached or gave an unexpected answer: {error}; "
            "what was sent is safe: run the same command again to continue"
        ) from None
