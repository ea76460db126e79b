"""Rendered frames say in their own metadata that they are synthetic, and every loader reads them as before."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from factories import astronaut
from fake_build import list_clips, make_built, make_config, make_source
from PIL import Image

from mvgen.store.coding.pictures import SYNTHETIC, encode_frame, says_synthetic
from mvgen.store.writer import write_clip
from mvgen.verification.provenance import check_provenance

EXTENSION = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def source_type(content: bytes) -> str | None:
    """What the XMP packet of a picture names as its digital source."""
    with Image.open(io.BytesIO(content)) as picture:
        packet = picture.info.get("xmp")
    if packet is None:
        return None
    (described,) = ElementTree.fromstring(packet).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    return described.get(f"{EXTENSION}DigitalSourceType")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("grey", [False, True])
def test_a_rendered_frame_says_so_and_has_the_same_pixels(image_format: str, grey: bool) -> None:
    photograph = astronaut()[:64, :96]
    bare, marked = (encode_frame(photograph, image_format, grey, 98, rendered) for rendered in (False, True))
    assert marked == encode_frame(photograph.copy(), image_format, grey, 98, True)
    assert (source_type(marked), source_type(bare)) == (SYNTHETIC, None)
    assert (says_synthetic(marked[:4096]), says_synthetic(bare)) == (True, False)
    for read in (
        lambda content: np.asarray(Image.open(io.BytesIO(content))),
        lambda content: cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED),
    ):
        np.testing.assert_array_equal(read(marked), read(bare))


def test_the_mark_costs_next_to_nothing() -> None:
    photograph = astronaut()[:256, :256]

    def seconds(rendered: bool) -> float:
        began = time.perf_counter()
        encode_frame(photograph, "JPEG", False, 98, rendered)
        return time.perf_counter() - began

    # Alternating and the least of many: the machine may be busy.
    pairs = [(seconds(True), seconds(False)) for _ in range(200)]
    assert min(one for one, _ in pairs) - min(other for _, other in pairs) < 2e-4


@pytest.mark.parametrize("image_format", ["source", "png"])
def test_side_views_are_marked_the_frontal_clip_is_not_and_verify_asks(tmp_path: Path, image_format: str) -> None:
    clip = list_clips(make_source(tmp_path / "root", subjects=1, clips=1))[0]
    config = make_config(tmp_path / "root", tmp_path / "out", format=image_format)
    rows = write_clip(tmp_path / "out", clip, make_built(clip, config), "train", config).rows
    for row in rows:
        for name in row.frame_names:
            content = (tmp_path / "out" / row.frames_directory / name).read_bytes()
            assert source_type(content) == (None if row.yaw is None else SYNTHETIC)
    assert list(check_provenance(tmp_path / "out", rows)) == []
    row = next(row for row in rows if row.yaw is not None)
    path = tmp_path / "out" / row.frames_directory / row.frame_names[2]
    Image.open(path).convert("RGB").save(path)  # as tools do that drop metadata
    (finding,) = check_provenance(tmp_path / "out", rows)
    assert (finding.file, finding.clip) == (row.frames_directory, clip.id)
    assert re.search(rf"{row.frame_names[2]} does not say that it is synthetic", finding.problem)
    path.unlink()  # said by the check of digests
    assert list(check_provenance(tmp_path / "out", rows)) == []


def test_a_format_without_room_for_it_is_let_be(tmp_path: Path) -> None:
    clip = list_clips(make_source(tmp_path / "root", subjects=1, clips=1, suffix=".bmp"))[0]
    config = make_config(tmp_path / "root", tmp_path / "out")
    rows = write_clip(tmp_path / "out", clip, make_built(clip, config), "train", config).rows
    assert rows[0].frame_names[0].endswith(".bmp")
    assert list(check_provenance(tmp_path / "out", rows)) == []
