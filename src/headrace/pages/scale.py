"""Round numbers for axes, and numbers as people write them."""

from __future__ import annotations

import math


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values from at or below `low` to at or above `high`, about `wanted` of them.

    >>> ticks(0.03, 0.97)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> ticks(5, 5)
    [4.4, 4.6, 4.8, 5.0, 5.2, 5.4, 5.6]
    """
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-3):  # one value, as far as a picture can tell
        pad = max(abs(low), abs(high)) * 0.1 if abs(low) > 1e-9 else 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [round(i * step, digits) for i in range(first, last + 1)]


def short(value: float) -> str:
    """At most four significant digits, thousands as k, millions as M.

    >>> [short(v) for v in (0, 0.05, 12.5, 1234567, 25000, -3)]
    ['0', '0.05', '12.5', '1.235M', '25k', '-3']
    """
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-4:
        return f"{value:.3g}"
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{value / (1e6 if unit == 'M' else 1e3):.4g}{unit}"
    return f"{value:.4g}"
