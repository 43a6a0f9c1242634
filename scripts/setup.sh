#!/usr/bin/env bash
# Sets up .venv in the project's root from what a clean Debian machine has: python3 and, when root, apt.
# Usage: scripts/setup.sh [run|dev]     run: what `make demo` needs; dev: tests, linters, docs, test servers too.
set -euo pipefail
cd "$(dirname "$0")/.."
want="${1:-run}"
uv_version=0.13.9

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 3; }

apt_install() { # packages, and why
  local why="$1"; shift
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $* ($why)"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 \
      || { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
  else
    stop "$why. fix: sudo apt-get install $*"
  fi
}

python=""
for candidate in python3.11 python3.12 python3.13 python3; do
  if command -v "$candidate" >/dev/null \
    && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
    python="$candidate"; break
  fi
done
[ -n "$python" ] || stop "Python 3.11, 3.12 or 3.13 was expected, found $(python3 --version 2>&1 || echo none). fix: sudo apt-get install python3.11"

lock=requirements.lock
[ "$want" = dev ] && lock=requirements-dev.lock
stamp=".venv/.ready-$want-$(cat "$lock" pyproject.toml scripts/setup.sh | sha256sum | cut -c1-16)"
# A dev environment holds all that a run needs.
ready_dev=".venv/.ready-dev-$(cat requirements-dev.lock pyproject.toml scripts/setup.sh | sha256sum | cut -c1-16)"
if [ -e "$stamp" ] || [ -e "$ready_dev" ]; then exit 0; fi

# LightGBM's wheel links to OpenMP's run time, which Debian keeps in a package of its own.
if ! { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -q 'libgomp\.so\.1'; then
  apt_install "LightGBM needs the OpenMP run time" libgomp1
fi
if [ "$want" = dev ]; then  # servers that the tests start themselves, which PyPI does not have
  PATH="$PATH:/usr/sbin"
  command -v mariadbd >/dev/null || apt_install "the tests read from a real MariaDB" mariadb-server
  command -v redis-server >/dev/null || apt_install "the tests keep online values in a real Redis" redis-server
  command -v nginx >/dev/null || apt_install "the tests read from a real web server" nginx-light
  command -v promtool >/dev/null || apt_install "the tests let Prometheus judge the page of metrics" prometheus
  command -v haproxy >/dev/null || apt_install "the tests put servers behind a real HAProxy" haproxy
  command -v buildah >/dev/null || apt_install "the tests build images with a real builder" buildah
fi
if [ ! -x .venv/bin/python ]; then
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    apt_install "Python's venv module is a package of its own on Debian" python3-venv
  fi
  say "making .venv with $("$python" --version)"
  "$python" -m venv .venv
fi
[ -x .venv/bin/uv ] || { say "installing uv $uv_version"; .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"; }
say "installing the locked environment ($lock)"
# Byte-compiled at once: with PYTHONDONTWRITEBYTECODE set, as it often is in containers, every start would compile anew
# (a command took 1.2 s instead of 0.6 s).
.venv/bin/uv pip install --quiet --python .venv/bin/python --compile-bytecode --require-hashes -r "$lock"
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps -e .
.venv/bin/python -m compileall -q src
touch "$stamp"
