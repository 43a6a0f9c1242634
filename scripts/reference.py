"""Writes the reference pages that are made from the code: functions, units, metrics, command line, errors.

`tests/docs/test_generated.py` holds the written pages equal to what is made here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import headrace
from headrace.cli import reference as command_line
from headrace.definition.units import rows
from headrace.errors import CheckFailed, HeadraceError, TroubleOutside, WrongUse
from headrace.language import reference as functions
from headrace.training.metrics import METRICS, Metric

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
ROOTS = (HeadraceError, CheckFailed, WrongUse, TroubleOutside)
"""Never raised themselves."""

_ERRORS_HEAD = """# Errors

An error says what was expected, what was found, where, and how to mend it. It never holds the value of a cell: messages
reach logs, and cells can be personal data. On the command line:

```text
error (model-unknown): there is no version of a model 'order' (did you mean 'orders'?)
fix: `headrace models list` shows what there is; `headrace run` makes a version
```

The code in parentheses is stable: scripts and alarms may rely on it. With `--json` the error is
`{"error": {"code": …, "message": …, "fix": …, "facts": …}}` on standard output. In Python every one is a
`headrace.errors.HeadraceError` with the attributes `code`, `message`, `fix`, `facts` and `exit_code`.
"""
_UNITS_HEAD = """# Units

What `unit` and `to` of a [column rule](definition.md#sourcesnamecolumns) take, and what rows may have in the column
that `unit = { column = "…" }` names; a name of four letters or more has its plural too. Every factor is a definition:
of the SI Brochure (9th edition), or of the yard and pound agreement of 1959 and what follows from it (NIST SP 811).
Conversion multiplies and divides by whole numbers wherever the factor allows, so that whole values are rounded once.
Codes of three capital letters are [currencies](definition.md#currencies).
"""
_METRICS_HEAD = """# Metrics

What `[training] metric` may name, and what the holdout is measured by, each with its 95 % bootstrap interval. A metric
that the rows leave undefined (a ranking without a positive row, a share of a label that is 0) is left out, never
guessed. Of ties in a ranking each counts its mean part. Metrics of decisions are measured at the threshold, or with the
cost matrix, that the package decides by; in the search, before there is one, at a probability of 0.5 or for the most
probable class.
"""
_METRIC_TASKS = {
    "binary": "Two classes",
    "multiclass": "Several classes",
    "regression": "Values",
}
_SECTIONS = {
    1: ("Exit code 1: the answer is no", "The work was done, and what it found stands in the way."),
    2: ("Exit code 2: wrong use", "What was asked for cannot be: an argument, the definition or a row is wrong."),
    3: ("Exit code 3: trouble outside", "A disk, a network or a server failed. Finished work is kept: run again."),
}


def errors() -> list[type[HeadraceError]]:
    """Every error that the package can raise, by code."""
    for module in pkgutil.walk_packages(headrace.__path__, "headrace."):
        if not module.name.startswith("headrace.testing"):
            importlib.import_module(module.name)
    ours = {error for error in _below(HeadraceError) if error.__module__.startswith("headrace.")}
    return sorted(ours - set(ROOTS), key=lambda error: (error.code, error.__module__))


def errors_page() -> str:
    """The page of the errors."""
    parts = [_ERRORS_HEAD]
    for exit_code, (title, meaning) in _SECTIONS.items():
        parts += [f"## {title}\n", f"{meaning}\n", "| code | what happened |", "| --- | --- |"]
        parts += [f"| `{error.code}` | {_first_line(error)} |" for error in errors() if error.exit_code == exit_code]
        parts.append("")
    return "\n".join(parts)


def units_page() -> str:
    """The page of the units."""
    parts = [_UNITS_HEAD, "| dimension | names | one of it |", "| --- | --- | --- |"]
    parts += [f"| {dimension} | {', '.join(f'`{n}`' for n in names)} | {worth} |" for dimension, names, worth in rows()]
    return "\n".join(parts) + "\n"


def metrics_page() -> str:
    """The page of the metrics."""
    parts = [_METRICS_HEAD]
    for task, title in _METRIC_TASKS.items():
        parts += [f"## {title}\n", "| metric | of | says | better |", "| --- | --- | --- | --- |"]
        parts += [_metric_row(metric) for metric in METRICS.values() if task in metric.tasks]
        parts.append("")
    return "\n".join(parts)


def _metric_row(metric: Metric) -> str:
    better = "higher" if metric.higher_is_better else "lower"
    kind = "order" if metric.kind == "ranking" else metric.kind
    return f"| `{metric.name}` | {kind} | {metric.says} | {better} |"


PAGES: Mapping[str, Callable[[], str]] = {
    "command-line.md": command_line.render,
    "errors.md": errors_page,
    "functions.md": functions.render,
    "metrics.md": metrics_page,
    "units.md": units_page,
}


def _below(error: type[HeadraceError]) -> Iterator[type[HeadraceError]]:
    for child in error.__subclasses__():
        yield child
        yield from _below(child)


def _first_line(error: type[HeadraceError]) -> str:
    return (error.__doc__ or "").strip().partition("\n")[0].replace("|", "\\|")


def main() -> None:
    """Write every page."""
    for name, render in PAGES.items():
        (REFERENCE / name).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
