"""Stays at a berth. Two boats never share a berth for a night."""

from dataclasses import dataclass
from datetime import date

from harbor.berths import Berth


class BerthTaken(Exception):
    """Another boat has the berth for at least one of the nights."""


@dataclass(frozen=True)
class Booking:
    """A stay: the boat leaves on the morning of the departure day."""

    boat: str
    berth: str
    arrival: date
    departure: date

    def overlaps(self, other: "Booking") -> bool:
        """Whether both want the same berth for the same night."""
        return (
            self.berth == other.berth
            and self.arrival < other.departure
            and other.arrival < self.departure
        )


class BookingPlan:
    """The bookings of a season."""

    def __init__(self, berths: "list[Berth]") -> None:
        self._berths = {berth.name: berth for berth in berths}
        self._bookings: "list[Booking]" = []

    def book(self, boat: str, berth: str, arrival: date, departure: date) -> Booking:
        """Book a berth; raises KeyError, ValueError or BerthTaken."""
        if berth not in self._berths:
            raise KeyError(berth)
        if departure <= arrival:
            raise ValueError("a stay lasts at least one night")
        wanted = Booking(boat, berth, arrival, departure)
        for existing in self._bookings:
            if existing.overlaps(wanted):
                raise BerthTaken(f"{berth} belongs to {existing.boat}")
        self._bookings.append(wanted)
        return wanted

    def on(self, night: date) -> "list[Booking]":
        """The bookings of one night, by the name of the berth."""
        staying = [b for b in self._bookings if b.arrival <= night < b.departure]
        return sorted(staying, key=lambda booking: booking.berth)
