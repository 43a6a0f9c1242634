"""`headrace init`, `headrace schema`, `headrace keys`: what comes before the first run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.cli.options import AsJson
from headrace.cli.output import print_json, print_line, things
from headrace.errors import WrongUse

if TYPE_CHECKING:
    from headrace.data.first import Proposal


class DefinitionExists(WrongUse):
    """`init` never overwrites."""

    code = "definition-exists"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already", fix="edit it, or give another folder with --into", path=str(path))


class InitFromFiles(WrongUse):
    """`init` looks at files of this machine."""

    code = "init-from-files"

    def __init__(self, scheme: str) -> None:
        super().__init__(
            f"init looks at files of this machine; it was given an address, {scheme}://…",
            fix="download one file and run init on it, then write the address in its place: read = "
            f'"{scheme}://…" in [sources.NAME] of headrace.toml',
            scheme=scheme,
        )


def init(*data: Path, label: str | None = None, into: Path = Path(), as_json: AsJson = False) -> int:
    """Propose a first headrace.toml from data files, with the evidence for every line, and make the signing key.

    Parameters
    ----------
    data
        Files (CSV, Parquet, NDJSON, …) or folders of them; the first is the one whose rows are predicted.
    label
        What to predict: a column or an expression.
    into
        The project's folder.
    """
    from headrace.app import init_project

    for one in data:
        if address := re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", str(one)):  # a path has one slash left of two
            raise InitFromFiles(address[1])
    path = into / "headrace.toml"
    if path.exists():
        raise DefinitionExists(path)
    proposal, public = init_project(into, data, label=label, environment=os.environ)
    if as_json:
        print_json({"definition": str(path), "signer": public, **_as_json(proposal)})
        return 0
    for line in _summary(proposal):
        print_line(line)
    print_line(f"wrote {path} and {into / 'headrace.lock'}; packages will be signed by {public}")
    where = "" if into == Path() else f" --project {into}"
    print_line(
        f"next: read headrace.toml, then headrace check{where} and headrace run{where}"
        if proposal.label
        else f'next: name what to predict as label = "…" in [project], then headrace run{where}'
    )
    return 0


def _as_json(proposal: Proposal) -> dict[str, object]:
    return {
        "label": proposal.label,
        "request": list(proposal.request),
        "left_out": dict(proposal.left_out),
        "sources": [
            {**asdict(one), "personal": dict(one.personal), "references": dict(one.references)}
            for one in proposal.found
        ],
    }


def _summary(proposal: Proposal) -> Iterator[str]:
    """What was found, a few lines a source."""
    for one in proposal.found:
        rows = f"{'the first ' if one.is_cut else ''}{things(one.rows, 'row')}"
        yield f"{one.source}: {rows}, {things(one.columns, 'column')}"
        yield f"  key        {', '.join(one.key) or 'none found'}"
        if one.time is not None:
            yield f"  time       {one.time}"
        for column, kinds in one.personal:
            yield f"  personal   {column}: {kinds}"
        for column, there in one.references:
            yield f"  refers     {column} to {there}"
        for note in one.notes:
            yield f"  note       {note}"
    yield f"label: {proposal.label or 'none named'}"
    yield f"request: {', '.join(proposal.request)}"
    for column, why in proposal.left_out:
        yield f"  left out   {column}: {why}"


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
