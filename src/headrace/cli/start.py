"""`headrace init`, `headrace schema`, `headrace keys`: what comes before the first run."""

from __future__ import annotations

import os
from pathlib import Path

from headrace.cli.options import AsJson
from headrace.cli.output import print_json, print_line
from headrace.errors import WrongUse


class DefinitionExists(WrongUse):
    """`init` never overwrites."""

    code = "definition-exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already", fix="edit it, or give another folder with --into", path=str(path))


def init(*data: Path, label: str | None = None, into: Path = Path(), as_json: AsJson = False) -> int:
    """Write a first headrace.toml from data files, with the evidence for every type, and make the signing key.

    Parameters
    ----------
    data
        Files (CSV, Parquet, NDJSON); the first is the one whose rows are predicted.
    label
        What to predict: a column or an expression.
    into
        The project's folder.
    """
    from headrace.app import init_project

    path = into / "headrace.toml"
    if path.exists():
        raise DefinitionExists(path)
    public = init_project(into, data, label=label, environment=os.environ)
    if as_json:
        print_json({"definition": str(path), "signer": public})
        return 0
    print_line(f"wrote {path} and {into / 'headrace.lock'}; packages will be signed by {public}")
    print_line(
        "next: headrace check" if label else 'next: name what to predict as label = "…" in [project], then headrace run'
    )
    return 0


def schema(*, as_json: AsJson = True) -> int:  # noqa: ARG001 - it is JSON in any case
    """Print the JSON Schema of headrace.toml, which editors complete and check from."""
    from headrace.definition.schema import json_schema

    print_json(json_schema())
    return 0


def keys(*, as_json: AsJson = False) -> int:
    """Show the public key that signs this user's packages, for [trust] signers of those who load them."""
    from headrace.governance.signing import config_dir, load_or_create_key

    folder = config_dir(os.environ)
    public = load_or_create_key(folder).public
    if as_json:
        print_json({"public": public, "folder": str(folder)})
    else:
        print_line(public)
    return 0
