"""Check the machine: which parts of a build are installed, and how to get the others."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mvgen import __version__
from mvgen.core.config import file_digest
from mvgen.core.errors import MvgenError
from mvgen.core.files import cache_dir, shipped_weights
from mvgen.pipeline.stages import PACKAGES, package_version

INSTALL_PACKAGES = 'pip install "mvgen[build]"   (in a clone: uv sync --locked)'
INSTALL_GL = "sudo apt-get install libegl1 libgl1   (or, for OSMesa: libosmesa6)"

# Run in a process of its own: a GL library that cannot load may take its process down.
_PROBE = """
import numpy, pyrender
renderer = pyrender.OffscreenRenderer(16, 16)
scene = pyrender.Scene()
camera = numpy.eye(4)
scene.add(pyrender.OrthographicCamera(1.0, 1.0), pose=camera)
renderer.render(scene, flags=pyrender.RenderFlags.DEPTH_ONLY)
from OpenGL.GL import GL_RENDERER, GL_VERSION, glGetString
renderer._platform.make_current()
print(glGetString(GL_RENDERER).decode(), "|", glGetString(GL_VERSION).decode())
"""

# Packages that need system libraries to be imported.
_LIBRARIES = {
    "open3d": "sudo apt-get install libusb-1.0-0 libgomp1 libgl1 libegl1",
    "cv2": "sudo apt-get install libgl1 libglib2.0-0",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the diagnosis: a part, its state, what was found, and how to fix it."""

    name: str
    state: Literal["ok", "missing", "note"]
    found: str
    fix: str = ""


def diagnose() -> list[Check]:
    """All checks, in the order of printing."""
    return [
        Check("mvgen", "ok", __version__),
        Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *(_package(name) for name in PACKAGES),
        *(_library(module, fix) for module, fix in _LIBRARIES.items()),
        _device(),
        *_gl(),
        _weights(),
        *_caches(),
    ]


def _package(name: str) -> Check:
    version = package_version(name)
    if version:
        return Check(name, "ok", version)
    if name == "openvino":
        slower = "not installed; without a GPU the depth network then runs on torch, at about half the speed"
        return Check(name, "note", slower, INSTALL_PACKAGES)
    return Check(name, "missing", "not installed", INSTALL_PACKAGES)


def _library(module: str, fix: str) -> Check:
    problem = _try_process(f"import {module}")[1]
    return Check(f"{module} loads", "missing", problem, fix) if problem else Check(f"{module} loads", "ok", "yes")


def _device() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("device", "missing", str(error), INSTALL_PACKAGES)
    if torch.cuda.is_available():
        return Check("device", "ok", f"cuda: {torch.cuda.get_device_name(0)}, torch {torch.__version__}")
    return Check("device", "ok", f"cpu, {os.cpu_count()} cores, torch {torch.__version__}; no CUDA device is visible")


def _gl() -> list[Check]:
    """EGL, then OSMesa, in the order that a build tries them; one is enough."""
    checks: list[Check] = []
    usable = False
    for interface in ("egl", "osmesa"):
        found, problem = _try_process(_PROBE, PYOPENGL_PLATFORM=interface)
        if problem:
            checks.append(Check(f"GL through {interface}", "note", f"not usable: {problem}"))
        else:
            in_use = "" if usable else ", in use"
            usable = True
            checks.append(Check(f"GL through {interface}", "ok", found + in_use))
    if not usable:
        needed = "neither can render without a screen; only `--renderer pyrender` needs one"
        checks.append(Check("GL", "note", needed, INSTALL_GL))
    return checks


def _weights() -> Check:
    path = shipped_weights()
    if not path.is_file():
        return Check("depth weights", "missing", f"{path} is not there", "reinstall mvgen, or run `mvgen train-depth`")
    return Check("depth weights", "ok", f"{path}, sha256 {file_digest(path)[:12]}")


def _caches() -> list[Check]:
    places: list[tuple[str, Callable[[], object]]] = [
        ("cache", cache_dir),
        ("Anny cache", lambda: os.environ.get("ANNY_CACHE_DIR") or "Anny's own; set ANNY_CACHE_DIR to move it"),
    ]
    checks = []
    for name, where in places:
        try:
            checks.append(Check(name, "note", str(where())))
        except (MvgenError, RuntimeError) as error:
            checks.append(Check(name, "missing", str(error), "set MVGEN_CACHE_DIR to a writable folder"))
    return checks


def _try_process(code: str, **environment: str) -> tuple[str, str]:
    """Run Python code in a separate process. Returns its output, and why it failed in one line, empty if it did not."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", "no answer in 120 s"
    if done.returncode == 0:
        return done.stdout.strip(), ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return "", lines[-1][:160] if lines else f"exit code {done.returncode}"
