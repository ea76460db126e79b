"""Trees of flow images, as STSTNet and HTNet read them ("norm_u_v_os"), with a fold for each subject.

    OUT/<subject>/u_train|u_test/<class>/<clip>.png           or <clip>@<view>.png

An image is the motion from onset to apex: red is u, to the right, green v, down, blue the optical strain, each from its
least value in the image to its greatest as 0 to 255. `u_test` has the subject's own clips, `u_train` all others'.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mvgen.core.errors import ConfigError
from mvgen.dataset.classes import ClassSet, class_names, class_of
from mvgen.dataset.motion_images import grey_levels
from mvgen.export.base import Exported, file_stem, whole_folder

SIZE = 28


def write_flow_images(exported: Exported, out: Path, classes: ClassSet = "three", size: int = SIZE) -> int:
    """Write the tree; the number of images of the tested clips is returned.

    classes : the set of classes; its folders are numbers from 0, named in `export.json`. Clips without a class are
        left out
    Raises ConfigError for fewer than two subjects, or no clip with a class.
    """
    from PIL import Image

    names = class_names(exported.rows, classes)
    chosen = [(row, names.index(name)) for row in exported.rows if (name := class_of(row, classes)) in names]
    subjects = sorted({row.subject for row, _ in chosen})
    if len(subjects) < 2:
        raise ConfigError(
            f"{exported.root} has clips with a class of {len(subjects)} subjects; leaving one out needs two or more"
        )
    with whole_folder(out, exported, "flow-images", classes=list(names), size=size) as folder:
        tested = []
        for row, number in chosen:
            place = Path("u_test", str(number), f"{file_stem(row)}.png")
            path = folder / row.subject / place
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(grey_levels(exported.motion(row, size))).save(path)
            tested.append((row.subject, path))
        for subject in subjects:
            _link(folder / subject / "u_train", (path for owner, path in tested if owner != subject))
    return len(chosen)


def _link(folder: Path, images: Iterable[Path]) -> None:
    """Give images another name, in their class's folder below a folder; copy them where a disk has no links."""
    for path in images:
        place = folder / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, place)
        except OSError:
            place.write_bytes(path.read_bytes())
