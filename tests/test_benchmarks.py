"""The benchmarks as scripts: listed, with a line that runs them, and one shape for what they write."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.common import Report, read_rows
from mvgen.core.errors import ConfigError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SCRIPTS = [path for path in sorted(ROOT.glob("benchmarks/*/*.py")) if "__main__" in path.read_text()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_is_in_the_index_and_shows_how_to_run_it(script: Path) -> None:
    name = script.relative_to(ROOT).as_posix()
    assert f"python {name} " in (ast.get_docstring(ast.parse(script.read_text())) or "")
    assert f"`python {name}" in (ROOT / "benchmarks" / "README.md").read_text()


def test_results_are_printed_and_written_in_one_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "folder" / "results.json"
    report = Report(str(SCRIPTS[0]), Namespace(out=out, clips=3, weights=tmp_path), "3 clips")
    report.table(["way", "error"], [["ours", 0.125], ["flat", float("nan")]], digits=1)
    report.section("Anny")
    report.table(["way", "clips"], [["ours", 3]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("; 3 clips")
    assert "commit " in lines[0]
    assert [line for line in lines if "ours" in line or "flat" in line or "#" in line] == [
        "| ours | 0.1 |", "| flat | - |", "## Anny", "| ours | 3 |",
    ]  # fmt: skip
    found = json.loads(out.read_text())
    assert list(found) == ["benchmark", "commit", "hardware", "settings", "rows"]
    assert found["benchmark"] == f"{SCRIPTS[0].parent.name}/{SCRIPTS[0].stem}"
    assert found["settings"] == {"clips": 3, "weights": str(tmp_path)}
    assert read_rows(out, str(SCRIPTS[0])) == [
        {"way": "ours", "error": 0.125},
        {"way": "flat", "error": None},
        {"section": "Anny", "way": "ours", "clips": 3},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "holds no results of a benchmark"),
        ('{"clips": []}', "holds no results of a benchmark"),
        ('{"benchmark": "speed/other", "rows": []}', "holds results of speed/other, not of quality/"),
    ],
)
def test_other_files_than_a_benchmark_s_results_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_rows(path, str(SCRIPTS[0]))


def test_a_benchmark_runs_from_the_root_and_writes_its_results(tmp_path: Path) -> None:
    out = tmp_path / "overfit.json"
    line = [sys.executable, "benchmarks/recognisers/overfit.py", "--systems", "mdmo", "--out", str(out)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| mdmo | 1.00 | 1 |" in done.stdout
    (row,) = read_rows(out, line[1])
    assert (row["system"], row["accuracy"]) == ("mdmo", 1.0)


def test_a_short_soak_loses_nothing_and_shows_no_traceback(tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    line = [sys.executable, "benchmarks/robustness/soak.py", "--minutes", "0.1", "--no-networks", "--out", str(out)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = (row for row in read_rows(out, line[1]) if row["command"] == "all")
    assert row["cases"] > 0


def test_bad_input_ends_a_benchmark_with_a_word() -> None:
    line = [sys.executable, "benchmarks/recognisers/overfit.py", "--systems", "none"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "none" in done.stderr
