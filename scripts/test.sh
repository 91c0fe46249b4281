#!/usr/bin/env bash
# Everything that CI asks: servers, lint and types, the quick tests on every newer Python, then all tests on the main one.
# The main run comes last, so that the last line of the output is pytest's own summary of it.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/servers.sh
make --no-print-directory setup check

main=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
scripts/pythons.sh | sort -t. -k2,2n | while read -r minor python; do
    [[ ${minor#3.} -gt ${main#3.} ]] || continue
    echo "== the quick tests on Python $minor"
    requirements=$(cat pyproject.toml requirements/*.txt | sha256sum)
    if [[ ! -e .venv-$minor/.made-from || $(<".venv-$minor/.made-from") != "$requirements" ]]; then
        scripts/venv.sh ".venv-$minor" dev "$python"
        echo "$requirements" >".venv-$minor/.made-from"
    fi
    ".venv-$minor/bin/python" -m pytest -q -m "not service and not soak" </dev/null
done

echo "== all tests on Python $main"
exec .venv/bin/python -m pytest "$@"
