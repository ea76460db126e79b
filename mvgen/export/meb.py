"""Arrays and a data frame as MEB reads them (tvaranka/meb, `meb.datasets`).

    OUT/<dataset>_uv_frames.npy     (N, 3, S, S) float32: u, v and strain from onset to apex, pixels of the views
    OUT/<dataset>.csv               N rows in the order of the array
    OUT/dataset_config.py           where MEB's `config` is to point: <dataset>_optical_flow, <dataset>_excel_path

The columns are those of MEB's data frames: subject, material (the clip's name), emotion, onset, apex, offset, n_frames,
AU, and AU1, AU2 ... with 1 where a unit is named; then dataset, clip, view, label, objective_class and kind, which are
ours.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mvgen.core.errors import ConfigError
from mvgen.dataset.units import unit_numbers
from mvgen.export.base import Exported, whole_folder

SIZE = 64


def write_meb(exported: Exported, out: Path, size: int = SIZE) -> int:
    """Write the arrays; the number of their rows is returned. Raises ConfigError for a store without clips."""
    rows = exported.rows
    if not rows:
        raise ConfigError(f"{exported.root} has no clip to export")
    name = rows[0].dataset.replace("-", "_")
    units = [unit_numbers(row.action_units) for row in rows]
    known = sorted({unit for each in units for unit in each})
    with whole_folder(out, exported, "meb", size=size) as folder:
        np.save(folder / f"{name}_uv_frames.npy", np.stack([exported.motion(row, size) for row in rows]))
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            own = ("dataset", "clip", "view", "label", "objective_class", "kind")
            frames = ("subject", "material", "emotion", "onset", "apex", "offset", "n_frames", "AU")
            table.writerow([*frames, *(f"AU{unit}" for unit in known), *own])
            for row, named in zip(rows, units, strict=True):
                cells = [row.subject, row.name, row.emotion, row.onset, row.apex, row.offset, row.frames]
                flags = [int(unit in named) for unit in known]
                table.writerow([*cells, "+".join(row.action_units), *flags, *(getattr(row, each) for each in own)])
        (folder / "dataset_config.py").write_text(
            f'{name}_excel_path = "{name}.csv"\n{name}_optical_flow = "{name}_uv_frames.npy"\n', encoding="utf-8"
        )
    return len(rows)
