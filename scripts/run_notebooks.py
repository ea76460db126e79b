"""Run notebooks one after the other in one folder, so that they share what the first of them builds."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path


def run_notebook(path: Path, folder: Path, timeout: int = 600) -> str:
    """Run a notebook in a folder and return all that its cells printed. The file does not change.

    Raises nbclient's CellExecutionError for a cell that fails, also for a command (`!mvgen ...`) that does.
    """
    import nbformat
    from nbclient import NotebookClient

    # Commands of the environment that runs this, though it may not be active.
    path_before = os.environ["PATH"]
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path_before}"
    try:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":  # a notebook goes on after a command that fails
                cell.source = re.sub(r"^( *)!.*$", r"\g<0>\n\1assert _exit_code == 0", cell.source, flags=re.MULTILINE)
        NotebookClient(notebook, timeout=timeout, resources={"metadata": {"path": str(folder)}}).execute()
    finally:
        os.environ["PATH"] = path_before
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--in", dest="folder", type=Path, required=True, help="folder to run in")
    given = parser.parse_args()
    for path in given.notebooks:
        began = time.monotonic()
        run_notebook(path, given.folder)
        print(f"{path.name}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
