"""The files of a build context and of a folder that runs without containers.

Both hold the same: headrace as a wheel, the lock of what it needs, the definition that it serves by, its object store
if that is packed along, and the bill of materials. The first adds a Containerfile, the second a script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from headrace.packaging.containerfile import (
    Arg,
    Comment,
    Copy,
    Exec,
    From,
    Health,
    Image,
    Instruction,
    Pairs,
    Run,
    Word,
    render,
)
from headrace.packaging.requirements import locked_text, read_locked
from headrace.packaging.sbom import bill_of_materials, made_at
from headrace.packaging.serving_toml import ServingDefinition, serving_toml
from headrace.packaging.wheel import Wheel
from headrace.registry.model import Version

UID: Final = 10001
"""Who serves: no name, no home, no shell."""
HOME: Final = "/srv/headrace"
STATE: Final = f"{HOME}/.headrace/serving"
"""The only place that is written to: the log of predictions, and what was pulled."""
VENV: Final = "/opt/headrace"
PORT: Final = 8000
LOCK: Final = "requirements.lock"
OWN: Final = "headrace.lock"
OBJECTS: Final = "objects"
RUN: Final = "run.sh"
BILL: Final = "sbom.cdx.json"


@dataclass(frozen=True, slots=True)
class Contents:
    """What is packed."""

    version: Version
    deployment: str
    definition: ServingDefinition
    objects: Mapping[str, bytes] | None
    """Of the store that is packed along; None: it is named by the environment."""
    wheel: Wheel


def container_files(contents: Contents, base: Image) -> dict[str, bytes]:
    """Path → bytes of a build context; every builder of OCI images builds it.

    Raises
    ------
    NotWritable : a name cannot stand in a Containerfile.
    """
    return {
        "Containerfile": render(_containerfile(contents, base)).encode(),
        ".containerignore": _IGNORED,
        ".dockerignore": _IGNORED,
        **_common(contents),
    }


def folder_files(contents: Contents) -> dict[str, bytes]:
    """Path → bytes of a folder that `run.sh` serves from; `run.sh` is to be executable."""
    return {RUN: _RUN, **_common(contents)}


def _common(contents: Contents) -> dict[str, bytes]:
    wheel, locked = contents.wheel, locked_text(batch=contents.definition.serving.batch)
    packed = contents.version if contents.objects is not None else None
    bill = bill_of_materials(packed, wheel, read_locked(locked), title=contents.deployment)
    stored = {f"app/{OBJECTS}/{key}": data for key, data in (contents.objects or {}).items()}
    return {
        LOCK: locked.encode(),
        OWN: f"./wheels/{wheel.name} --hash=sha256:{wheel.sha256}\n".encode(),
        f"wheels/{wheel.name}": wheel.data,
        "app/headrace.toml": serving_toml(contents.definition).encode(),
        f"app/{BILL}": bill,
        **stored,
    }


def _containerfile(contents: Contents, base: Image) -> list[Instruction]:
    python = f"{VENV}/bin/python"
    pip = (python, "-m", "pip", "--no-cache-dir", "--disable-pip-version-check")
    return [
        Comment(f"{base.tagged} by its digest: the same image, whoever builds, whenever." + _given(base)),
        Arg("BASE_IMAGE", base.name),
        Arg("BASE_DIGEST", base.digest),
        From("BASE_IMAGE", "BASE_DIGEST", "build"),
        Comment("With the locked files in wheels/, --build-arg PIP_NO_INDEX=1 builds without a network."),
        Arg("PIP_INDEX_URL"),
        Arg("PIP_NO_INDEX"),
        Word("WORKDIR", "/build"),
        Run(("python3", "-m", "venv", VENV)),
        Copy((LOCK, OWN), "./"),
        Copy(("wheels",), "./wheels/"),
        Run((*pip, "install", "--require-hashes", "--only-binary", ":all:", "--find-links", "wheels", "-r", LOCK)),
        Run((*pip, "install", "--require-hashes", "--no-index", "--no-deps", "-r", OWN)),
        Run((*pip, "uninstall", "--yes", "pip", "setuptools")),
        Run((python, "-c", "import os; os.makedirs('/build/state/serving')")),
        From("BASE_IMAGE", "BASE_DIGEST", "serve"),
        Pairs("LABEL", _labels(contents, base)),
        Pairs(
            "ENV",
            {
                "PATH": f"{VENV}/bin:/usr/local/bin:/usr/bin:/bin",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
                "HOME": HOME,
                "ORT_DISABLE_TELEMETRY": "1",
                "HEADRACE_PROJECT": HOME,
            },
        ),
        Copy((VENV,), VENV, stage="build"),
        Copy(("app",), HOME),
        Comment("The one place that is written to; everything else may be read-only."),
        Copy(("/build/state",), f"{HOME}/.headrace", stage="build", owner=UID),
        Exec("VOLUME", (STATE,)),
        Word("WORKDIR", HOME),
        Word("USER", f"{UID}:{UID}"),
        Word("EXPOSE", str(PORT)),
        Word("STOPSIGNAL", "SIGTERM"),
        Health(
            (python, "-m", "headrace.serving.health", str(PORT)),
            {"interval": "10s", "timeout": "5s", "start-period": "20s", "retries": "3"},
        ),
        Exec("ENTRYPOINT", (f"{VENV}/bin/headrace", "serve")),
    ]


def _given(base: Image) -> str:
    return "" if base.digest else " Who builds says which: --build-arg BASE_DIGEST=sha256:..."


def _labels(contents: Contents, base: Image) -> dict[str, str]:
    """Annotations of the OCI image specification, and ours."""
    version = contents.version
    known = {
        "org.opencontainers.image.title": contents.deployment,
        "org.opencontainers.image.description": f"Predictions of {contents.deployment} over HTTP",
        "org.opencontainers.image.base.name": base.tagged,
    }
    if base.digest is not None:
        known["org.opencontainers.image.base.digest"] = base.digest
    known["headrace.release"] = contents.wheel.version
    if contents.objects is None:
        return known
    return known | {
        "org.opencontainers.image.version": str(version.number),
        "org.opencontainers.image.created": made_at(version),
        "org.opencontainers.image.revision": version.package,
        "headrace.model": version.model,
        "headrace.package": version.package,
        "headrace.signer": version.signer,
    }


_IGNORED: Final = b"Containerfile\n.containerignore\n.dockerignore\n"
_RUN: Final = b"""#!/bin/sh
# Serves what lies here: makes a virtual environment beside it the first time, from the locked files and no others.
# PYTHON names another interpreter; with the locked files in wheels/, PIP_NO_INDEX=1 needs no network.
set -eu
cd "$(dirname "$0")"
venv=.venv
if [ ! -e "$venv/.ready" ] || ! "$venv/bin/python" -c "import headrace" 2> /dev/null; then
  rm -rf "$venv"
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip --disable-pip-version-check --quiet install \\
    --require-hashes --only-binary :all: --find-links wheels -r requirements.lock
  "$venv/bin/python" -m pip --disable-pip-version-check --quiet install \\
    --require-hashes --no-index --no-deps -r headrace.lock
  touch "$venv/.ready"
fi
exec "$venv/bin/python" -m headrace serve --project app "$@"
"""
