"""CAS(ME)³, part A: spontaneous micro-expressions with depth, in long videos or cut from them, at 30 frames per second.

Source: Li et al. 2023, doi:10.1109/TPAMI.2022.3174895.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from mvgen.core.records import Clip, Label
from mvgen.sources.base import subject_key
from mvgen.sources.depth import with_depth
from mvgen.sources.release import Findings, Release, Row, coded_clips, make_row
from mvgen.sources.trees import FoundTree, Tree, folders, subject_folders
from mvgen.sources.workbook import Sheet, text


class Casme3(Release):
    """A clip of video `a` with onset 355 is `a_355`, or `a` in a long video that has no other.

    Long videos are read where a root has both. The depth beside the frames of colour is read where it is asked for,
    see `mvgen.sources.depth`. It is that of an Intel RealSense D415, 1280x720 at 30 frames per second. Names of
    videos differ from their folders in case only; `Others` is read as `others`. A row with offset 0 is a failure in
    long videos: where its clip ends is not known. The coding of macro-expressions, a workbook of its own, is not
    read.
    """

    name = "casme3"
    title = "CAS(ME)³ part A"
    rate = "30"
    fps = 30.0
    videos = True
    licence = "CAS(ME)³ release agreement: research only, no redistribution"
    access = "signed release agreement, http://casme.psych.ac.cn (CAS(ME)³)"
    citation = """
@article{li2023casme3,
  author  = {Li, Jingting and Dong, Zizhao and Lu, Shaoyuan and Wang, Su-Jing and Yan, Wen-Jing and Ma, Yinhuan and
             Liu, Ye and Huang, Changbing and Fu, Xiaolan},
  title   = {{CAS(ME)$^3$}: A Third Generation Facial Spontaneous Micro-Expression Database With Depth Information and
             High Ecological Validity},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume  = {45}, number = {3}, pages = {2782--2800}, year = {2023}, doi = {10.1109/TPAMI.2022.3174895}
}
"""
    tree = """
ROOT/cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx     (or in a folder `annotation`)
ROOT/Part_A_ME_clip/frame/spNO.1_a_355/355.jpg     (clips, with depth/spNO.1_a_355/355.png), or
ROOT/part_A/spNO.1/a/color/355.jpg                 (long videos, with spNO.1/a/depth/355.png)
"""
    trees: ClassVar[tuple[Tree, ...]] = (
        Tree(("frame",), "raw", r"spNO\.\d+_[^_]+_\d+"),
        Tree(("part_A", "ME_A"), "raw", r"spNO\.\d+", long=True),
    )
    workbooks = ("cas(me)3_part_A_ME_label_JpgIndex_v2*.xls*", "cas(me)3_part_A_ME_label*.xls*")
    # As is usual for its four classes: others apart.
    labels: ClassVar[Mapping[str, Label | None]] = {
        "anger": "negative",
        "disgust": "negative",
        "fear": "negative",
        "sad": "negative",
        "happy": "positive",
        "surprise": "surprise",
        "others": None,
    }

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {
            "subject": ("Subject",),
            "name": ("Filename",),
            "onset": ("Onset",),
            "apex": ("Apex",),
            "offset": ("Offset",),
            "emotion": ("emotion",),
            "units": ("AU", "AUs"),
            "objective": ("Objective class", "Objective Classes"),
        }
        coded = list(coded_clips(workbook, sheets, columns, findings, ("units", "objective")))
        times = Counter((subject, video.lower()) for _, subject, video, _ in coded)
        rows = []
        for where, subject, video, cells in coded:
            cut = f"{video.lower()}_{text(cells['onset'])}"
            alone = found.tree.long and times[subject, video.lower()] == 1
            emotion, folder = text(cells["emotion"]).lower(), video if found.tree.long else cut
            name = video.lower() if alone else cut
            rows.append(make_row(where, text(cells["subject"]), name, emotion, cells, kind="micro", folder=folder))
        return rows

    def _folders(self, found: FoundTree) -> dict[tuple[str, str], Path]:
        if not found.tree.long:
            clips = ((clip, clip.name.lower().partition("_")) for clip in subject_folders(found))
            return {(subject_key(subject), cut): clip for clip, (subject, _, cut) in clips}
        videos = (video for subject in subject_folders(found) for video in folders(subject))
        return {(subject_key(video.parent.name), video.name.lower()): video / "color" for video in videos}

    def _place(self, found: FoundTree, subject: str, row: Row) -> Path:
        if not found.tree.long:
            return found.folder / f"{row.subject}_{row.name}"
        return found.folder / subject / row.folder.lower() / "color"

    def _clip(self, row: Row, directory: PurePosixPath, place: Path, found: FoundTree, findings: Findings) -> Clip:
        clip = super()._clip(row, directory, place, found, findings)
        if not found.tree.long:
            return with_depth(clip, [found.folder.parent / "depth" / place.name])
        video = place.parent.relative_to(found.folder)
        # Beside the colour, or in a tree of its own, as the authors' code has it.
        apart = found.folder.parent / "depth" / video
        return with_depth(clip, [place.parent / "depth", apart / "depth", apart])

    @staticmethod
    def annotation_folders(root: Path, found: FoundTree) -> tuple[Path, ...]:
        places = Release.annotation_folders(root, found)
        return (*places, *(place / "annotation" for place in places))
