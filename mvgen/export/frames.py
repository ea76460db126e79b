"""Frames as files: the views of a store as folders of pictures under the source's own names, for loaders of the source.

    OUT/views/<view>/<the clip's folder in the source>/<frame>

It is the layout of a store whose frames are files, with the source's workbook in OUT/annotations, so that what reads
such a store's view as the source reads an exported one too. A video's frames become PNG or JPEG, as their names say.
"""

from __future__ import annotations

from pathlib import Path

from mvgen.core.errors import StoreError
from mvgen.export.base import Exported, whole_folder
from mvgen.store import layout
from mvgen.store.about import stored_config
from mvgen.store.checks import inside
from mvgen.store.finish import copy_annotations
from mvgen.store.frames import frame_files


def write_frames(exported: Exported, out: Path) -> int:
    """Write the folders; the number of frames is returned. Raises StoreError for a frame that cannot be read."""
    quality = stored_config(exported.about).render.jpeg_quality
    written = 0
    with whole_folder(out, exported, "frames", views=sorted({row.view for row in exported.rows})) as folder:
        for row in exported.rows:
            place = folder / row.frames_directory
            place.mkdir(parents=True, exist_ok=True)
            for name, content in zip(row.frame_names, frame_files(exported.root, row, quality), strict=True):
                (place / name).write_bytes(content)
                written += 1
        copy_annotations(folder, _annotations(exported.root))
    return written


def _annotations(root: Path) -> list[Path]:
    """The workbooks of a store. Raises StoreError for a link or a pipe among them: a store may come from a stranger."""
    files = sorted(inside(root, layout.ANNOTATIONS).glob("*"))
    for path in files:
        if path.is_symlink() or not path.is_file():
            raise StoreError(f"{path} is no regular file; the store is damaged, build it again")
    return files
