#!/usr/bin/env bash
# Builds deploy/Dockerfile and runs docker-compose.yml without a Docker engine: buildah and podman as root, and images made
# from Debian's packages in place of those of a registry (Python, RabbitMQ 4; ministack for SeaweedFS, the tests' OTLP
# receiver for Jaeger). What is checked is in check_containers.py. Run `make setup` before. The base images are kept.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in debootstrap podman buildah runc; do
    command -v "$tool" >/dev/null || { echo "missing: apt install debootstrap podman buildah runc" >&2; exit 1; }
done
[[ $(id -u) == 0 ]] || { echo "this needs root" >&2; exit 1; }

mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What an image of ours is made from: changes when a pin changes.
pins=$(cat requirements/*.txt | sha256sum | cut -c1-12)
python=localhost/longshore-check-python:$pins
rabbit=localhost/longshore-check-rabbitmq:4
servers=localhost/longshore-check-servers:$pins
longshore=localhost/longshore-check

build() { buildah bud --isolation chroot --format docker "$@"; }

if ! podman image exists "$python"; then
    echo "== a base with Python, and the pinned packages as files: nothing is fetched while images are built"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/python" "$mirror" >/dev/null
    mkdir "$work/python/wheels"
    version=$(chroot "$work/python" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    .venv/bin/python -m pip --disable-pip-version-check -qq download --only-binary :all: --python-version "$version" \
        --dest "$work/python/wheels" -r requirements/dev.txt
    rm -rf "$work"/python/var/cache/apt/archives/*.deb "$work"/python/var/lib/apt/lists/*
    tar -C "$work/python" -c . | podman import -q --change "ENV PIP_NO_INDEX=1" --change "ENV PIP_FIND_LINKS=/wheels" \
        --change "ENV LANG=C.UTF-8" - "$python"
    rm -rf "$work/python"
fi

if ! podman image exists "$rabbit"; then
    echo "== RabbitMQ 4"
    debootstrap --variant=minbase trixie "$work/rabbit" "$mirror" >/dev/null
    printf '#!/bin/sh\nexit 101\n' >"$work/rabbit/usr/sbin/policy-rc.d"
    chmod 755 "$work/rabbit/usr/sbin/policy-rc.d"
    DEBIAN_FRONTEND=noninteractive chroot "$work/rabbit" apt-get install -y -qq --no-install-recommends \
        rabbitmq-server >/dev/null 2>&1
    rm -rf "$work"/rabbit/var/cache/apt/archives/*.deb "$work"/rabbit/var/lib/rabbitmq/.erlang.cookie
    tar -C "$work/rabbit" -c . | podman import -q --change "ENV LANG=C.UTF-8" - "$rabbit"
    rm -rf "$work/rabbit"
fi

echo "== the servers of the tests"
build -q -t "$servers" -f - . <<DOCKERFILE
FROM $python
COPY requirements requirements
RUN python3 -m venv /opt/servers && /opt/servers/bin/pip install -qq --no-cache-dir -r requirements/dev.txt
ENV PATH=/opt/servers/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
DOCKERFILE

echo "== the image of deploy/Dockerfile"
build -f deploy/Dockerfile --build-arg BASE_IMAGE="$python" -t "$longshore" .

.venv/bin/python scripts/check_containers.py --longshore "$longshore" --rabbitmq "$rabbit" --servers "$servers"
