"""What strikes the eye about a label before anything is learnt from it: classes written in two ways, classes of hardly
any row, a yes or no that is written as a number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from headrace.definition.model import Costs
from headrace.training.data import Examples

FEW: Final = 10
"""Training rows of a class, below which little can be learnt of it."""
MOST_NAMED: Final = 3


def label_words(examples: Examples, label: str, *, is_asked_for: bool) -> tuple[str, ...]:
    """Sentences on the label of the training rows; none where nothing strikes.

    Parameters
    ----------
    label
        As the definition writes it.
    is_asked_for
        Whether the definition names the task.
    """
    if examples.task == "regression":
        return () if is_asked_for else _two_values(examples, label)
    return (*_written_alike(examples.classes, label), *_few(examples))


def free_answers(classes: Sequence[str], costs: Costs | None) -> tuple[str, ...]:
    """A sentence where an answer costs nothing whatever is true: it would be the only one."""
    if costs is None or len(classes) < 3:
        return ()
    priced = {key.split(">", 1)[1] for key, _ in costs.amounts} | {answer for _, answer, _ in costs.matrix}
    free = [name for name in classes if name not in priced]
    if not priced or not free:
        return ()
    said = f"To answer {' or '.join(map(repr, free[:MOST_NAMED]))}{_more(free)} costs nothing whatever is true"
    return (f"{said}, so that nothing else will be: pairs that [costs] matrix does not name cost nothing. Name each.",)


def _two_values(examples: Examples, label: str) -> tuple[str, ...]:
    values = np.unique(examples.y)
    if len(values) != 2:
        return ()
    low, high = (f"{value:.12g}" for value in values)
    written = _toml(f"{_operand(label)} = {high}")
    return (f"The label has two values, {low} and {high}, and is learnt as a number; for a yes or no write {written}.",)


def _written_alike(classes: Sequence[str], label: str) -> tuple[str, ...]:
    """Classes that differ in blanks and capitals alone."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(" ".join(name.split()).casefold(), []).append(name)
    alike = [names for names in groups.values() if len(names) > 1]
    if not alike:
        return ()
    named = "; ".join(", ".join(map(repr, names)) for names in alike[:MOST_NAMED])
    said = f"Classes that differ in blanks and capitals alone are learnt as different ones: {named}{_more(alike)}"
    return (f"{said}; if they are one, write {_toml(f'lower(trim({label}))')}.",)


def _few(examples: Examples) -> tuple[str, ...]:
    """Classes that cannot be learnt, and hardly be judged."""
    rows = np.bincount(examples.y.astype(np.intp), minlength=len(examples.classes)).tolist()
    few = sorted((n, name) for n, name in zip(rows, examples.classes, strict=True) if n < FEW)
    if not few:
        return ()
    named = ", ".join(f"{name!r} {n}" for n, name in few[:MOST_NAMED])
    said = f"Of some classes there are hardly any rows to learn from: {named}{_more(few)}"
    return (f"{said}; such a class is neither learnt nor judged well: read more of its rows, or join it with another.",)


def _more(found: Sequence[object]) -> str:
    return f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""


def _operand(label: str) -> str:
    return label if re.fullmatch(r'[A-Za-z_]\w*|"[^"]+"', label) else f"({label})"


def _toml(expression: str) -> str:
    """The line of the definition."""
    quote = "'" if "'" not in expression else '"' if '"' not in expression else "'''"
    return f"label = {quote}{expression}{quote}"
