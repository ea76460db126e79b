"""Anything at all where a dataset should lie: it is read, or refused in words."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hostile_trees import BOOKS, HOSTILE, jpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgen.core.config import canonical_json
from mvgen.core.errors import ClipError, SourceError
from mvgen.core.names import unstorable
from mvgen.sources import Listing, get_source
from mvgen.sources.frames import read_frames
from mvgen.synth.layouts import xlsx_bytes

pytestmark = pytest.mark.slow

SUBJECTS = ["s15", "sub01", "001", "s1", "15", "..", "HS", "micro"]
CLIPS = ["anger1_1", "EP02_01f", "006_1_2", "s1_ne_01", "negative", "15_0401x", "../x", "/x", "²", *HOSTILE.values()]
WORDS = ["happiness", "negative", "others", "=1+1", "NULL", "/", "<script>", "", "Subject", "clip", "Sheet1"]
HEADERS = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion", "Onset Frame"]
HEADERS += ["Apex Frame", "Offset Frame", "OnsetF", "OffsetF", "Emotion", "clip", "subject", "onset", "apex", "offset"]
TREES = {
    "casme2": ["selectedpic", "cropped", "rawpic", "selectedpic/selectedpic"],
    "casme-ii": ["CASME2_RAW_selected", "Cropped", "Cropped/Cropped"],
    "samm": ["SAMM", "SAMM_CROP"],
    "smic": ["SMIC_all_raw/HS", "SMIC_all_cropped/VIS", "SMIC-E_raw image/HS_long/SMIC-HS-E"],
    "folder": ["", "a", "a/b"],
}
CONTENTS = [jpeg(), jpeg(), jpeg()[:300], b"", b"text", os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)]
on_disk = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)
in_a_cell = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)
cells = st.one_of(
    st.none(), st.integers(-(2**70), 2**70), st.floats(), st.booleans(), in_a_cell,
    st.sampled_from([*WORDS, *SUBJECTS, *HEADERS]), st.sampled_from([name for name in CLIPS if name.isprintable()]),
)  # fmt: skip
plausible = st.tuples(
    st.sampled_from([1, "1", "s15", "01", "001"]), st.sampled_from(["anger1_1", "EP02_01f", "006_1_2", "s1_ne_01"]),
    cells, cells, cells, cells, st.sampled_from(WORDS),
).map(list)  # fmt: skip
tables = st.lists(st.one_of(st.lists(cells, max_size=8), plausible), max_size=5)
frame_names = st.one_of(st.integers(0, 9).map("img{}.jpg".format), on_disk.map("{}1.png".format), on_disk)
places = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([s for s in SUBJECTS if s != ".."]), on_disk),
        st.lists(
            st.one_of(st.sampled_from([c for c in CLIPS if "/" not in c]), on_disk),
            min_size=1, max_size=3,
        ),
        st.lists(st.tuples(frame_names, st.sampled_from(CONTENTS)), max_size=3),
    ),
    max_size=3,
)  # fmt: skip


def plant(root: Path, tree: str, found: list[Any]) -> None:
    """Write a random tree, as far as the file system takes it."""
    for subject, clip, frames in found:
        folder = root / tree / subject / Path(*clip)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in frames:
                if isinstance(content, bytes):
                    with (folder / name).open("xb") as file:  # a pipe of that name would be waited for
                        file.write(content)
                else:
                    content(folder / name)
        except OSError:
            continue


def spoilt(content: bytes, data: st.DataObject) -> bytes:
    """A file as it is, cut short, with a few bytes changed, or another one altogether."""
    how = data.draw(st.sampled_from(["whole", "whole", "whole", "cut", "changed", "other"]))
    if how == "cut":
        return content[: data.draw(st.integers(0, len(content)))]
    if how == "changed":
        changed = bytearray(content)
        for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)))):
            changed[place] = value
        return bytes(changed)
    start = data.draw(st.sampled_from([b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"clip,subject\n", b""]))
    return content if how == "whole" else start + data.draw(st.binary(max_size=2000))


@pytest.mark.parametrize("dataset", BOOKS)
@settings(max_examples=25, derandomize=True)
@given(data=st.data())
def test_whatever_lies_there_is_read_or_refused_in_words(dataset: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        plant(root, data.draw(st.sampled_from(TREES[dataset])), data.draw(places))
        book = root / data.draw(st.sampled_from([BOOKS[dataset]] * 4 + [Path(BOOKS[dataset]).stem + ".xls"]))
        if dataset == "folder":
            lines = data.draw(st.lists(st.lists(st.one_of(st.sampled_from(HEADERS + WORDS), in_a_cell)), max_size=4))
            content = "\n".join(",".join(line) for line in lines).encode()
        else:
            headers = [[name for name in HEADERS if data.draw(st.booleans())]] if data.draw(st.booleans()) else []
            sheets = [[*headers, *data.draw(tables)] for _ in range(data.draw(st.integers(1, 3)))]
            sheets += [[[15, "s15", 1]], [["0401", "anger1"]]] if dataset == "casme2" else []
            content = xlsx_bytes({f"Sheet{index}": rows for index, rows in enumerate(sheets)})
        book.write_bytes(spoilt(content or b"clip", data))
        annotations = data.draw(st.sampled_from([None, None, book, root]))
        variant = data.draw(st.sampled_from(["auto", "auto", "raw", "cropped"]))
        before = time.process_time()
        with suppress(SourceError):  # anything else is a mistake of ours
            check_listing(get_source(dataset).read(root, annotations=annotations, variant=variant), root)
        assert time.process_time() - before < 10


def check_listing(listing: Listing, root: Path) -> None:
    """A listing can be stored, printed and read, frame by frame."""
    words = [asdict(problem) for problem in listing.problems]
    words += [{"clip": failure.clip, "reason": failure.reason} for failure in listing.failures]
    assert canonical_json(words).encode()
    assert all("\n" not in value for entry in words for value in entry.values())
    for clip in listing.clips:
        assert not any(map(unstorable, (clip.id, *clip.directory.parts, *(frame.name for frame in clip.frames))))
        assert len(clip.frames) >= 2
        assert all(frame.path.resolve().is_relative_to(root.resolve()) for frame in clip.frames)
        assert clip.id.encode()
        numbers = (clip.onset, clip.apex, clip.offset)
        assert all(value is None or abs(value) < 2**63 for value in numbers)
        with suppress(ClipError):
            assert len(read_frames(clip)) == len(clip.frames)
