"""From an event to its row and back; nothing here decides or writes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError

from core.errors import Invalid, Refused
from core.journal.chain import canonical, digest
from core.journal.envelope import Envelope, Event, model_of
from core.journal.upcasts import current_version, load

MAX_PAYLOAD = 1 << 20
COLUMNS = (
    "seq",
    "id",
    "stream",
    "version",
    "kind",
    "payload_version",
    "at",
    "actor",
    "causation_id",
    "correlation_id",
    "idempotency_key",
    "payload",
    "prev_hash",
    "hash",
)
INSERT = f"INSERT INTO event ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - constants


def checked(event: Event) -> tuple[Event, bytes]:
    """The event as it will be read back, and the bytes of its payload.

    Raises:
        Refused: ``UNKNOWN_EVENT_KIND`` for a kind outside the closed list.
        Invalid: a payload that fails its model or is larger than 1 MiB.
    """
    if type(event) is not model_of(event.kind):
        raise Refused("UNKNOWN_EVENT_KIND", f"{type(event).__name__} is not {event.kind!r}.")
    try:
        payload = canonical(event.model_dump(mode="json"))
        stored = type(event).model_validate_json(payload)
    except (ValidationError, ValueError, TypeError, AttributeError) as error:
        raise Invalid(
            event.kind,
            f"The payload of {event.kind} does not fit its model: {error}",
            recovery="Nothing was recorded.",
        ) from error
    if len(payload) > MAX_PAYLOAD:
        raise Invalid(
            event.kind,
            f"The payload of {event.kind} has {len(payload)} bytes; {MAX_PAYLOAD} is the most.",
            recovery="Large values belong into blobs.",
        )
    return stored, payload


def stamp(at: datetime) -> str:
    """A time as it is stored: UTC with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seal(row: dict[str, Any], payload: bytes, prev_hash: str) -> dict[str, Any]:
    """The row with payload, chain and hash filled in."""
    row["payload_version"] = current_version(row["kind"])
    row["prev_hash"] = prev_hash
    row["hash"] = digest(row, payload, prev_hash)
    row["payload"] = payload.decode()
    return row


def envelope_of(row: Mapping[Any, Any], event: Event | None = None) -> Envelope:
    """The stored row as an envelope; ``event`` if its payload is at hand already."""
    if event is None:
        event = load(row["kind"], row["payload_version"], orjson.loads(row["payload"]))
    return Envelope(
        seq=row["seq"],
        id=row["id"],
        stream=row["stream"],
        version=row["version"],
        at=datetime.strptime(row["at"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC),
        actor=row["actor"],
        event=event,
        prev_hash=row["prev_hash"],
        hash=row["hash"],
        causation_id=row["causation_id"],
        correlation_id=row["correlation_id"],
        idempotency_key=row["idempotency_key"],
    )
