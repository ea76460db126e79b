"""Which rows of a store are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from mvgen.core.angles import view_name
from mvgen.core.errors import StoreError
from mvgen.core.records import Split
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.manifest import ViewRow, read_table

Views = Literal["all", "sweep", "source"]


class Chosen(NamedTuple):
    """The folder of a store, its `dataset.json`, and some of its rows in their order."""

    root: Path
    about: dict[str, Any]
    rows: tuple[ViewRow, ...]


def chosen_rows(
    out: str | Path,
    *,
    yaw: float | Iterable[float] | None = None,
    split: Split | None = None,
    kept: bool | None = None,
    views: Views | Iterable[str] = "all",
    min_face_seen: float = 0.0,
) -> Chosen:
    """The rows of a finished store that `open_dataset` is asked for. Raises StoreError as it does."""
    root = Path(out).resolve()
    about = read_about(Path(out))
    if split not in (None, *get_args(Split)):
        raise StoreError(f"split {split!r} is unknown; a store has 'train' and 'test'")
    wanted = _wanted_views(Path(out), about["views"], yaw, views)
    rows = (row for row in read_table(root / layout.TABLE) if row.view in wanted)
    fit = (row for row in rows if split in (None, row.split) and row.face_seen >= min_face_seen)
    return Chosen(root, about, tuple(row for row in fit if kept is None or row.kept == kept))


def _wanted_views(
    out: Path, stored: Sequence[str], yaw: float | Iterable[float] | None, views: str | Iterable[str]
) -> set[str]:
    groups = {"all": set(stored), "sweep": set(stored) - {view_name(None)}, "source": {view_name(None)}}
    wanted = groups.get(views, {views}) if isinstance(views, str) else set(views)
    if yaw is not None:
        angles = [yaw] if isinstance(yaw, int | float) else list(yaw)
        asked = {view_name(float(angle)) for angle in angles}
        wanted = asked if views == "all" else wanted & asked
    missing = sorted(wanted - set(stored))
    if missing:
        raise StoreError(f"{out} has no view {missing[0]!r}; it has {', '.join(stored)}")
    return wanted
