"""Old events load for ever: each changed payload names how its older form becomes the new one."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from core.errors import Broken
from core.journal.envelope import Event, model_of

Lift = Callable[[dict[str, Any]], dict[str, Any]]
_LIFTS: dict[tuple[str, int], Lift] = {}


def upcast(kind: str, from_version: int) -> Callable[[Lift], Lift]:
    """Declare how a payload of ``kind`` at ``from_version`` becomes one of the next version."""

    def declare(lift: Lift) -> Lift:
        if (kind, from_version) in _LIFTS:
            raise Broken(f"{kind} version {from_version} is lifted twice.")
        _LIFTS[kind, from_version] = lift
        return lift

    return declare


def current_version(kind: str) -> int:
    """The payload version that new events of ``kind`` are written with."""
    version = 1
    while (kind, version) in _LIFTS:
        version += 1
    return version


def load(kind: str, version: int, payload: dict[str, Any]) -> Event:
    """A stored payload as the event it is today.

    Raises:
        Broken: when it can't be read, which a journal of ours never holds.
    """
    while (kind, version) in _LIFTS:
        payload = _LIFTS[kind, version](payload)
        version += 1
    try:
        return model_of(kind).model_validate(payload)
    except ValidationError as error:
        raise Broken(f"A stored {kind} does not fit its model: {error}") from error
