#!/usr/bin/env bash
# Builds the wheel and checks it as its users meet it: in two environments outside of the clone.
#   base: `pip install mvgen` opens a store without torch and Open3D, and says which extra a build takes
#   full: `pip install "mvgen[all]"` builds the demonstration, runs a benchmark by its name, and the notebooks
# TORCH_BACKEND=cpu (see `uv pip install --help`) gets torch without CUDA from PyTorch's own index.
# WHEEL=dist takes the wheel of a folder instead, PYTHON=3.12 chooses the version.
# A folder given as argument is kept; without one, everything goes at the end.
set -euo pipefail
clone=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
uv=$("$clone/scripts/setup.sh" --find-uv)
unset VIRTUAL_ENV PYTHONPATH
if [ $# -gt 0 ]; then
    work=$(mkdir -p "$1" && cd "$1" && pwd)
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi

say() { echo "check_wheel: $*"; }

new_environment() { # NAME PACKAGE...
    local name=$1
    shift
    "$uv" venv --quiet --clear --python "${PYTHON:-3.11}" "$work/$name"
    "$uv" pip install --quiet --python "$work/$name/bin/python" ${TORCH_BACKEND:+--torch-backend "$TORCH_BACKEND"} "$@"
    say "$name: $("$uv" pip list --quiet --format freeze --python "$work/$name/bin/python" | wc -l) packages, $(du -sh "$work/$name" | cut -f1)"
}

dist=${WHEEL:-$work/dist}
[ -n "${WHEEL:-}" ] || { rm -rf "$dist" && "$uv" build --quiet --wheel --out-dir "$dist" "$clone"; }
wheel=$(ls "$dist"/mvgen-*.whl)
say "$(basename "$wheel"), $(du -h "$wheel" | cut -f1)"
new_environment base "$wheel"
new_environment full "$wheel[all]" nbclient ipykernel
cd "$work" # away from the clone, whose code must not be found
rm -rf demo notebooks refused

full/bin/mvgen build --dataset demo --angles -45:45:10 --size 128 --out demo
full/bin/mvgen verify demo

say "base: opens the store"
base/bin/python - <<'PYTHON'
import sys

import mvgen

table = mvgen.open_table("demo")
print(table, table.frames(table[0]).shape, table.maps(table[0]).depth.shape)
assert not {"torch", "open3d"} & set(sys.modules), "a heavy library was loaded"
PYTHON
base/bin/mvgen verify demo
said=$(base/bin/mvgen build --dataset demo --out refused 2>&1) && { say "base: a build did not fail"; exit 1; }
[[ "$said" == *'pip install "mvgen[build]"'* && "$said" != *Traceback* ]] || { say "base: $said"; exit 1; }
[ ! -e refused ] || { say "base: a build that cannot run wrote something"; exit 1; }

say "full: notebooks, with bench/novel_view_tiny by its name"
mkdir notebooks
full/bin/python "$clone/scripts/run_notebooks.py" --in notebooks "$clone"/docs/notebooks/*.ipynb
say "all is well"
