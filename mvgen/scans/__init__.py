"""3D heads for training and animation: parametric models, scans and photographs, their appearance and rendering."""

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
    """The corpus of heads that `--scans` calls by this name.

    root : folder of the data; anny comes with the project's dependencies and takes none
    Raises ConfigError for an unknown name or a missing root, ScanError for a root that does not hold this corpus.
    """
    CORPORA.check(name)
    if name == "anny":
        if root is not None:
            raise ConfigError(f"--scans anny takes no root, it comes with the package; leave out --root anny={root}")
        return CORPORA.get(name)()
    if root is None:
        raise ConfigError(f"--scans {name} needs its data: --root {name}=DIR")
    return CORPORA.get(name)(root)
