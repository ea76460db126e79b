#!/usr/bin/env bash
# Sets up a fresh clone: system libraries that are missing, uv, and the locked environment in .venv.
# Safe to run again; says what it does. `--find-uv` only prints where uv is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset VIRTUAL_ENV

private=.venv-uv

say() { echo "setup: $*" >&2; }

find_uv() {
    local candidate
    for candidate in uv "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv" "$PWD/$private/bin/uv"; do
        # A shim may exist without a program behind it: ask it for its version.
        if "$candidate" --version >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

install_uv() {
    command -v python3 >/dev/null || { say "python3 is missing; install Python 3.11 or 3.12 first"; exit 1; }
    say "uv is missing: installing it into $private"
    if ! python3 -m venv "$private" 2>/dev/null; then
        rm -rf "$private"
        say "python3 cannot make environments here; installing uv for this user instead"
        python3 -m pip install --quiet --user uv || python3 -m pip install --quiet --user --break-system-packages uv
        return
    fi
    echo '*' >"$private/.gitignore"
    "$private/bin/python" -m pip install --quiet uv
}

libraries=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null || true)
has_library() { [[ "$libraries" == *"$1"* ]]; }

install_libraries() {
    # Package and the library it brings: ray casting (open3d), off-screen rendering (pyrender), images (OpenCV).
    local missing=() package library
    while read -r package library; do
        has_library "$library" || missing+=("$package")
    done <<'LIST'
libusb-1.0-0 libusb-1.0.so.0
libgomp1 libgomp.so.1
libgl1 libGL.so.1
libglib2.0-0 libglib-2.0.so.0
LIST
    # EGL needs Mesa's driver beside the loader; one of EGL and OSMesa is enough.
    if ! { has_library libEGL.so.1 && has_library libEGL_mesa.so.0; } && ! has_library libOSMesa.so; then
        missing+=(libegl1 libegl-mesa0 libgl1-mesa-dri)
    fi
    if [ "${#missing[@]}" -eq 0 ]; then
        say "system libraries are there"
        return
    fi
    local install="apt-get install -y --no-install-recommends ${missing[*]}"
    if ! command -v apt-get >/dev/null 2>&1; then
        say "missing system libraries, install them your system's way: ${missing[*]}"
    elif [ "$(id -u)" -eq 0 ]; then
        say "installing ${missing[*]}"
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive $install; } >&2 || say "that failed; going on without"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        say "installing ${missing[*]} (through sudo)"
        { sudo -n apt-get update -q && sudo -n DEBIAN_FRONTEND=noninteractive $install; } >&2 ||
            say "that failed; going on without"
    else
        say "missing system libraries; install them with: sudo $install"
    fi
}

if [ "${1:-}" = --find-uv ]; then
    find_uv || echo uv
    exit
fi

install_libraries
find_uv >/dev/null || install_uv
uv=$(find_uv) || { say "uv could not be installed; see its documentation, then run this again"; exit 1; }
say "environment from uv.lock into .venv ($("$uv" --version))"
# Every worker and most tests are processes of their own, and where Python may not write bytecode, as in many
# containers, each of them would compile torch anew.
"$uv" sync --locked --compile-bytecode
say "done"
