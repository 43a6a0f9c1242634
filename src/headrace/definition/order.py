"""An order in which things that need one another can be computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


def ordered(names: Sequence[str], needs: Mapping[str, Collection[str]]) -> tuple[list[str], list[list[str]]]:
    """`names` with each after all that it needs, as near as can be to the order given; and the circles, if any.

    Needs that are not among `names` count as met. The members of a circle come last in the order.

    >>> ordered(["b", "a", "c"], {"b": ["a"], "c": ["x"]})
    (['a', 'b', 'c'], [])
    >>> ordered(["a", "b"], {"a": ["b"], "b": ["a"]})
    (['a', 'b'], [['a', 'b']])
    """
    left = dict.fromkeys(names)
    unmet = {name: {need for need in needs.get(name, ()) if need in left} for name in left}
    order: list[str] = []
    circles: list[list[str]] = []
    while left:
        ready = next((name for name in left if not unmet[name] & left.keys()), None)
        if ready is not None:
            order.append(ready)
            del left[ready]
            continue
        circle = _circle(next(iter(left)), {name: unmet[name] & left.keys() for name in left}, list(left))
        circles.append(circle)
        for name in circle:
            order.append(name)
            del left[name]
    return order, circles


def _circle(start: str, unmet: Mapping[str, Collection[str]], given: Sequence[str]) -> list[str]:
    """A circle reached from `start`, beginning with its member that was written first."""
    walked = [start]
    while True:
        following = min(unmet[walked[-1]], key=given.index)
        if following in walked:
            circle = walked[walked.index(following) :]
            first = min(range(len(circle)), key=lambda i: given.index(circle[i]))
            return circle[first:] + circle[:first]
        walked.append(following)
