from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import torch
from fake_build import FakeStages, make_source

import mvgen.building.build
import mvgen.commands.build
from mvgen import __version__
from mvgen.cli import COMMANDS, run
from mvgen.core.config import BuildConfig
from mvgen.core.device import resolved_device
from mvgen.core.errors import ConfigError, MvgenError
from mvgen.core.settings import SETTINGS, Setting, load_config
from mvgen.sources import SOURCES
from mvgen.store import layout

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line of a small build, on stages without networks."""
    root = make_source(tmp_path / "root")
    monkeypatch.setattr(mvgen.building.build, "_real_stages", lambda: FakeStages(root))
    return ["build", "--dataset", "fake", "--angles", "-45:45:45", "--root", str(root), "--out", str(tmp_path / "out")]


@pytest.mark.slow
def test_the_exact_command_of_a_build_works(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line) == 0
    printed = capsys.readouterr()
    assert str(tmp_path / "out" / layout.SHEET) in printed.out
    assert "views" in printed.out
    assert "6 of 6 clips" in printed.err
    assert run(line) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_flags_go_over_the_file(line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("camera: {angles: '0,10'}\nsource: {limit: 1}\nsplit: {seed: 4}\n")
    assert run([*line, "--config", str(recipe), "--seed", "5"]) == 0
    assert '"seed": 5' in (tmp_path / "out" / layout.DATASET).read_text()
    assert '"limit": 1' in (tmp_path / "out" / layout.DATASET).read_text()
    assert not (tmp_path / "out/views/yaw+10").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--angles", "0:10:0"], "step 0"),
        (["--angles", "-120:0:10"], "beyond"),
        (["--angles", ""], "empty"),
        (["--size", "7"], "size"),
        (["--format", "gif"], "format"),
        (["--config", "nowhere.yaml"], "nowhere.yaml does not exist"),
        (["--weights", "nowhere.safetensors"], "nowhere.safetensors does not exist"),
        (["--camera", "pinhole"], "needs focal and principal"),
        (["--sise", "128"], "--sise"),
    ],
)
def test_bad_input_is_a_message_and_writes_nothing(
    line: list[str], tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*line, *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_dataset_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["build", "--dataset", "casme3000", "--root", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "casme" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused() -> None:
    assert resolved_device("auto") == resolved_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="cuda is not available"):
        resolved_device("cuda")
    with pytest.raises(ConfigError, match="unknown"):
        resolved_device("abacus")


def test_an_interrupt_is_130(
    line: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeStages, "fit_attention", interrupted)
    assert run(line) == 130
    assert "run the same command again to resume" in capsys.readouterr().err


def test_every_setting_is_one_flag_described_by_the_config(capsys: pytest.CaptureFixture[str]) -> None:
    fields = [part.annotation.model_fields for part in BuildConfig.model_fields.values()]
    flags = [setting.flag for setting in SETTINGS.values()]
    assert len(flags) == len(set(flags)) == sum(map(len, fields))
    assert run(["build", "--help"]) == 0
    printed = capsys.readouterr().out
    options = re.findall(r"^  --([a-z-]+)", printed, re.MULTILINE)
    assert options == [*flags, "config", "shard", "retry-failed", "no-report", "verbose"]
    joined = "".join(printed.split())
    for setting in SETTINGS.values():
        default = "" if setting.field.default is None else f"[default: {setting.field.default}]"
        assert setting.field.description
        assert "".join(f"{setting.field.description}{default}".split()) in joined


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_a_flag_sets_its_setting(setting: Setting, line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"principal": ["2", "3"], "angles": ["-9:9:9"], "background": ["#123456"], "jpeg-quality": ["99"]}
    given["cameras"] = ["VIS,NIR"]
    words: list[str] = given.get(setting.flag, [])
    if not words:
        kind, default = setting.field.annotation, setting.field.default
        words = [get_args(kind)[-1]] if get_origin(kind) is Literal else ["0.5" if isinstance(default, float) else "70"]
    seen: list[BuildConfig] = []
    monkeypatch.setattr(mvgen.commands.build, "run_build", lambda config, **_: seen.append(config) or sys.exit(7))
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    needed = ["--focal", "9", "--principal", "1", "1"] if setting.flag == "camera" else []
    with pytest.raises(SystemExit):
        run(["build", *needed, f"--{setting.flag}", *words])
    value = getattr(getattr(seen[0], setting.part), setting.name)
    assert value != getattr(getattr(BuildConfig(), setting.part), setting.name)


def test_commands_share_the_settings_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for command, names in (("reconstruct", ("angles", "size", "weights", "device")), ("rebuild", ("root", "workers"))):
        assert run([command, "--help"]) == 0
        joined = "".join(capsys.readouterr().out.split())
        for name in names:
            assert "".join((SETTINGS[name].field.description or "").split()) in joined


@pytest.mark.parametrize("command", [*COMMANDS])
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"  mvgen {command}" in printed
    assert "Example" in printed


def test_the_default_recipe_says_the_defaults() -> None:
    stated = load_config(REPOSITORY / "configs" / "default.yaml", {})
    assert stated == BuildConfig()


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"mvgen {__version__}\n"


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["biuld"]) == 2
    assert "biuld" in capsys.readouterr().err


def test_datasets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["datasets"]) == 0
    printed = capsys.readouterr().out
    for name in SOURCES.built_in:
        assert name in printed


@pytest.mark.slow
def test_a_store_is_described_by_the_recognizer(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mvgen.core.console import run_app
    from recognizer.cli import app

    run(line)
    capsys.readouterr()
    assert run_app(app, "recognizer", ["data", str(tmp_path / "out")]) == 0
    words = [text.split() for text in capsys.readouterr().out.splitlines()]
    assert ["train", "positive", "2", "4"] in words
    assert ["test", "positive", "1", "2"] in words
    assert ["yaw-45", "4", "0", "2", "25%"] in words
    assert run_app(app, "recognizer", ["data", str(tmp_path / "root")]) == 2


def test_help_does_not_load_heavy_libraries() -> None:
    code = (
        "import sys, mvgen.cli; mvgen.cli.run(['--help'])\n"
        "heavy = {'torch', 'cv2', 'open3d', 'av', 'pyarrow', 'numpy', 'pydantic', 'pyrender'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_closed_pipe_is_no_error() -> None:
    shell = f"set -o pipefail; {sys.executable} -m mvgen.cli --help | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_an_error_ends_with_its_own_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class DiskError(MvgenError):
        exit_code = 1

    def fail(*_: object) -> None:
        raise DiskError("the disk is gone")

    monkeypatch.setattr("mvgen.commands.datasets._list", fail)
    assert run(["datasets"]) == 1
    assert capsys.readouterr().err == "error: the disk is gone\n"


def test_import_is_fast() -> None:
    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    bare = min(seconds("pass") for _ in range(3))
    assert min(seconds("import mvgen") for _ in range(3)) - bare < 0.3


def test_a_misspelt_command_gets_a_hint_and_names_are_completed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["bulid"]) == 2
    assert "Did you mean 'build'" in capsys.readouterr().err
    assert run(["verify", "-h"]) == 0
    assert "Examples" in capsys.readouterr().out
    for name, value in {"_MVGEN_COMPLETE": "complete_bash", "COMP_WORDS": "mvgen re", "COMP_CWORD": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        run([])
    assert capsys.readouterr().out.split() == ["reconstruct", "report", "refine", "rebuild"]
