#!/usr/bin/env bash
# Installs the servers that the tests start for themselves, where they are missing and we are root on Debian or Ubuntu:
#   scripts/servers.sh            PostgreSQL; RabbitMQ, unless LONGSHORE_TEST_AMQP_URL names one
#   scripts/servers.sh venv PY    the venv module of that Python
# Nothing is started: the tests run private nodes on ports of their own.
set -euo pipefail

missing() {
    echo "longshore: $1 is missing and cannot be installed here (needs root and apt)." >&2
    echo "           $2" >&2
    exit 1
}

# Debian starts services at installation; this file is the system's own way to say no. Removed again at the end.
no_services() {
    [[ -e /usr/sbin/policy-rc.d ]] && return
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

install() {
    local quietly=(-y -qq --no-install-recommends -o DPkg::Lock::Timeout=300) # another of us may be at it
    export DEBIAN_FRONTEND=noninteractive
    no_services
    echo "longshore: installing $*" >&2
    apt-get install "${quietly[@]}" "$@" >/dev/null 2>&1 && return
    apt-get update -qq
    apt-get install "${quietly[@]}" "$@" >/dev/null
}

can_install() { [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; }

if [[ ${1:-} == venv ]]; then
    package=python$("$2" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    can_install || missing "the venv module of $2" "apt install $package"
    install "$package"
    exit
fi

if ! compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null && ! command -v initdb >/dev/null; then
    can_install || missing PostgreSQL "apt install postgresql"
    install postgresql
fi

if [[ -n ${LONGSHORE_TEST_AMQP_URL:-} ]]; then
    exit 0
fi
if [[ ! -d /usr/lib/rabbitmq/bin ]] && ! command -v rabbitmq-server >/dev/null; then
    can_install || missing "RabbitMQ" "apt install rabbitmq-server, or set LONGSHORE_TEST_AMQP_URL to a broker for tests"
    install rabbitmq-server
fi
