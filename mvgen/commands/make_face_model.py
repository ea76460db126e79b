"""`mvgen make-face-model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def make_face_model(
    *,
    ict: Annotated[Path, typer.Option(help="a clone of ICT-FaceKit, or its FaceXModel folder")],
    out: Annotated[Path, typer.Option(help="file to write")] = Path("face_model.safetensors"),
) -> int:
    """Make the linear face model that is fitted to landmarks, from the heads of Anny and ICT.

    Renders heads, runs the landmarker on the pictures, carries its points back to the surface, and takes principal
    components over people. Two minutes; the same inputs give the same bytes. Writes the card beside the file.

    \b
    Example:
      mvgen make-face-model --ict ICT-FaceKit --out face_model.safetensors
    """
    from mvgen.device import one_thread
    from mvgen.faces.face_mesh import FaceMesh
    from mvgen.morphable.card import write_card
    from mvgen.morphable.making import make_face_model as make
    from mvgen.morphable.making import shipped_families

    one_thread()
    model = make(shipped_families(ict), FaceMesh("cpu"))
    model.save(out)
    write_card(model, out)
    print(f"{out}; its card is beside it")
    return 0
