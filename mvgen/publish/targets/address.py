"""The target that an address given with `--to` names."""

from __future__ import annotations

import re

from mvgen.core.errors import PublishError
from mvgen.core.registry import Registry
from mvgen.publish.targets.base import Target
from mvgen.publish.targets.folder import Folder

# URL scheme -> target.
TARGETS = Registry[type[Target]](
    "URL scheme",
    PublishError,
    [("hf", "mvgen.publish.targets.hub:Hub"), ("s3", "mvgen.publish.targets.bucket:Bucket")],
    group="mvgen.targets",
    base=Target,
)


def parse_target(address: str, *, public: bool = False) -> Target:
    """The target that `--to` names; it is not accessed yet.

    public : make the repository on the Hub public
    Raises PublishError for an invalid address.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    kind = TARGETS.get(scheme[1]) if scheme else Folder
    if public and not kind.may_be_public:
        raise PublishError("--public is for a repository on the Hub; access to a folder or a bucket is set there")
    return kind.at(address[scheme.end() :].rstrip("/") if scheme else address, public=public)
