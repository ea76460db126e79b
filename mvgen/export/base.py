"""What all exports share: the choice of rows, a folder that is written whole or not at all, and the source's terms."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgen.core.config import canonical_json
from mvgen.core.errors import ConfigError, StoreError
from mvgen.core.files import disk_errors
from mvgen.core.names import unstorable
from mvgen.dataset.motion_images import motion_channels
from mvgen.publish.licence import terms_of
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.arrays import read_maps
from mvgen.store.manifest import ViewRow, read_table

ABOUT = "export.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """A store to export. about : its `dataset.json`; rows : of the chosen views, in the order of the table"""

    root: Path
    about: dict[str, Any]
    rows: tuple[ViewRow, ...]

    @property
    def terms(self) -> str:
        """The terms of the source, which hold for whatever is made from its pixels."""
        source = self.about["source"]
        return f"{source['title']}: {source['licence']} (redistribution: {terms_of(source)})"

    def motion(self, row: ViewRow, size: int) -> NDArray[np.float32]:
        """(3, size, size) u, v and strain from onset to apex of a view, pixels of the store's views."""
        return motion_channels(read_maps(self.root, row, "apex").flow[1], size)


def open_store(out: Path, views: Sequence[str] = ("source",)) -> Exported:
    """Open a store.

    views : names such as "source" or "yaw+15", or "all"
    Raises StoreError for a folder without a store, ConfigError for views it does not have or subjects whose names
    cannot be those of folders.
    """
    about = read_about(out)
    unknown = sorted({*views} - {*about["views"], "all"})
    if unknown:
        raise ConfigError(f"{out} has no view {unknown[0]!r}; it has {', '.join(about['views'])}, or say all")
    rows = [row for row in read_table(out / layout.TABLE) if "all" in views or row.view in views]
    for row in rows:
        if reason := unstorable(row.subject):
            raise ConfigError(f"{out}: subject {row.subject!r} of clip {row.clip} {reason}; rename it in the source")
    return Exported(out, about, tuple(rows))


@contextmanager
def whole_folder(out: Path, exported: Exported, form: str, **facts: Any) -> Iterator[Path]:
    """A new folder to write into, which becomes `out` at the end, with `export.json` in it.

    form : of the export; facts : more for `export.json`
    Raises StoreError where `out` is there already and not empty, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(f"{out} is not an empty folder; an export needs one: remove it, or give another --out")
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    with disk_errors(out):
        try:
            partial.mkdir(parents=True)
            yield partial
            source = exported.about["source"]
            said = {"form": form, "source": source["name"], "terms": exported.terms, **facts}
            said["expressions"] = {row.clip: row.expression for row in exported.rows}
            (partial / ABOUT).write_text(canonical_json(said), encoding="utf-8")
            if out.exists():
                out.rmdir()
            os.replace(partial, out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def file_stem(row: ViewRow) -> str:
    """Name of a view's file: the clip's id, and the view after an `@` unless it is the frontal clip."""
    return row.clip if row.yaw is None else f"{row.clip}@{row.view}"
