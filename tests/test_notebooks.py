"""The notebooks run from top to bottom, on one small store that the first of them builds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "docs" / "notebooks"
PRINTED = {
    "build_and_look": r"\(6, 18, \(\)\)[\s\S]*<ViewTable of SMIC: 6 clips, 2 subjects[\s\S]*\(\)$",
    "train_on_any_angle": r"epoch 3: yaw \[[\s\S]*\d of 9 test views",
    "novel_view_table": r"\[6/6\] pixel-svm, trained on true, fold-2, seed 0",
    "publish_a_recipe": r"mvgen rebuild recipe",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTED)
def test_a_notebook_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from run_notebooks import run_notebook

    assert re.search(PRINTED[name], run_notebook(NOTEBOOKS / f"{name}.ipynb", folder).strip())


@pytest.mark.slow
def test_a_command_that_fails_in_a_notebook_fails_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = pytest.importorskip("nbclient.exceptions")
    pytest.importorskip("ipykernel")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from run_notebooks import run_notebook

    notebook = json.loads((NOTEBOOKS / "publish_a_recipe.ipynb").read_text())
    notebook["cells"] = [cell for cell in notebook["cells"] if "mvgen publish" in "".join(cell["source"])]
    (tmp_path / "fails.ipynb").write_text(json.dumps(notebook))
    with pytest.raises(errors.CellExecutionError, match="multi-view"):
        run_notebook(tmp_path / "fails.ipynb", tmp_path)


def test_the_notebooks_hold_no_outputs_and_make_the_same_store() -> None:
    found = {path.stem: json.loads(path.read_text()) for path in NOTEBOOKS.glob("*.ipynb")}
    assert found.keys() == PRINTED.keys()
    codes = {name: [cell for cell in book["cells"] if cell["cell_type"] == "code"] for name, book in found.items()}
    assert all(not cell["outputs"] and cell["execution_count"] is None for cells in codes.values() for cell in cells)
    assert len({"".join(cells[0]["source"]) for cells in codes.values()}) == 1
