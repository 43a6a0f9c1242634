"""Whether entities came to the arms as the weights say: if not, no comparison between the arms is to be believed.

Lindon, Malek: "Anytime-valid inference for multinomial count data", NeurIPS 2022, arXiv:2011.03567.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum, lgamma, log
from typing import Final

CONCENTRATION: Final = 1_000.0
"""Of the alternative around the weights: how near to them a wrong ratio is looked for first. Any value is valid."""


def evidence(entities: Sequence[int], weights: Sequence[float], *, concentration: float = CONCENTRATION) -> float:
    """ln of the Bayes factor of "other weights" against these: a martingale that begins at 0.

    The alternative has a Dirichlet prior of mean `weights`. Of times with different weights (none of them chosen by
    what the entities' outcomes were) the logarithms add up.

    Parameters
    ----------
    entities : how many of each arm, each entity once: rows of one entity come together and would tell nothing
    weights : above 0, summing to 1
    """
    prior = [concentration * weight for weight in weights]
    n = sum(entities)
    return (
        lgamma(concentration)
        - lgamma(concentration + n)
        + fsum(lgamma(a + x) - lgamma(a) - x * log(w) for a, x, w in zip(prior, entities, weights, strict=True))
    )


def p_value(entities: Sequence[int], weights: Sequence[float], *, concentration: float = CONCENTRATION) -> float:
    """Of "the entities come as the weights say"; that it is ever ≤ α has a chance of at most α.

    Examples
    --------
    >>> p_value([5_000, 5_060], [0.5, 0.5])
    1.0
    >>> p_value([5_000, 5_400], [0.5, 0.5]) < 0.01
    True
    """
    found = evidence(entities, weights, concentration=concentration)
    return 1.0 if found <= 0.0 else exp(-found)
