"""Several questions at once, without more false alarms than of one."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given: those ≤ α are the questions answered yes, with a chance of at most α that
    any of them is answered so falsely, however they depend on each other.

    Holm: "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979. Of
    p-values that are valid at every look, the adjusted ones are too.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    >>> holm([])
    []
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    reached = 0.0
    for place, i in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = reached
    return adjusted
