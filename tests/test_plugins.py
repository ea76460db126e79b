"""What packages of others add to mvgen by entry points: found by name, described, built from; and refused in words."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reading_build import ReadingStages

import mvgen.building.build
import recognizer.cli
from mvgen.cli import run
from mvgen.core.console import run_app
from mvgen.core.errors import ConfigError, PublishError, SourceError
from mvgen.core.registry import Registry
from mvgen.core.settings import load_config
from mvgen.motion.flow.methods import get_flow_methods
from mvgen.pipeline.stages import PipelineStages
from mvgen.publish.licence import access_to, citation_of, terms_of
from mvgen.publish.targets.address import parse_target
from mvgen.render import get_renderer
from mvgen.sources import SOURCES, get_source
from recognizer.errors import RecogniserError
from recognizer.systems import get_system

EXAMPLE = Path(__file__).parent / "example_source"

Install = Callable[..., None]

RENDERER = """
class Flat:
    def __init__(self, device):
        self.device = device

    def render(self, mesh, camera, grazing):
        raise NotImplementedError
"""
SYSTEM = """
import numpy as np
from recognizer.systems.base import FeatureSystem

class Brightness(FeatureSystem):
    name = "brightness"
    source = "the mean of a clip"

    def prepare(self, sample):
        return {"features": np.array([sample.frames.mean()], np.float32)}

    def classifier(self, seed):
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(1)
"""
# What cannot be a source, and what is said of it.
BROKEN = {
    "import no_such_library": "No module named 'no_such_library'",
    "raise SystemExit('sorry')": "SystemExit: sorry",
    "Odd = ": "SyntaxError",
    "": "has no attribute 'Odd'",
    "Odd = 3": "it is not a class derived from mvgen.sources.base.Source",
    "from mvgen.sources.base import Source\nclass Odd(Source):\n    name = title = rate = 'odd'": (
        "it does not define _read, access, licence, redistribution, tree"
    ),
    "from mvgen.sources.smic import Smic as Odd": "it calls itself 'smic'",
}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package: its name, its one module, the module's code, and group -> name -> place of entry points."""

    def make(
        package: str, module: str, code: str, points: Mapping[str, Mapping[str, str]], version: str = "1.0"
    ) -> None:
        site = tmp_path / "site" / package
        about = site / f"{package.replace('-', '_')}-{version}.dist-info"
        about.mkdir(parents=True)
        (site / f"{module}.py").write_text(code, encoding="utf-8")
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = [
            line
            for group, places in points.items()
            for line in (f"[{group}]", *(f"{name} = {place}" for name, place in places.items()))
        ]
        (about / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(str(site))

    return make


def install_example(install: Install) -> None:
    """Install the example, as its pyproject.toml says."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    code = (EXAMPLE / "mvgen_example_source.py").read_text(encoding="utf-8")
    install(project["name"], "mvgen_example_source", code, project["entry-points"], project["version"])


@pytest.fixture
def example(install: Install, tmp_path: Path) -> Path:
    """The example is installed; a folder in its layout."""
    install_example(install)
    root = tmp_path / "root"
    lines = ["subject,clip,onset,apex,offset,emotion"]
    for subject in ("p1", "p2"):
        (root / "filmed" / subject / "laugh").mkdir(parents=True)
        for number in range(1, 5):
            picture = Image.fromarray(np.full((16, 16, 3), 10 * number, np.uint8))
            picture.save(root / "filmed" / subject / "laugh" / f"f{number}.png")
        lines.append(f"{subject},laugh,1,2,4,joy")
    (root / "example_coding.csv").write_text("\n".join(lines))
    return root


def test_a_source_of_another_package_is_listed_and_described(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets"]) == 0
    printed = capsys.readouterr()
    assert "example: on request, https://example.org" in printed.out
    assert not printed.err
    assert run(["datasets", "example"]) == 0
    assert "@misc{example" in capsys.readouterr().out
    assert run(["datasets", "example", "--root", str(example)]) == 0
    assert "2 clips, 8 frames, 2 subjects" in capsys.readouterr().out


def test_a_source_of_another_package_is_built_from_and_verified(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mvgen.building.build, "_real_stages", lambda: ReadingStages(example))
    out = str(tmp_path / "out")
    assert (
        run(["build", "--dataset", "example", "--root", str(example), "--out", out, "--angles", "0", "--no-report"])
        == 0
    )
    capsys.readouterr()
    assert run(["verify", out, "--sample", "0"]) == 0
    assert (
        PipelineStages().software(load_config(None, {"source": {"dataset": "example"}}))["mvgen-example-source"]
        == "0.3"
    )


def test_a_source_of_another_package_says_its_own_terms(example: Path) -> None:
    source = {"name": "example", "redistribution": "open"}
    assert terms_of(source) == "gated"
    assert access_to(source) == "on request, https://example.org"
    assert "EXAMPLE" in str(citation_of(source))


def test_a_source_that_nobody_reads_has_no_terms_but_the_strictest() -> None:
    for source in ({"name": "example", "redistribution": "open"}, {"name": "casme9", "redistribution": "gated"}, {}):
        assert (terms_of(source), access_to(source), citation_of(source)) == ("forbidden", "not stated", None)
    assert terms_of({"name": "demo", "redistribution": "anything"}) == "forbidden"


def test_terms_of_no_known_class_are_refused(install: Install) -> None:
    code = (
        "from mvgen.sources.folder import Folder\nclass Free(Folder):\n    name, redistribution = 'free', 'as you like'"
    )
    install("free", "free_source", code, {"mvgen.sources": {"free": "free_source:Free"}})
    with pytest.raises(SourceError, match="redistribution 'as you like' is none of"):
        get_source("free")
    assert terms_of({"name": "free", "redistribution": "open"}) == "forbidden"


def test_a_renderer_of_another_package_is_made_with_the_device(install: Install) -> None:
    install("flat", "flat_renderer", RENDERER, {"mvgen.renderers": {"flat": "flat_renderer:Flat"}})
    assert get_renderer("flat", "cuda").device == "cuda"  # type: ignore[attr-defined]


def test_a_renderer_that_cannot_be_made_is_named_with_its_package(install: Install) -> None:
    code = RENDERER.replace("self, device", "self")
    install("bent", "bent_renderer", code, {"mvgen.renderers": {"bent": "bent_renderer:Flat"}})
    with pytest.raises(ConfigError, match=r"renderer 'bent' \(.* of package bent\) cannot be used: TypeError"):
        get_renderer("bent")


def test_a_flow_method_of_another_package_is_made_with_weights_and_device(install: Install) -> None:
    code = "def still(weights, device):\n    return (weights, device)"
    install("still", "still_flow", code, {"mvgen.flow_methods": {"still": "still_flow:still"}})
    assert get_flow_methods("still", Path("w"), "cpu") == (Path("w"), "cpu")


def test_a_system_of_another_package_is_listed_with_the_others(
    install: Install,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install("bright", "bright_system", SYSTEM, {"recognizer.systems": {"brightness": "bright_system:Brightness"}})
    assert get_system("brightness").source == "the mean of a clip"
    assert run_app(recognizer.cli.app, "recognizer", ["systems"]) == 0
    assert "the mean of a clip" in capsys.readouterr().out


def test_a_name_that_is_misspelt_gets_the_nearest_of_all_names(example: Path) -> None:
    with pytest.raises(SourceError, match=r"'exmaple'; did you mean 'example'\? Known: casme2, .*example"):
        get_source("exmaple")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"render": {"renderer": "rycast"}}, "unknown renderer 'rycast'; did you mean 'raycast'"),
        ({"flow": {"method": "farnbeck"}}, "unknown flow method 'farnbeck'; did you mean 'farneback'"),
    ],
)
def test_a_build_refuses_unknown_names_before_it_reads(setting: dict[str, dict[str, str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PipelineStages().read(load_config(None, {"source": {"dataset": "folder"}, **setting}))


def test_a_name_that_two_packages_give_is_refused_with_both_places(
    install: Install,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for package in ("first", "second"):
        install(package, f"{package}_source", "", {"mvgen.sources": {"twice": f"{package}_source:Any"}})
    with pytest.raises(SourceError, match=r"(first|second)_source:Any .* and (first|second)_source:Any of"):
        get_source("twice")
    assert run(["datasets"]) == 0
    assert "warning: dataset 'twice' is registered twice" in capsys.readouterr().err


def test_a_built_in_name_is_never_taken_over(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("taker", "taker_source", "", {"mvgen.sources": {"casme2": "taker_source:Mine"}})
    assert get_source("casme2").title == "CAS(ME)²"
    assert run(["datasets"]) == 0
    printed = capsys.readouterr()
    assert "CAS(ME)²" in printed.out
    assert "dataset 'casme2' (taker_source:Mine of package taker) is not used: the name is built in" in printed.err


@pytest.mark.parametrize("code", BROKEN)
def test_what_cannot_be_used_is_named_with_its_package_and_takes_nothing_else_away(
    code: str,
    install: Install,
    example: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install("oddities", "odd_source", code, {"mvgen.sources": {"odd": "odd_source:Odd"}})
    with pytest.raises(SourceError) as caught:
        get_source("odd")
    assert str(caught.value).startswith("dataset 'odd' (odd_source:Odd of package oddities) cannot be used: ")
    assert BROKEN[code] in str(caught.value)
    assert get_source("example").title == "EXAMPLE"
    assert run(["build", "--dataset", "odd", "--root", str(example)]) == 2
    assert run(["datasets"]) == 0
    printed = capsys.readouterr()
    assert "example: on request" in printed.out
    assert "odd:" not in printed.out
    assert "package oddities" in printed.err
    assert "Traceback" not in printed.err


def test_a_damaged_list_of_entry_points_is_named_with_its_package(
    install: Install,
    example: Path,
) -> None:
    install("damaged", "damaged_source", "", {"mvgen.sources": {"x": "y"}, "mvgen.renderers": {}})
    listing = next(iter((example.parent / "site" / "damaged").glob("*.dist-info"))) / "entry_points.txt"
    listing.write_text("[mvgen.sources]\nno place\n")
    assert get_source("example").title == "EXAMPLE"
    with pytest.raises(SourceError, match="the entry points of package damaged cannot be read"):
        get_source("x")


def test_other_registries_refuse_with_their_own_error() -> None:
    with pytest.raises(RecogniserError, match="did you mean 'tscnn'"):
        get_system("tscn")
    with pytest.raises(PublishError, match="Known: hf, s3"):
        parse_target("gs://bucket/x")
    with pytest.raises(ConfigError, match=r"colour 'red' is registered twice: a:B and c:D"):
        Registry("colour", ConfigError, [("red", "a:B"), ("red", "c:D")])


def test_every_built_in_source_has_its_own_name() -> None:
    assert [get_source(name).name for name in SOURCES.built_in] == list(SOURCES.built_in)


def test_imports_help_and_built_in_names_look_at_no_installed_packages() -> None:
    code = (
        "import sys, mvgen.core.registry\nmvgen.core.registry._entry_points = None\n"
        "import mvgen.scans, recognizer.systems, mvgen.motion.flow.methods, mvgen.publish.targets.address\n"
        "from mvgen.sources import get_source\nfrom mvgen.render import RENDERERS\n"
        "assert get_source('samm').name == 'samm' and RENDERERS.check('grid') is None\n"
        "from mvgen.cli import run\nassert run(['--help']) == 0\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
