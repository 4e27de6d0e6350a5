"""From an event to its row and back; nothing here decides or writes."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from core.errors import Invalid, Refused
from core.journal.chain import StoredEvent, canonical, digest
from core.journal.envelope import Envelope, Event, model_of
from core.journal.interfaces import Append
from core.journal.upcasts import current_version, load

MAX_PAYLOAD = 1 << 20  # bytes
MAX_NAME = 500  # characters
COLUMNS = StoredEvent._fields
INSERT = f"INSERT INTO event ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - constants
_ACTOR = re.compile(
    r"operator|planner|reviewer|harness|system|validator:(openai|gemini)"
    r"|(coder|automation|bridge):[^\s:][^\x00-\x1f\x7f]*"
)


def check_append(append: Append) -> None:
    """Refuse an append that can't be recorded whatever its events say.

    Raises:
        Invalid: no events, an actor that domain.md §2 does not know, or a name that is empty,
            too long or not text.
    """
    if not append.events or not all(append.events.values()):
        raise Invalid(
            "events",
            "An append holds at least one event for each stream.",
            recovery="Append nothing when nothing happened.",
        )
    _check_name("actor", append.actor)
    if not _ACTOR.fullmatch(append.actor):
        raise Invalid(
            "actor",
            f"{append.actor!r} is nobody who acts.",
            recovery="Use operator, planner, coder:<run>, reviewer, harness, validator:openai, "
            "validator:gemini, automation:<rule>, bridge:<name> or system.",
        )
    for stream in append.events:
        _check_name("stream", stream)
    for field in ("causation_id", "correlation_id", "idempotency_key"):
        value = getattr(append, field)
        if value is not None:
            _check_name(field, value)


def _check_name(field: str, value: object) -> None:
    fits = isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()
    if not fits:
        raise Invalid(
            field,
            f"The {field} of an append is 1 to {MAX_NAME} printable characters.",
            recovery=f"Give another {field}; nothing was recorded.",
        )


def checked(event: Event) -> tuple[Event, bytes]:
    """The event as it will be read back, and the bytes of its payload.

    Raises:
        Refused: ``UNKNOWN_EVENT_KIND`` for a kind outside the closed list.
        Invalid: a payload that fails its model, does not survive JSON unchanged, or is larger than
            1 MiB.
    """
    kind = event.kind
    if type(event) is not model_of(kind):
        raise Refused(
            "UNKNOWN_EVENT_KIND", f"{type(event).__name__} is not {kind!r}.", data={"kind": kind}
        )
    try:
        payload = canonical(event.model_dump(mode="json", warnings=False))
        stored = type(event).model_validate_json(payload)
        same = stored == event
    except ValidationError as error:
        raise _unfit(kind, _places(error)) from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _unfit(kind, str(error)) from None
    if not same:
        raise _unfit(kind, "it would read back as something else")
    if len(payload) > MAX_PAYLOAD:
        raise Invalid(
            kind,
            f"The payload of {kind} has {len(payload)} bytes; {MAX_PAYLOAD} is the most.",
            recovery="Large values belong into blobs.",
        )
    return stored, payload


def _places(error: ValidationError) -> str:
    """Where and why, without the values: they may be secrets."""
    return "; ".join(
        f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()
    )


def _unfit(kind: str, why: str) -> Invalid:
    return Invalid(
        kind,
        f"The payload of {kind} does not fit its model: {why}.",
        recovery="Nothing was recorded; make the event by its constructor.",
    )


def stamp(at: datetime) -> str:
    """A time as it is stored: UTC with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seal(fields: tuple[Any, ...], payload: bytes, prev_hash: str) -> StoredEvent:
    """The row of the hashed ``fields``, with its payload and its place in the chain."""
    seal_ = digest(fields, payload, prev_hash)
    return StoredEvent._make((*fields, payload.decode(), prev_hash, seal_))


def hashed_fields(
    append: Append, kind: str, *, place: tuple[int, str, str, int], at: str, first_of: int | None
) -> tuple[Any, ...]:
    """The hashed fields of an event in the order of ``StoredEvent``.

    Args:
        place: seq, id, stream and version.
        first_of: the number of events of the append for its first event, which alone bears the
            idempotency key; None for the others.
    """
    return (
        *place,
        kind,
        current_version(kind),
        at,
        append.actor,
        append.causation_id,
        append.correlation_id,
        append.idempotency_key if first_of else None,
        first_of or 0,
    )


def envelope_of(
    row: StoredEvent, event: Event | None = None, at: datetime | None = None
) -> Envelope:
    """The stored row as an envelope; ``event`` and ``at`` if they are at hand already."""
    if event is None:
        event = load(row.kind, row.payload_version, row.payload)
    return Envelope(
        row.seq,
        row.id,
        row.stream,
        row.version,
        at or datetime.fromisoformat(row.at),
        row.actor,
        event,
        row.prev_hash,
        row.hash,
        row.causation_id,
        row.correlation_id,
        row.idempotency_key,
    )


def envelopes_of(rows: Sequence[Any]) -> list[Envelope]:
    """Selected rows as envelopes."""
    make = StoredEvent._make
    return [envelope_of(make(row)) for row in rows]
