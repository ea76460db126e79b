"""The settings that come with mvgen are found by name, and nothing else is taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mvgen.cli import run
from mvgen.core import files
from mvgen.core.errors import ConfigError
from mvgen.core.files import config_names, find_config
from mvgen.core.settings import load_config
from mvgen.training.depth import load_training_config
from recognizer.config import load_bench

CONFIGS = Path(__file__).parents[1] / "configs"


def test_each_kind_of_settings_loads_by_name() -> None:
    assert load_config(Path("default"), {"camera": {"size": 64}}).camera.size == 64
    assert load_training_config(Path("depth")).size == 128
    assert load_bench(Path("bench/novel_view_small")).title == "Novel views, small"


@pytest.mark.parametrize("given", ["bench/megc_442", "configs/bench/megc_442.yaml", "bench/megc_442.yaml"])
def test_a_name_is_found_from_any_folder(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(Path(given), "benchmark") == CONFIGS / "bench/megc_442.yaml"


def test_a_file_goes_over_a_name_and_a_folder_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("default").mkdir()
    assert find_config(Path("default"), "config file") == CONFIGS / "default.yaml"
    Path("depth").write_text("size: 64\n")
    assert find_config(Path("depth"), "training config") == Path("depth")


def test_settings_inside_the_package_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "mvgen/configs/bench/own.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("title: Own\n")
    monkeypatch.setattr(files, "__file__", str(tmp_path / "mvgen/core/files.py"))
    assert config_names() == {"bench/own": own}


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("bench/megc_44", "'bench/megc_442'"), ("novel_view_smal", "'bench/novel_view_small'"), ("x" * 300, "mvgen con")],
)
def test_an_unknown_name_is_answered_with_the_nearest(given: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"does not exist; .*{nearest}"):
        load_bench(Path(given))


def test_all_are_listed_and_one_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["configs"]) == 0
    listed = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in listed] == sorted(config_names())
    assert len(listed) == len(list(CONFIGS.rglob("*.yaml")))
    assert run(["configs", "bench/megc_442"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["title"] == "MEGC 2019 composite, 442 flow images"
