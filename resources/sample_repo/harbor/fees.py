"""What a night at the pier costs. Money is counted in whole cents."""

import math

CENTS_PER_METRE = 250
MINIMUM_CENTS = 1500


def night_fee(length_m: float) -> int:
    """The fee of one night in cents; a begun metre counts as a whole one."""
    if length_m <= 0:
        raise ValueError("a boat has a length")
    return max(MINIMUM_CENTS, math.ceil(length_m) * CENTS_PER_METRE)
