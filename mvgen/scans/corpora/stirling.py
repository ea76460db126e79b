"""The Stirling ESRC 3D face database: raw scans of people with up to eight expressions, one texture each.

Files are named by sex, number, repetition, and expression: `F1001_N.obj` with `F1001_N.jpg` and `F1001_N.mtl`, also
`m1000b_NH`, `F1031_2_N`, `F1013_NH_2`; capitals vary. N is neutral; other codes are kept as the release writes them.
Millimetres, y up, the face toward +z.
Source: http://pics.stir.ac.uk/ESRC; Feng et al., "Evaluation of dense 3D reconstruction from 2D face images in the
wild", FG 2018, for the names and the unit.
"""

from __future__ import annotations

import re
from pathlib import Path

from mvgen.scans.corpora.meshfiles import find_texture
from mvgen.scans.corpora.scanned import Listing, ScanCorpus, ScanFile, ScanProblem, read_textured_obj
from mvgen.scans.corpora.trees import checked_root, nothing_found, walk
from mvgen.scans.records import Scan

LICENCE = "Stirling ESRC 3D face database: signed agreement, academic research only, no redistribution"
_EXPECTED = """The Stirling ESRC 3D face database is expected as:
  ROOT/F_3D_N/F1001_N.obj, F1001_N.jpg, F1001_N.mtl    (any folders; F or M, number, expression)
It is available from http://pics.stir.ac.uk/ESRC for academic research."""
_NAME = re.compile(r"(?P<person>[FM]\d{4})[A-Z]?(_\d)?_(?P<expression>[A-Z]{1,3})(_\d)?", re.IGNORECASE)
_METRE = 0.001


def read_scans(root: Path) -> Listing:
    """List the scans under a root; no mesh is read.

    Raises ScanError when the root is missing or holds no scan that can be used.
    """
    checked_root(root, "stirling", _EXPECTED)
    files, problems, objects = [], [], 0
    for folder, _, names in walk(root, 4):
        siblings = {name.lower(): folder / name for name in names}
        for obj in (folder / name for name in names if name.lower().endswith(".obj")):
            objects += 1
            name = _NAME.fullmatch(obj.stem)
            if name is None:
                problems.append(ScanProblem(obj, "its name is not one of the release, such as F1001_N.obj"))
                continue
            texture = find_texture(obj, siblings)
            if texture is None or not texture.is_file():
                missing = texture.name if texture else f"{obj.stem}.jpg"
                problems.append(ScanProblem(obj, f"its texture {missing} is missing; extract it beside the OBJ"))
                continue
            expression = name["expression"].upper()
            files.append(ScanFile(name["person"].upper(), "neutral" if expression == "N" else expression, obj, texture))
    if not files:
        what = f"it holds {objects} OBJ files" if objects else "there is no OBJ file"
        if problems:
            what += f", and none can be used; {problems[0].where.relative_to(root)}: {problems[0].reason}"
        raise nothing_found(root, "stirling", what, _EXPECTED)
    return Listing(tuple(sorted(files, key=lambda one: (one.identity, one.expression, one.mesh))), tuple(problems))


def read_scan(file: ScanFile) -> Scan:
    """Read one scan. Raises ScanError when the mesh or the texture is torn."""
    return read_textured_obj("stirling", file, _METRE)


def stirling_corpus(root: Path) -> ScanCorpus:
    """The people of the release under a root."""
    return ScanCorpus("stirling", LICENCE, read_scans(root), read_scan)
