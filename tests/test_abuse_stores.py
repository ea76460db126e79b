"""Datasets that come from somebody else: nothing in them is run as it is read."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import write_frames
from reading_build import build_all

from mvgen import open_dataset
from mvgen.cli import run
from mvgen.core.config import canonical_json, file_digest
from mvgen.core.errors import StoreError
from mvgen.store import layout
from mvgen.store.about import read_about
from mvgen.store.manifest import read_table, write_table


class Touch:
    """What a pickle of somebody else's may do as it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("part", ["maps", "geometry"])
def test_a_pickle_in_a_store_is_never_run(tmp_path: Path, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_frames(tmp_path / "root/clip", ["1.png", "2.png"])
    build_all("folder", tmp_path / "root")
    out, pwned = tmp_path / "out", tmp_path / "pwned"
    # As whoever made the dataset would: every digest names the changed file.
    rows = read_table(out / layout.TABLE)
    path = out / getattr(rows[0], part)
    with np.load(path) as arrays:
        changed = {name: arrays[name] for name in arrays.files}
    for name in ("valid", "flow", "parallax"):
        if name in changed:
            changed[name] = np.array([Touch(pwned)], dtype=object)
    np.savez_compressed(path, **changed)
    digest = file_digest(path)
    forged = {"maps": {"maps_sha256": digest}, "geometry": {"geometry_sha256": digest}}[part]
    touched = [row for row in rows if getattr(row, part) == getattr(rows[0], part)]
    write_table([replace(row, **forged) if row in touched else row for row in rows], out / layout.TABLE)
    about = read_about(out)
    about["files"][layout.TABLE] = file_digest(out / layout.TABLE)
    (out / layout.DATASET).write_text(canonical_json(about))
    shutil.rmtree(out / layout.DONE)
    for line in (["verify", str(out)], ["report", str(out)]):
        assert run(line) in (1, 2)
        said = capsys.readouterr()
        assert "Object arrays cannot be loaded" in said.out + said.err
        assert "Traceback" not in said.out + said.err
    if part == "maps":
        with pytest.raises(StoreError, match="Object arrays cannot be loaded"):
            open_dataset(out)[0]
    assert not pwned.exists()
