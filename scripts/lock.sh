#!/usr/bin/env bash
# Writes requirements-dev.lock (everything), requirements.lock (what runs) and the lock that is packed beside a model (what
# serves), pinned and hashed, from pyproject.toml. One resolution, so that all agree; it holds for Python 3.11 to 3.13 and
# every platform.
set -euo pipefail
cd "$(dirname "$0")/.."
common=(--universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet "$@")
.venv/bin/uv pip compile pyproject.toml "${common[@]}" --all-extras --group dev --group docs -o requirements-dev.lock
# What runs leaves out the further model families: 400 MB that a first run does not need.
runs=(--extra build --extra serve --extra postgres --extra redis --extra mysql --extra avro --extra excel --extra iceberg)
.venv/bin/uv pip compile pyproject.toml "${common[@]}" "${runs[@]}" -c requirements-dev.lock -o requirements.lock
# What serves says what each library is for: the bill of materials is made of it.
serves=(--universal --python-version 3.11 --generate-hashes --no-header --quiet --annotation-style split "$@")
.venv/bin/uv pip compile pyproject.toml "${serves[@]}" --extra serve --extra redis --extra batch -c requirements-dev.lock \
  -o src/headrace/packaging/requirements.lock
