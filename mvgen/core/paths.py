"""Where mvgen keeps what it makes for itself."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The cache folder: $MVGEN_CACHE_DIR, else $XDG_CACHE_HOME/mvgen, else ~/.cache/mvgen. Not created here."""
    if own := os.environ.get("MVGEN_CACHE_DIR"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mvgen"


def shipped_weights() -> Path:
    """The depth weights inside the package."""
    return Path(__file__).parents[1] / "depth" / "weights" / "face_depth.safetensors"


def face_mesh_weights() -> Path:
    """MediaPipe's face landmark model inside the package."""
    return Path(__file__).parents[1] / "faces" / "weights" / "face_landmark.tflite"


def face_mesh_tables() -> Path:
    """The tables of the face mesh inside the package."""
    return Path(__file__).parents[1] / "faces" / "face_mesh_topology.npz"
