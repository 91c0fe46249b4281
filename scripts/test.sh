#!/usr/bin/env bash
# Everything that CI asks: servers, lint and types, the quick tests on every newer Python (these side by side), then all tests
# on the main one. The main run comes last, so that the last line of the output is pytest's own summary of it. Two processes
# share it by files, each with servers of its own: most of its time is waiting. `-n 0` as an argument puts it into one.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/servers.sh
make --no-print-directory setup

logs=$(mktemp -d)
trap 'jobs -p | xargs -r kill 2>/dev/null || true; rm -rf "$logs"' EXIT
names=() pids=()

begin() { # NAME COMMAND...: beside the others, its output kept until it has ended
    local name=$1
    shift
    echo "== beginning: $name"
    "$@" >"$logs/${#names[@]}" 2>&1 </dev/null &
    names+=("$name") pids+=($!)
}

quick_on() { # MINOR PYTHON
    local made_from=.venv-$1/.made-from requirements
    requirements=$(cat pyproject.toml requirements/*.txt | sha256sum)
    if [[ ! -e $made_from || $(<"$made_from") != "$requirements" ]]; then
        scripts/venv.sh ".venv-$1" dev "$2"
        echo "$requirements" >"$made_from"
    fi
    ".venv-$1/bin/python" -m pytest -q -m "not service and not soak"
}

begin "format, lint, types, floors" make --no-print-directory check
main=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
while read -r minor python; do
    [[ ${minor#3.} -gt ${main#3.} ]] || continue
    begin "the quick tests on Python $minor" quick_on "$minor" "$python"
done < <(scripts/pythons.sh | sort -t. -k2,2n)

failed=
for at in "${!pids[@]}"; do
    if wait "${pids[$at]}"; then
        echo "== well: ${names[$at]}: $(tail -n 1 "$logs/$at")"
    else
        failed=yes
        echo "== FAILED: ${names[$at]}"
        cat "$logs/$at"
    fi
done
[[ -z $failed ]] || exit 1

echo "== all tests on Python $main"
rm -rf "$logs"
exec .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=1 --durations=20 "$@"
