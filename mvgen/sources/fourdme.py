"""4DME: micro-expressions filmed by several sensors at once, also as a 3D mesh of every frame; 60 frames per second.

Source: Li et al. 2023, doi:10.1109/TAFFC.2022.3182342.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from mvgen.core.records import Clip, Label
from mvgen.sources.meshes import with_meshes
from mvgen.sources.release import Findings, Release, Row, coded_clips, make_row
from mvgen.sources.trees import FoundTree, Tree
from mvgen.sources.workbook import Sheet, text


class FourDme(Release):
    """The frontal grey videos of micro-expressions are read; those in colour and the macro-expressions are not.

    What is known is what users' code reads: the workbook, and the two trees of grey frames. Apostrophes that end its
    headers and cells are left out. Clips of two emotions, repression and others have no class. Assumed, as no public
    code reads them: the meshes that DI4D made lie in a tree `DI4D_micro` with the same folders, in files with the
    frame's number; they are only used by `mvgen verify --against meshes`.
    """

    name = "4dme"
    title = "4DME"
    rate = "60"
    fps = 60.0
    licence = "4DME release agreement: research only, no redistribution"
    access = "signed release agreement, https://www.oulu.fi/cmvs (4DME)"
    citation = """
@article{li2023fourdme,
  author  = {Li, Xiaobai and Cheng, Shiyang and Li, Yante and Behzad, Muzammil and Shen, Jie and Zafeiriou, Stefanos and
             Pantic, Maja and Zhao, Guoying},
  title   = {{4DME}: A Spontaneous {4D} Micro-Expression Dataset With Multimodalities},
  journal = {IEEE Transactions on Affective Computing},
  volume  = {14}, number = {4}, pages = {3031--3047}, year = {2023}, doi = {10.1109/TAFFC.2022.3182342}
}
"""
    tree = """
ROOT/4DME_Labelling_Micro_release v1.xlsx
ROOT/gray_micro/<sub_ID>/<fold_name>/1.jpg         (or cropped: gray_micro_crop)
ROOT/DI4D_micro/<sub_ID>/<fold_name>/1.obj         (meshes, if any)
"""
    trees = (
        Tree(("gray_micro",), "raw", r"(?:sub|s)?_?\d+"),
        Tree(("gray_micro_crop",), "cropped", r"(?:sub|s)?_?\d+"),
    )
    workbooks = ("4DME_Labelling_Micro*.xls*", "4DME*.xls*")
    labels: ClassVar[Mapping[str, Label | None]] = {
        "negative": "negative",
        "positive": "positive",
        "surprise": "surprise",
        "repression": None,
        "others": None,
    }

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {
            "subject": ("sub_ID", "Subject"),
            "name": ("fold_name", "Filename"),
            "onset": ("Onset",),
            "apex": ("Apex",),
            "offset": ("Offset",),
            "emotion": ("Emotion",),
            "units": ("AUs", "AU"),
        }
        rows = []
        plain = [Sheet(sheet.name, tuple(tuple(map(_plain, row)) for row in sheet.rows)) for sheet in sheets]
        for where, _, name, cells in coded_clips(workbook, plain, columns, findings, ("units",)):
            emotion = text(cells["emotion"]).lower()
            rows.append(make_row(where, text(cells["subject"]), name, emotion, cells, kind="micro"))
        return rows

    def _clip(self, row: Row, directory: PurePosixPath, place: Path, found: FoundTree, findings: Findings) -> Clip:
        clip = super()._clip(row, directory, place, found, findings)
        return with_meshes(clip, found.folder.parent / "DI4D_micro" / place.relative_to(found.folder))


def _plain(cell: object) -> object:
    return cell.removesuffix("'") if isinstance(cell, str) else cell
