"""`mvgen build` with the stages of `fake_build`, onto disks that are too small at first and grow.

    unshare --user --map-root-user --mount python run_on_small_disk.py ROOT OUT WORKERS LIMIT ...

For each limit (`size=64k`, `nr_inodes=20`) a disk of its own is mounted at OUT, the build is run, the disk grows, and
the build is run again: first in workers, from which the error has to come, then in this process, which starts sooner.
Prints a JSON list with an entry per limit: exit codes and what was said on stderr, of the first run and the second;
what was there between them, and the sha256 of every file at the end.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from fake_build import FakeStages, tree_bytes

import mvgen.building.build
import mvgen.cli


def build_twice(root: Path, out: Path, workers: str, limit: str) -> dict[str, object]:
    """One limit; see above."""
    line = ["build", "--dataset", "fake", "--root", str(root), "--out", str(out)]
    line += ["--angles", "0", "--size", "64", "--no-report", "--workers", workers]

    def run(*options: str) -> tuple[int, str]:
        said = io.StringIO()
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            return mvgen.cli.run([*line, *options]), said.getvalue()

    subprocess.run(["mount", "-t", "tmpfs", "-o", limit, "disk", str(out)], check=True)
    try:
        first = run()
        between = [path.relative_to(out).as_posix() for path in sorted(out.rglob("*"))]
        subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=10000", str(out)], check=True)
        second = run("--attempts", "1", "--clip-timeout", "0")
        files = {name: hashlib.sha256(content).hexdigest() for name, content in tree_bytes(out).items()}
    finally:
        # Lazily: on a busy machine a thread may let go of its last file a moment later.
        subprocess.run(["umount", "--lazy", str(out)], check=True)
    return {"limit": limit, "first": first, "second": second, "between": between, "files": files}


if __name__ == "__main__":
    mvgen.building.build._real_stages = lambda: FakeStages(Path(sys.argv[1]))
    json.dump(
        [build_twice(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], limit) for limit in sys.argv[4:]], sys.stdout
    )
