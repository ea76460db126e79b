"""What `--to` says: which kind of place a dataset is published to."""

from __future__ import annotations

import re
from pathlib import Path

from mvgen.core.errors import PublishError
from mvgen.publish.targets.base import Target
from mvgen.publish.targets.bucket import Bucket
from mvgen.publish.targets.folder import Folder
from mvgen.publish.targets.hub import Hub


def parse_target(address: str, *, public: bool = False) -> Target:
    """The place that `--to` names; nothing is looked at yet.

    public : a repository on the Hub that everybody can read
    Raises PublishError for an address that is none.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    if public and (scheme is None or scheme[1] != "hf"):
        raise PublishError("--public is for a repository on the Hub; who reads a folder or a bucket is decided there")
    if scheme is None:
        if not address:
            raise PublishError("--to is empty; give it a folder")
        return Folder(Path(address))
    place = address[scheme.end() :].rstrip("/")
    if scheme[1] == "hf":
        if not (named := re.fullmatch(r"datasets/([\w.-]+/[\w.-]+)", place)):
            raise PublishError(f"{address} is no dataset on the Hub; write hf://datasets/USER/NAME")
        return Hub(named[1], public=public)
    if scheme[1] == "s3":
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]+(/[^/]+)+", place) or ".." in place.split("/"):
            raise PublishError(f"{address} is no place in S3; write s3://BUCKET/PREFIX")
        return Bucket(place)
    raise PublishError(f"{address}: {scheme[1]}:// is unknown; publish to a folder, hf://datasets/... or s3://...")
