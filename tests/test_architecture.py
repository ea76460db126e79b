"""The rooms of the code: who may import whom, what may lie where. Nothing is imported here, sources are parsed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From low to high: a room imports what stands before it.
ROOMS = [
    *(
        "core",
        "sources",
        "engine",
        "faces",
        "morphable",
        "depth",
        "motion",
        "render",
        "views",
        "store",
        "forget",
        "pipeline",
    ),
    *("dataset", "building", "scans", "synth", "training", "evaluation", "verification", "publish", "export", "report"),
    *("commands", "api", "cli"),
]
PACKAGES = ("mvgen", "recognizer")
MOST_MODULES = 14
# Folders of one file a member: a release, a system, a command, a look.
ONE_FILE_A_MEMBER = {
    "mvgen/sources",
    "mvgen/commands",
    "mvgen/publish/targets",
    "mvgen/publish/formats",
    "mvgen/scans/corpora",
    "mvgen/scans/looks",
    "recognizer/systems",
    "recognizer/commands",
}


@dataclass(frozen=True)
class Import:
    """`importer` imports `imported`, both modules of ours. `typing` : under TYPE_CHECKING only."""

    importer: str
    imported: str
    typing: bool = False


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(root: Path) -> list[Import]:
    """Every import between modules of ours below a root, inside functions too."""
    files = {module_name(path, root): path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))}
    found = []
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        typed = {id(node) for block in ast.walk(tree) if _is_type_checking(block) for node in _below(block)}
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(tree):
            targets = {_module(target, files) for target in _targets(node, package)} - {None, name}
            found += [Import(name, str(target), id(node) in typed) for target in sorted(map(str, targets))]
    return found


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _below(node: ast.AST) -> Iterable[ast.AST]:
    assert isinstance(node, ast.If)
    return (inner for statement in node.body for inner in ast.walk(statement))


def _targets(node: ast.AST, package: str) -> list[str]:
    """Dotted names that a statement imports, modules or what is in them; `import_module("...")` counts."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*above, *([node.module] if node.module else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
        first = node.args[0]
        return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
    return []


def _module(name: str, files: Mapping[str, Path]) -> str | None:
    """The module of ours that a dotted name is, or lies in; None for others'."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name or None


def upward(imports: Iterable[Import]) -> list[str]:
    """Imports that go from a room into one above it, and those of `recognizer` in `mvgen`; a line each."""
    ours = [each for each in imports if each.importer.startswith("mvgen.")]
    return sorted({f"{each.importer} -> {each.imported}" for each in ours if _goes_up(each)})


def _goes_up(each: Import) -> bool:
    package, *rest = each.imported.split(".")
    return package == "recognizer" or (bool(rest) and _height(each.imported) > _height(each.importer))


def _height(module: str) -> int:
    room = module.split(".")[1]
    return len(ROOMS) if room == "__main__" else ROOMS.index(room)


def circles(imports: Iterable[Import]) -> list[str]:
    """Modules that import one another, over however many others: a line for each group of them."""
    after: dict[str, set[str]] = {}
    for each in imports:
        if not each.typing:
            after.setdefault(each.importer, set()).add(each.imported)
    reached = {module: _reachable(module, after) for module in after}
    groups = {
        tuple(sorted(other for other in reached if other in reached[module] and module in reached[other]))
        for module in after
        if module in reached[module]
    }
    return [" <-> ".join(group) for group in sorted(groups)]


def _reachable(start: str, after: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(after.get(start, ()))
    while todo:
        if (module := todo.pop()) not in seen:
            seen.add(module)
            todo += after.get(module, ())
    return seen


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    return read_imports(ROOT)


def test_the_code_is_read(imports: list[Import]) -> None:
    assert Import("mvgen.pipeline.clip", "mvgen.core.records") in imports
    assert any(each.importer.startswith("recognizer.") and each.imported.startswith("mvgen.") for each in imports)


def test_every_room_has_a_place_in_the_order() -> None:
    rooms = {path.name for path in (ROOT / "mvgen").iterdir() if (path / "__init__.py").is_file()}
    assert rooms - set(ROOMS) == set()


def test_a_room_imports_only_what_lies_below_it(imports: list[Import]) -> None:
    assert upward(imports) == []


def test_modules_do_not_import_one_another_in_circles(imports: list[Import]) -> None:
    assert circles(imports) == []


def test_nothing_lies_loose_in_the_package() -> None:
    assert {path.stem for path in (ROOT / "mvgen").glob("*.py")} == {"__init__", "__main__", "cli"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_holds_more_modules_than_a_reader_keeps_in_mind(package: str) -> None:
    folders = [path.parent for path in (ROOT / package).rglob("__init__.py")]
    names = {folder: folder.relative_to(ROOT).as_posix() for folder in folders}
    sizes = {name: sum(1 for path in folder.glob("*.py") if path.stem != "__init__") for folder, name in names.items()}
    assert {name: size for name, size in sizes.items() if size > MOST_MODULES and name not in ONE_FILE_A_MEMBER} == {}
    assert set(sizes) >= {name for name in ONE_FILE_A_MEMBER if name.startswith(package)}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("from mvgen.building.work import plan", "mvgen.building.work"),
        ("import mvgen.building.work", "mvgen.building.work"),
        ("def use():\n    from mvgen.building import work", "mvgen.building.work"),
        ("from ..building.work import plan", "mvgen.building.work"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mvgen.building",
            "mvgen.building",
        ),
        ("from importlib import import_module\nimport_module('mvgen.building')", "mvgen.building"),
        ("import recognizer", "recognizer"),
    ],
)
def test_an_import_that_goes_up_is_found(tmp_path: Path, statement: str, found: str) -> None:
    work = "from mvgen.core import low\nplan = low"
    _plant(tmp_path, {"mvgen/core/low.py": statement, "mvgen/building/work.py": work})
    assert upward(read_imports(tmp_path)) == [f"mvgen.core.low -> {found}"]


def test_a_circle_is_found_and_types_make_none(tmp_path: Path) -> None:
    one = "def use():\n    from mvgen.core import two"
    _plant(tmp_path, {"mvgen/core/one.py": one, "mvgen/core/two.py": "from mvgen.core.one import use"})
    assert circles(read_imports(tmp_path)) == ["mvgen.core.one <-> mvgen.core.two"]
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mvgen.core import two"
    (tmp_path / "mvgen/core/one.py").write_text(typed)
    assert circles(read_imports(tmp_path)) == []


def _plant(root: Path, modules: Mapping[str, str]) -> None:
    for package in ("mvgen", "mvgen/core", "mvgen/building", "recognizer"):
        (root / package).mkdir()
        (root / package / "__init__.py").touch()
    for path, text in modules.items():
        (root / path).write_text(text)
