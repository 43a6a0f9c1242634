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


def log_ticks(low: float, high: float) -> list[float]:
    """Round values of a logarithmic axis from at or below `low` to at or above `high`; both are above 0.

    >>> log_ticks(0.003, 0.4)
    [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
    >>> log_ticks(3, 40_000)
    [1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0]
    >>> log_ticks(5, 5)
    [2.0, 5.0, 10.0]
    """
    if high <= low * 1.01:  # one value, as far as a picture can tell
        low, high = low * 0.7, high * 1.4
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    values = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
    start = max((i for i, value in enumerate(values) if value <= low * 1.001), default=0)
    end = next((i for i, value in enumerate(values) if value >= high * 0.999), len(values) - 1)
    return values[start : end + 1]


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


def amount(value: float) -> str:
    """Money: as `short`, but small amounts with two digits and never with an exponent.

    >>> [amount(v) for v in (0, 0.00003591, 0.000000012, 0.05, 511666.67)]
    ['0', '0.000036', '< 0.000001', '0.05', '511.7k']
    """
    if value == 0 or abs(value) >= 0.01:
        return short(value)
    if 0 < value < 1e-6:
        return "< 0.000001"
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{digits}f}"
