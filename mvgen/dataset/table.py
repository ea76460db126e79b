"""A finished store as a table and numpy arrays, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvgen.core.errors import MissingPartError
from mvgen.core.records import Image, Signals
from mvgen.dataset.display import contact_strip, describe
from mvgen.dataset.rows import Views, chosen_rows
from mvgen.store.manifest import ViewRow, table_schema

if TYPE_CHECKING:
    from mvgen.core.records import Split
    from mvgen.store.arrays import ViewMaps


class ViewTable(Sequence[ViewRow]):
    """The rows of a store, one a view, and the arrays behind them.

    root : folder of the store; about : its `dataset.json`
    """

    def __init__(self, root: Path, about: dict[str, Any], rows: Sequence[ViewRow]) -> None:
        self.root = root
        self.about = about
        self.rows = tuple(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return ViewTable(self.root, self.about, self.rows[index]) if isinstance(index, slice) else self.rows[index]

    def __iter__(self) -> Iterator[ViewRow]:
        return iter(self.rows)

    def frames(self, row: ViewRow) -> Image:
        """The view's frames, (T, S, S, 3) uint8 RGB. Raises StoreError for a damaged one."""
        from mvgen.store.frames import read_frames

        return read_frames(self.root, row)

    def maps(self, row: ViewRow) -> ViewMaps:
        """Mask, depth and flow of the view; flow in pixels. Raises StoreError for a damaged file."""
        from mvgen.store.arrays import read_maps

        return read_maps(self.root, row)

    def signals(self, row: ViewRow) -> Signals:
        """Head pose and facial actions of the view's clip. Raises StoreError for a damaged file."""
        from mvgen.store.geometry import read_signals

        return read_signals(self.root, row)

    def to_arrow(self) -> Any:
        """The rows as a `pyarrow.Table`."""
        import pyarrow as pa

        return pa.Table.from_pylist([asdict(row) for row in self.rows], schema=table_schema())

    def to_pandas(self) -> Any:
        """The rows as a `pandas.DataFrame`. Raises MissingPartError without pandas."""
        try:
            import pandas  # noqa: F401
        except ModuleNotFoundError:
            raise MissingPartError("pandas", "`to_pandas`", "pip install pandas") from None
        return self.to_arrow().to_pandas()

    def __repr__(self) -> str:
        return describe("ViewTable", self.about, self.rows)

    def _repr_html_(self) -> str:
        return contact_strip(self.root, self.about, self.rows)


def open_table(
    out: str | Path,
    *,
    split: Split | None = None,
    kept: bool | None = None,
    views: Views | Sequence[str] = "all",
    min_face_seen: float = 0.0,
) -> ViewTable:
    """Open a finished store as a table; torch is not loaded.

    The selection is that of `open_dataset`, where the parameters are explained.
    Raises StoreError for a folder that is not a store, is unfinished, has another schema, or lacks a view given.
    """
    root, about, rows = chosen_rows(out, split=split, kept=kept, views=views, min_face_seen=min_face_seen)
    return ViewTable(root, about, rows)
