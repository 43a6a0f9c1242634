"""What an entry of the table of functions is made of."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec

from headrace.language.signatures import Signature

Columns = str | Callable[..., Any]
Helper = Callable[..., Any]
Row = str | Helper | tuple[str | Helper, ...]
"""A template, a helper, or steps that each take what the one before gave; first steps that are alike are taken once."""
Check = Callable[..., str | None]
"""Given a form's constants in order: what is wrong with them together, None if nothing is."""


class Form(msgspec.Struct, frozen=True):
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
    check: Check | None = None
    """For constants that have to fit each other."""


class Function(msgspec.Struct, frozen=True):
    """One entry of the table."""

    name: str
    group: str
    doc: str
    forms: tuple[Form, ...]
    written: str | None = None
    """How it is written, if not only as `name(…)`."""
    own_nulls: bool = False
    example: str = ""
    """An expression, an arrow and what it gives."""

    @property
    def is_callable(self) -> bool:
        """Whether it can be called by its name: operators cannot."""
        return self.written is None or f"{self.name}(" in self.written


def kernel(name: str) -> Callable[..., Any]:
    """A columns form by name, "family:name" or "name": this is where Polars is imported."""
    family, _, plain = name.rpartition(":")
    module = import_module(f"headrace.language.column_{family or 'kernels'}")
    found: Callable[..., Any] = getattr(module, plain)
    return found


def columns_form(form: Form) -> Callable[..., Any]:
    """The columns form, ready to call."""
    return kernel(form.columns) if isinstance(form.columns, str) else form.columns
