"""The height of the water between low and high tide, by the rule of twelfths."""

from dataclasses import dataclass

_TWELFTHS = (0, 1, 3, 6, 9, 11, 12)


@dataclass(frozen=True)
class Tide:
    """One rise from low to high water; heights in metres, duration in minutes."""

    low_m: float
    high_m: float
    minutes: int = 372

    def height_after(self, minutes: int) -> float:
        """The height so many minutes after low water, linear between the sixths."""
        if not 0 <= minutes <= self.minutes:
            raise ValueError("outside this tide")
        sixth, rest = divmod(minutes * 6, self.minutes)
        if sixth == 6:
            return self.high_m
        part = rest / self.minutes
        twelfths = _TWELFTHS[sixth] + (_TWELFTHS[sixth + 1] - _TWELFTHS[sixth]) * part
        return self.low_m + (self.high_m - self.low_m) * twelfths / 12
