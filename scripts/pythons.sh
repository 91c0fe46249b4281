#!/usr/bin/env bash
# Prints every usable Python from 3.11 on, lowest minor first, one per minor: "3.11 /usr/bin/python3.11".
# Looks on PATH and among pyenv's. PYTHON=/path/to/python makes that one the first.
set -euo pipefail

candidates() {
    [[ -n ${PYTHON:-} ]] && command -v "$PYTHON"
    local minor
    for minor in 11 12 13 14 15 16; do
        command -v "python3.$minor" || true
        ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python3 2>/dev/null || true
    done
    command -v python3 || true
}

# Asked rather than trusted: a pyenv shim is there even when its version is not, and the file's name may lie.
probe='import sys, sysconfig
ok = sys.version_info >= (3, 11) and sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final"
ok = ok and not sysconfig.get_config_var("Py_GIL_DISABLED")
if ok: print("%d.%d" % sys.version_info[:2], sys.executable)'

found=$(
    candidates | while read -r python; do
        timeout 20 "$python" -c "$probe" 2>/dev/null || true
    done
)
if [[ -n ${PYTHON:-} ]]; then
    awk 'NF && !seen[$1]++' <<<"$found"
else
    awk 'NF && !seen[$1]++' <<<"$found" | sort -t. -k2,2n
fi
