"""3D faces to learn from and to animate: parametric heads, scans, their looks, and rays cast at them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mvgen.core.errors import ConfigError
from mvgen.core.registry import Registry

if TYPE_CHECKING:
    from mvgen.scans.records import Corpus

# As in `--scans`. The order numbers the people of the training data: add at the end. For the same reason other packages
# cannot add any: the numbers would depend on what is installed.
CORPORA = Registry[Callable[..., "Corpus"]](
    "scans",
    ConfigError,
    [
        ("anny", "mvgen.scans.corpora.anny:AnnyCorpus"),
        ("ict", "mvgen.scans.corpora.ict:IctCorpus"),
        ("facescape", "mvgen.scans.corpora.facescape:facescape_corpus"),
        ("stirling", "mvgen.scans.corpora.stirling:stirling_corpus"),
        ("photos", "mvgen.scans.corpora.photographs:PhotoCorpus"),
    ],
)


def open_corpus(name: str, root: Path | None = None) -> Corpus:
    """A corpus of heads by the name that `--scans` takes.

    root : folder of the data; anny comes with the project's dependencies and takes none
    Raises ConfigError for an unknown name, or a root that is not given; ScanError for a root that is something else.
    """
    CORPORA.check(name)
    if name == "anny":
        if root is not None:
            raise ConfigError(f"--scans anny takes no root, it comes with the package; leave out --root anny={root}")
        return CORPORA.get(name)()
    if root is None:
        raise ConfigError(f"--scans {name} needs its data: --root {name}=DIR")
    return CORPORA.get(name)(root)
