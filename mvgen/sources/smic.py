"""SMIC: high-speed (HS, 100 fps), visual (VIS) and near-infrared (NIR, 25 fps) clips.

Source: Li et al. 2013, doi:10.1109/FG.2013.6553717.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from mvgen.core.errors import SourceError
from mvgen.core.records import Label
from mvgen.sources.base import Listing, Variant, subject_key
from mvgen.sources.frames import list_frames
from mvgen.sources.release import Findings, Release, Row, coded_clips, make_row
from mvgen.sources.spans import NO_APEX
from mvgen.sources.trees import FoundTree, Tree, folders, subject_folders
from mvgen.sources.workbook import Sheet, find_workbook, read_sheets, text

_SUBJECT = r"s\d+"
_CODES = {"ne": "negative", "po": "positive", "sur": "surprise"}


class Smic(Release):
    """Short clips need no workbook: they are cut at onset and offset, and their emotion is their folder's name.

    The long tree (SMIC-E) has a workbook per camera. Neither marks apexes. HS is read unless other cameras are
    chosen: clips of several that are called the same are of one expression.
    """

    name = "smic"
    title = "SMIC"
    rate = "100 (HS), 25 (VIS, NIR)"
    fps = 100.0
    cameras = videos = True
    has_apex = False
    licence = "SMIC release agreement: research only, no redistribution"
    access = "signed release agreement, https://www.oulu.fi/cmvs (SMIC)"
    citation = """
@inproceedings{li2013smic,
  author    = {Li, Xiaobai and Pfister, Tomas and Huang, Xiaohua and Zhao, Guoying and Pietik{\\"a}inen, Matti},
  title     = {A Spontaneous Micro-expression Database: Inducement, Collection and Baseline},
  booktitle = {10th IEEE International Conference and Workshops on Automatic Face and Gesture Recognition},
  year      = {2013}, doi = {10.1109/FG.2013.6553717}
}
"""
    tree = """
ROOT/SMIC_all_raw/HS/s1/micro/negative/s1_ne_01/image000001.jpg    (or SMIC_all_cropped/...; HS, VIS, NIR), or
ROOT/SMIC-E_raw image/HS_long/SMIC-HS-E/s01/s1_ne_01/image000001.jpg
    with SMIC-HS-E_annotation.xlsx beside it                       (long videos)
"""
    trees = ()
    workbooks = ("SMIC*-E_annotation*.xls*",)
    labels: ClassVar[Mapping[str, Label | None]] = {
        "negative": "negative",
        "positive": "positive",
        "surprise": "surprise",
    }

    def recognises(self, root: Path) -> bool:
        return bool(_cameras(root))

    def _read(self, root: Path, annotations: Path | None, variant: Variant) -> Listing:
        found = _cameras(root)
        if not found:
            raise SourceError(self._refusal(root, f"root {root} holds none of the folders of {self.title}"))
        filmed = sorted({one.tree.names[0] for one in found})
        if missing := sorted({*self.chosen.cameras} - {*filmed}):
            raise SourceError(
                f"root {root} holds no {missing[0]} clips of {self.title}; give --cameras {','.join(filmed)}"
            )
        found = [one for one in found if one.tree.names[0] in self.chosen.cameras]
        if self.chosen.video_frames and not any(one.tree.long for one in found):
            raise SourceError(f"root {root} holds no long videos of {self.title}; leave out --video-frames")
        wanted = [one for one in found if variant in ("auto", one.tree.variant)]
        wanted = [one for one in wanted if one.tree.long or not self.chosen.video_frames]
        if not wanted:
            have = ", ".join(sorted({one.tree.variant for one in found}))
            raise SourceError(
                f"root {root} holds no {variant} frames of {self.title}, only {have}; leave out --variant"
            )
        best = min((one.tree.long, one.tree.variant == "cropped") for one in wanted)
        wanted = [one for one in wanted if (one.tree.long, one.tree.variant == "cropped") == best]
        findings = Findings(root)
        findings.repaired("all clips", NO_APEX)
        if wanted[0].tree.long:
            workbooks = self._read_long(root, wanted, annotations, findings)
        else:
            workbooks = ()
            for one in wanted:
                self.collect(one, _short_rows(root, one), findings)
        cameras = ", ".join(one.tree.names[0] for one in wanted)
        kind = "long videos" if wanted[0].tree.long else "short clips"
        return self.listing(findings, f"{cameras}: {kind}, {wanted[0].tree.variant} frames", workbooks)

    def _read_long(
        self, root: Path, wanted: Sequence[FoundTree], annotations: Path | None, findings: Findings
    ) -> tuple[Path, ...]:
        workbooks = []
        for one in wanted:
            camera = one.tree.names[0]
            if annotations is not None and annotations.is_file():
                named = re.search(r"HS|VIS|NIR", annotations.name, re.IGNORECASE)
                matches = [annotations] if len(wanted) == 1 or (named and named.group().upper() == camera) else []
            else:
                places = [annotations] if annotations else self.annotation_folders(root, one)
                matches = list(find_workbook(places, [f"SMIC-{camera}-E_annotation*.xls*"]))
            if not matches:
                where = one.folder.relative_to(root).as_posix()
                findings.dropped(where, f"no SMIC-{camera}-E_annotation.xlsx for it")
                continue
            workbooks.append(matches[0])
            rows = self._rows(matches[0], read_sheets(matches[0]), one, findings)
            self.collect(one, rows, findings)
        if not workbooks:
            raise SourceError(
                f"root {root} holds the long videos of {self.title}, but no workbook such as "
                "SMIC-HS-E_annotation.xlsx; give it, or its folder, with --annotations"
            )
        return tuple(workbooks)

    def _rows(self, workbook: Path, sheets: Sequence[Sheet], found: FoundTree, findings: Findings) -> list[Row]:
        columns = {
            "subject": ("Subject",),
            "name": ("Filename",),
            "onset": ("OnsetF",),
            "apex": ("ApexF",),
            "offset": ("OffsetF",),
            "emotion": ("Emotion",),
        }
        times: Counter[str] = Counter()
        rows = []
        for where, subject, name, cells in coded_clips(workbook, sheets, columns, findings, ("apex", "emotion")):
            emotion = text(cells["emotion"])
            if emotion.lower() not in self.labels:
                code = name.lower().split("_")[1:2]
                emotion = _CODES.get(code[0], emotion) if code else emotion
            times[name.lower()] += 1
            # A video may hold several expressions; each is a clip.
            unique = name if times[name.lower()] == 1 else f"{name}_{times[name.lower()]}"
            rows.append(
                make_row(
                    where,
                    f"s{int(subject):02d}",
                    unique,
                    emotion,
                    cells,
                    kind="micro",
                    folder=_unpadded(name),
                    # Frames around one expression may be those of another of the same video.
                    filmed_as=_filmed_as(subject, name if self.chosen.video_frames else unique),
                )
            )
        return rows

    def _folders(self, found: FoundTree) -> dict[tuple[str, str], Path]:
        if found.tree.long:
            places = (clip for subject in subject_folders(found) for clip in folders(subject))
            return {(subject_key(clip.parent.name), _unpadded(clip.name)): clip for clip in places}
        return {(subject_key(clip.parents[2].name), clip.name.lower()): clip for clip in _short_clips(found)}

    def _fps(self, found: FoundTree) -> float:
        return 100.0 if found.tree.names[0] == "HS" else 25.0


def _cameras(root: Path) -> list[FoundTree]:
    """Folders of the cameras below a root, short trees first; only folders with SMIC's own names are entered."""
    found: list[FoundTree] = []
    queue = [(root, 0)]
    while queue:
        folder, depth = queue.pop(0)
        match = re.fullmatch(r"(?:SMIC[-_])?(HS|VIS|NIR)(?:[-_]E)?", folder.name, re.IGNORECASE)
        if match:
            below = (root.name, *folder.relative_to(root).parts)
            variant = "cropped" if any("crop" in name.lower() for name in below) else "raw"
            subjects = [child for child in folders(folder) if re.fullmatch(_SUBJECT, child.name, re.IGNORECASE)]
            long = not any((subject / "micro").is_dir() for subject in subjects)
            if subjects:
                tree = Tree((match.group(1).upper(),), variant, _SUBJECT, long)  # type: ignore[arg-type]
                found.append(FoundTree(tree, folder))
                continue
        if depth < 5:
            queue += [
                (child, depth + 1)
                for child in folders(folder)
                if re.search(r"smic|^(hs|vis|nir)(_long)?$", child.name, re.IGNORECASE)
            ]
    return found


def _short_clips(found: FoundTree) -> Iterator[Path]:
    for subject in subject_folders(found):
        if (subject / "micro").is_dir():
            for emotion in folders(subject / "micro"):
                yield from folders(emotion)


def _short_rows(root: Path, found: FoundTree) -> list[Row]:
    rows = []
    for clip in _short_clips(found):
        where = clip.relative_to(root).as_posix()
        try:
            frames, _ = list_frames(clip)
        except OSError:
            frames = ()  # reported as a failure when the row is turned into a clip
        ends = {"onset": frames[0].number, "offset": frames[-1].number} if frames else {}
        subject = clip.parents[2].name
        shared = _filmed_as(subject_key(subject), clip.name)
        rows.append(make_row(where, subject, clip.name, clip.parent.name, ends, kind="micro", filmed_as=shared))
    return rows


def _filmed_as(subject: str, name: str) -> str:
    """Id of an expression: the cameras' clips of it are called the same."""
    return f"s{subject}__{_unpadded(name)}"


def _unpadded(name: str) -> str:
    """A clip name without padding: the release calls the same video both `s01_ne_01` and `s1_ne_01`."""
    return re.sub(r"^s0*(?=\d)", "s", name.strip().lower())
