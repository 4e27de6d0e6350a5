"""Berths, and which boat fits into one."""

from dataclasses import dataclass

KEEL_CLEARANCE_M = 0.3


@dataclass(frozen=True)
class Boat:
    """A guest: length over all and draught, in metres."""

    name: str
    length_m: float
    draught_m: float


@dataclass(frozen=True)
class Berth:
    """A place at the pier; the depth is the one at the lowest tide, in metres."""

    name: str
    length_m: float
    depth_m: float

    def fits(self, boat: Boat) -> bool:
        """Whether the boat is short enough and keeps water under its keel."""
        return (
            boat.length_m <= self.length_m
            and boat.draught_m + KEEL_CLEARANCE_M <= self.depth_m
        )


def smallest_fit(berths: "list[Berth]", boat: Boat) -> "Berth | None":
    """The shortest berth that the boat fits, or None."""
    fitting = [berth for berth in berths if berth.fits(boat)]
    return min(fitting, key=lambda berth: berth.length_m, default=None)
