"""Small installations: what is missing is named with the extra that brings it, and reading a store needs none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from fake_build import FakeStages, make_config, make_source

import mvgen
from mvgen.building.build import build
from mvgen.core.errors import MissingPartError
from mvgen.core.extras import NEEDED, SOMETIMES, extra_of, import_part, missing_part, needs

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OPTIONAL = sorted({module for modules in NEEDED.values() for module in modules} | SOMETIMES.keys())


def brought(extra: str) -> set[str]:
    """Packages of an extra, and of the extras that it takes in, in lower case."""
    found: set[str] = set()
    for line in PROJECT["optional-dependencies"][extra]:
        inner = re.match(r"mvgen\[(.*)\]", line)
        names = inner[1].split(",") if inner else []
        found |= set().union(*map(brought, names)) if inner else {package_in(line)}
    return found


def package_in(line: str) -> str:
    return re.split(r"[<>=]", line)[0].lower().replace("_", "-")


@cache
def packages_of(module: str) -> set[str]:
    return {package_in(name) for name in distributions().get(module, [])}


@cache
def distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


@pytest.mark.parametrize("module", OPTIONAL)
def test_the_extra_that_is_named_brings_the_module(module: str) -> None:
    extras = {extra for extra, modules in NEEDED.items() if module in modules} | {SOMETIMES.get(module)} - {None}
    for extra in extras:
        assert packages_of(module) & brought(str(extra)), extra


def imported() -> dict[str, Path]:
    """Modules of others that the code imports, each with a file that does."""
    statement = re.compile(r"^\s*(?:import (\w+)|from (\w+)[\w.]* import )", re.MULTILINE)
    files = [path for package in ("mvgen", "recognizer") for path in (ROOT / package).rglob("*.py")]
    found = {one or other: path for path in files for one, other in statement.findall(path.read_text("utf-8"))}
    own = {"mvgen", "recognizer", "__future__", *sys.stdlib_module_names}
    return {module: path for module, path in found.items() if module not in own}


def test_every_import_is_of_the_base_or_of_an_extra() -> None:
    base = {package_in(line) for line in PROJECT["dependencies"]}
    # They come with jinja2, s3fs and onnx; pandas is asked for by name where a table goes to it.
    known = {"markupsafe", "botocore", "google", "pandas", *OPTIONAL}
    unknown = {name: path for name, path in imported().items() if name not in known and not packages_of(name) & base}
    assert unknown == {}
    assert {"numpy", "torch", "captum"} <= imported().keys()


def test_the_extra_of_a_command_is_preferred_over_others_with_the_module() -> None:
    assert [extra_of("torch", preferred) for preferred in ("train", "build", "recognizer")] == [
        "train",
        "build",
        "recognizer",
    ]
    assert extra_of("sklearn") == "recognizer"
    assert extra_of("numpy") is None


def test_a_missing_module_of_no_extra_is_not_explained_away(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_part(ModuleNotFoundError(name="mvgen.typo"), "x") is None
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPartError, match=r"--engine ray.*mvgen\[ray\]"):
        import_part("ray", "--engine ray")


def test_a_module_that_cannot_load_names_its_libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "open3d.py").write_text("raise OSError('libusb-1.0.so.0: cannot open')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    with pytest.raises(MissingPartError, match=r"libusb-1.0.so.0.*apt-get install libusb"):
        import_part("open3d", "rays", libraries="apt-get install libusb-1.0-0")


def test_a_function_of_an_extra_does_nothing_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    use = needs("build", "`mvgen build`")(lambda: done.append(1))
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(MissingPartError, match=r'for `mvgen build`. Install it with: pip install "mvgen\[build\]"'):
        use()
    assert done == []
    monkeypatch.undo()
    use()
    assert done == [1]


WITHOUT = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))
import mvgen
from mvgen.cli import run
from mvgen.core.console import run_app
from recognizer.cli import app
table = mvgen.open_table(sys.argv[2])
assert table.frames(table[0]).ndim == 4 and table.maps(table[0]).flow.apex.shape[-1] == 2
mvgen.verify(sys.argv[2])
for name in ("open_dataset", "build"):
    try:
        getattr(mvgen, name)(sys.argv[2])
    except mvgen.MvgenError as error:
        print(error, file=sys.stderr)
codes = [run([name, *rest]) for name, *rest in json.loads(sys.argv[3])]
print(codes, run_app(app, "recognizer", ["systems"]))
"""


def test_a_store_is_opened_and_checked_without_any_extra(tmp_path: Path) -> None:
    root = make_source(tmp_path / "root", subjects=2, clips=1)
    build(make_config(root, tmp_path / "out"), FakeStages(root))
    lines = [["build", "--dataset", "demo", "--out", "x"], ["synth", "--layout", "smic", "--out", "x"]]
    lines += [["reconstruct", "photo.jpg", "--out", "x"], ["report", str(tmp_path / "out")]]
    given = [json.dumps(OPTIONAL), str(tmp_path / "out"), json.dumps(lines)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *given], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("[2, 2, 2, 0] 2\n"), done.stderr
    told = re.findall(r'for `(.*)`\. Install it with: pip install "mvgen\[(\w+)\]"', done.stderr)
    assert told == [
        ("mvgen.open_dataset", "train"),
        ("mvgen.build", "build"),
        ("mvgen build", "build"),
        ("mvgen synth", "build"),
        ("mvgen reconstruct", "build"),
        ("recognizer systems", "recognizer"),
    ]
    assert "Traceback" not in done.stderr


def test_the_conda_recipe_has_the_version_and_the_dependencies_of_the_project() -> None:
    recipe = yaml.safe_load((ROOT / "recipe/recipe.yaml").read_text())
    assert recipe["context"]["version"] == PROJECT["version"] == mvgen.__version__
    renamed = {"isal": "python-isal", "opencv-python": "py-opencv"}
    wanted = {package_in(line): line.removeprefix(package_in(line)) for line in PROJECT["dependencies"]}
    named = {f"{renamed.get(name, name)} {bound}" for name, bound in wanted.items()}
    assert {*recipe["requirements"]["run"]} == {f"python {PROJECT['requires-python']}", *named}
