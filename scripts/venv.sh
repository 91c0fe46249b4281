#!/usr/bin/env bash
# Makes a virtual environment with this package in it: scripts/venv.sh FOLDER run|dev [PYTHON].
# `run` is what Longshore needs, `dev` everything for its tests as well. Needs no root; with root it may install venv.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 kind=$2

python=${3:-$(scripts/pythons.sh | awk 'NR == 1 { print $2 }')}
if [[ -z $python ]]; then
    echo "longshore: Python 3.11 or newer is needed and none was found (looked on PATH and among pyenv's)." >&2
    echo "           On Debian or Ubuntu: apt install python3 python3-venv" >&2
    exit 1
fi

if [[ ! -x $folder/bin/python ]] || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c "import ensurepip, venv" 2>/dev/null; then
        scripts/servers.sh venv "$python"
    fi
    "$python" -m venv --clear "$folder"
fi

echo "longshore: setting up $folder ($("$folder/bin/python" -V), $kind)" >&2
pip=("$folder/bin/python" -m pip --disable-pip-version-check --no-input -qq install)
if [[ $kind == dev ]]; then
    pip+=(--no-compile) # a third of the work, for modules of which most are never imported
fi
if [[ $kind == dev ]]; then
    "${pip[@]}" -r requirements/dev.txt
else
    "${pip[@]}" -r requirements/run.txt -r requirements/build.txt
fi
"${pip[@]}" --no-deps --no-build-isolation --editable .
touch "$folder/.run"
if [[ $kind == dev ]]; then touch "$folder/.dev"; fi
