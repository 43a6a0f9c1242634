"""Options that every command shares, with their help."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from cyclopts import Parameter
from cyclopts.validators import Number

from headrace.cli.serving import MOST_WORKERS

ProjectPath: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--project", help="headrace.toml or its folder; else HEADRACE_PROJECT, else the nearest parent folder."
    ),
]
Flag: TypeAlias = Annotated[bool, Parameter(negative="", show_default=False)]
AsJson: TypeAlias = Annotated[Flag, Parameter(name="--json", help="One JSON document on stdout, for machines.")]
Memory: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="--memory",
        help="The most that the process may hold, such as 4GB; else HEADRACE_MEMORY, else most of what is free.",
    ),
]
Several = Parameter(negative_iterable="", consume_multiple=True)
"""Of an option that takes one word or more, and may be given again."""
Workers: TypeAlias = Annotated[int | None, Parameter(name="--workers", validator=Number(gte=1, lte=MOST_WORKERS))]
"""Within the bounds of `[serving] workers`."""
