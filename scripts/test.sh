#!/usr/bin/env bash
# Everything that CI asks: servers, lint and types, all tests on the main Python, the quick tests on every newer one. All of it
# side by side: three processes share the main run by files, each with servers of its own, and wait for most of their time;
# the rest is done meanwhile, at a lower priority. The last line of the output is pytest's own summary of the main run.
# `-n 0` as an argument puts the main run into one process.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE # some images set it, and each of a thousand processes would compile the package again

logs=$(mktemp -d)
trap 'kill -- "${pids[@]/#/-}" 2>/dev/null || true; rm -rf "$logs"' EXIT
names=() pids=()

# What comes after these words yields to all else, as a process and, where sessions have shares of their own, as a session.
aside=(bash -c '{ echo 10 >/proc/self/autogroup; } 2>/dev/null || true; exec nice -n 10 "$@"' aside)

begin() { # NAME COMMAND...: beside the others, in a session of its own; its output is kept until it has ended
    local name=$1
    shift
    echo "== beginning: $name"
    setsid "$@" >"$logs/${#names[@]}" 2>&1 </dev/null &
    names+=("$name") pids+=($!)
}

finish() { # wait for all that has begun; 1 where one of them failed
    local at failed=0
    for at in "${!pids[@]}"; do
        if wait "${pids[$at]}"; then
            echo "== well: ${names[$at]}: $(tail -n 1 "$logs/$at")"
        else
            failed=1
            echo "== FAILED: ${names[$at]}"
            cat "$logs/$at"
        fi
    done
    names=() pids=()
    return "$failed"
}

quick_on() { # MINOR PYTHON
    local made_from=.venv-$1/.made-from requirements
    requirements=$(cat pyproject.toml requirements/*.txt | sha256sum)
    if [[ ! -e $made_from || $(<"$made_from") != "$requirements" ]]; then
        scripts/venv.sh ".venv-$1" dev "$2"
        echo "$requirements" >"$made_from"
    fi
    # Ten minutes for a test: it waits for the main run's processes, not only for itself.
    ".venv-$1/bin/python" -m pytest -q -m "not service and not soak and not once" --timeout 600
}
export -f quick_on

begin "servers" scripts/servers.sh
begin "environment" make --no-print-directory setup
finish

begin "format, lint, types, floors" "${aside[@]}" make --no-print-directory check
main=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
while read -r minor python; do
    [[ ${minor#3.} -gt ${main#3.} ]] || continue
    begin "the quick tests on Python $minor" "${aside[@]}" bash -euo pipefail -c 'quick_on "$@"' quick "$minor" "$python"
done < <(scripts/pythons.sh | sort -t. -k2,2n)

echo "== all tests on Python $main"
status=0
options=(-n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart=1 --durations=20)
[[ ! -t 1 ]] || options+=(--color=yes)
.venv/bin/python -m pytest "${options[@]}" "$@" 2>&1 | tee "$logs/main" || status=$?
summary=$(tail -n 1 "$logs/main")
finish || status=1
echo "$summary"
exit "$status"
