"""What an entry of the table of functions is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace.language.signatures import Signature

Columns = str | Callable[..., Any]
Helper = Callable[..., Any]
Row = str | Helper | tuple[str | Helper, ...]
"""A template, a helper, or steps that each take what the one before gave; first steps that are alike are taken once."""


@dataclass(frozen=True, slots=True)
class Form:
    """A function for one type rule."""

    signature: Signature
    columns: Columns
    row: Row
    checked: bool = False
    """The row form may leave the range of its result type; what leaves it becomes null. The columns form sees to it
    itself."""
    total: bool = False
    """Never null when no argument is."""
    takes_unsettled: bool = False
    """To the columns form NaN is as good as null, and -0.0 as 0.0: either way what it gives settles to the same."""


@dataclass(frozen=True, slots=True)
class Function:
    """One entry of the table."""

    name: str
    group: str
    doc: str
    forms: tuple[Form, ...]
    written: str | None = None
    """How it is written, if not only as `name(…)`."""
    own_nulls: bool = False

    @property
    def is_callable(self) -> bool:
        """Whether it can be called by its name: operators cannot."""
        return self.written is None or f"{self.name}(" in self.written


def kernel(name: str) -> Callable[..., Any]:
    """A columns form by name: this is where Polars is imported."""
    from headrace.language import column_kernels, column_times

    module, _, plain = name.rpartition(":")
    found: Callable[..., Any] = getattr(column_times if module == "times" else column_kernels, plain)
    return found


def columns_form(form: Form) -> Callable[..., Any]:
    """The columns form, ready to call."""
    return kernel(form.columns) if isinstance(form.columns, str) else form.columns
