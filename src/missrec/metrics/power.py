"""What a test of so many seeds and users can find."""

from __future__ import annotations

import math

LEVEL, POWER = 0.05, 0.8


def detectable_difference(
    variance: float, degrees: float, *, level: float = LEVEL, power: float = POWER
) -> float:
    """The true difference that a two-sided t-test finds with a given chance.

    Args:
        variance: of the estimated difference.
        degrees: of freedom of that variance; may be infinite.
        level: below which a p-value counts as found.
        power: the chance to find the difference, above `level`.
    """
    if variance == 0:
        return 0.0
    return math.sqrt(variance) * _noncentrality(degrees, level, power)


def _noncentrality(degrees: float, level: float, power: float) -> float:
    """How many standard errors the difference must be."""
    from scipy import stats  # takes a second, and every run imports this module
    from scipy.optimize import brentq

    limit = float(stats.t.ppf(1 - level / 2, degrees))
    if degrees > 1000:
        return limit + float(stats.norm.ppf(power))
    # The other side's rejections are left out: at a power of .8 they are fewer than one in 10,000.
    return float(brentq(lambda d: stats.nct.sf(limit, degrees, d) - power, 0, 10 * limit))
