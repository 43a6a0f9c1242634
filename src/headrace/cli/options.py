"""Options that every command shares, with their help."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from cyclopts import Parameter

ProjectPath: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--project", help="headrace.toml or its folder; else HEADRACE_PROJECT, else the nearest parent folder."
    ),
]
AsJson: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative="", help="One JSON document on stdout, for machines.")
]
