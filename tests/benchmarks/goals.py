"""The goals of performance: what is measured, against which control, and the limit of their ratio.

Machines drift between hours, ratios in one interleaved run hold; so each goal is the median ratio
of pairs that were measured in turn, and each measurement checks what it made.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure to reach.

    Attributes:
        id: ``P6``; several figures of one goal add a word (``P6-one``).
        what: the figure in words.
        limit: of the ratio, ours divided by the control's.
        at_least: whether more is better.
        unit: of the two measurements.
        measure: at least five interleaved pairs, the control's measurement first.
    """

    id: str
    what: str
    limit: float
    at_least: bool
    unit: str
    measure: Callable[[], Pairs]

    def reached(self, ratio: float) -> bool:
        """Whether ``ratio`` keeps the limit."""
        return ratio >= self.limit if self.at_least else ratio <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """What one run measured."""

    goal: Goal
    control: float
    ours: float
    ratio: float
    pairs: int

    @property
    def ok(self) -> bool:
        """Whether the goal was reached."""
        return self.goal.reached(self.ratio)

    def line(self) -> str:
        """One line for people."""
        sign = "≥" if self.goal.at_least else "≤"
        return (
            f"{self.goal.id:8} {'ok    ' if self.ok else 'missed'} {self.ratio:6.2f} "
            f"({sign} {self.goal.limit})  control {self.control:.4g}, ours {self.ours:.4g} "
            f"{self.goal.unit}; median of {self.pairs}: {self.goal.what}"
        )

    def facts(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "goal": self.goal.id,
            "what": self.goal.what,
            "ok": self.ok,
            "ratio": round(self.ratio, 4),
            "limit": self.goal.limit,
            "at_least": self.goal.at_least,
            "control": self.control,
            "ours": self.ours,
            "unit": self.goal.unit,
            "pairs": self.pairs,
        }


def run(goal: Goal) -> Figure:
    """Measure ``goal`` now; nothing else should be running."""
    pairs = goal.measure()
    return Figure(
        goal,
        control=statistics.median(control for control, _ in pairs),
        ours=statistics.median(ours for _, ours in pairs),
        ratio=statistics.median(ours / control for control, ours in pairs),
        pairs=len(pairs),
    )
