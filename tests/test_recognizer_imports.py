from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "recognizer").rglob("*.py"))

# What `recognizer` may know of `mvgen`: single modules, and rooms with all that is in them.
MODULES = (
    "mvgen",
    "mvgen.motion.flow.methods",
    "mvgen.pipeline.code_digest",
    *("mvgen.pipeline.frontal", "mvgen.pipeline.side", "mvgen.pipeline.spot", "mvgen.pipeline.tools"),
)
ROOMS = ("mvgen.core", "mvgen.dataset", "mvgen.engine", "mvgen.store")
# Releases and videos are read in one place.
READS_SOURCES = "recognizer/readers/source.py"


def imports(code: str) -> Iterator[str]:
    """The modules of mvgen that code imports, also inside functions; with their names where these are private."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found = [_meant(node.module, alias.name) for alias in node.names]
        else:
            continue
        yield from (module for module in found if module.split(".")[0] == "mvgen")


def _meant(module: str, name: str) -> str:
    path = ROOT.joinpath(*module.split("."), name)
    private = name.startswith("_") and not name.startswith("__")
    return f"{module}.{name}" if private or path.is_dir() or path.with_suffix(".py").is_file() else module


def refused(code: str, file: str) -> list[str]:
    """Those that a file of the recogniser may not import."""
    rooms = (*ROOMS, "mvgen.sources") if file == READS_SOURCES else ROOMS
    allowed = (*(f"{room}." for room in rooms), *(f"{module} " for module in (*MODULES, *rooms)))
    return [module for module in imports(code) if not f"{module} ".startswith(allowed) or "._" in module]


@pytest.mark.parametrize("file", FILES)
def test_the_recogniser_knows_records_stores_and_registered_clips_only(file: str) -> None:
    assert not refused((ROOT / file).read_text(encoding="utf-8"), file)


@pytest.mark.parametrize(
    "line",
    [
        "import mvgen.motion.flow.joint",
        "from mvgen import motion",
        "from mvgen.pipeline import clip, frontal",
        "from mvgen.pipeline.frontal import _register",
        "from mvgen.store.writer import _flush",
        "from mvgen.sources import get_source",
        "def read():\n    from mvgen.views.view import render_geometry",
    ],
)
def test_other_imports_are_found(line: str) -> None:
    assert len(refused(line, "recognizer/readers/base.py")) == 1


def test_sources_are_read_in_one_place() -> None:
    assert not refused("from mvgen.sources.frames import list_video", READS_SOURCES)
