"""What `--to` says: which kind of place a dataset is published to."""

from __future__ import annotations

import re

from mvgen.core.errors import PublishError
from mvgen.core.registry import Registry
from mvgen.publish.targets.base import Target
from mvgen.publish.targets.folder import Folder

# By the scheme of their URLs.
TARGETS = Registry[type[Target]](
    "URL scheme",
    PublishError,
    [("hf", "mvgen.publish.targets.hub:Hub"), ("s3", "mvgen.publish.targets.bucket:Bucket")],
    group="mvgen.targets",
    base=Target,
)


def parse_target(address: str, *, public: bool = False) -> Target:
    """The place that `--to` names; nothing is looked at yet.

    public : a repository on the Hub that everybody can read
    Raises PublishError for an address that is none.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    kind = TARGETS.get(scheme[1]) if scheme else Folder
    if public and not kind.may_be_public:
        raise PublishError("--public is for a repository on the Hub; who reads a folder or a bucket is decided there")
    return kind.at(address[scheme.end() :].rstrip("/") if scheme else address, public=public)
