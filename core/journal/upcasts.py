"""Old events load for ever: each changed payload names how its older form becomes the new one."""

from collections.abc import Callable
from typing import Any

import orjson

from core.errors import Broken, Refused
from core.journal.chain import canonical
from core.journal.envelope import Event, model_of

Lift = Callable[[dict[str, Any]], dict[str, Any]]
_LIFTS: dict[tuple[str, int], Lift] = {}
_CURRENT: dict[str, int] = {}


def upcast(kind: str, from_version: int) -> Callable[[Lift], Lift]:
    """Declare how a payload of ``kind`` at ``from_version`` becomes one of the next version.

    The versions of a kind are declared in order, from 1.

    Raises:
        Broken: a version that is declared twice or before the one below it.
    """

    def declare(lift: Lift) -> Lift:
        if from_version != current_version(kind):
            raise Broken(
                f"The next upcast of {kind} is from version {current_version(kind)}, "
                f"not {from_version}."
            )
        _LIFTS[kind, from_version] = lift
        _CURRENT[kind] = from_version + 1
        return lift

    return declare


def current_version(kind: str) -> int:
    """The payload version that new events of ``kind`` are written with."""
    return _CURRENT.get(kind, 1)


def load(kind: str, version: int, payload: str | bytes) -> Event:
    """A stored payload as the event it is today.

    Raises:
        Refused: ``EVENT_TOO_NEW`` for a payload that a newer version of the product wrote,
            ``UNKNOWN_EVENT_KIND`` for a kind outside the closed list.
        Broken: it does not fit its model, which a journal of ours never holds.
    """
    current = _CURRENT.get(kind, 1)
    try:
        if version == current:
            return model_of(kind).model_validate_json(payload)
        if not 1 <= version < current:
            raise Refused(
                "EVENT_TOO_NEW",
                f"A stored {kind} has version {version}; this program knows {current}.",
                recovery="Install the newer version; nothing was changed.",
                data={"kind": kind, "version": version, "known": current},
            )
        lifted = orjson.loads(payload)
        for step in range(version, current):
            lifted = _LIFTS[kind, step](lifted)
        return model_of(kind).model_validate_json(canonical(lifted))
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # also of a lift
        raise Broken(f"A stored {kind} does not fit its model: {error}") from error
