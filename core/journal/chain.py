"""The hash chain: the canonical form of an event, its digest, and where a chain is damaged.

It reads and writes no storage (domain.md §2).
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

GENESIS = "0" * 64
Wrong = Literal["edited", "missing", "re-ordered", "truncated", "added", "unreadable"]


class StoredEvent(NamedTuple):
    """One row of the table ``event``: what is hashed first, then the payload and the chain.

    Attributes:
        payload_version: which form of its kind the payload has (``upcasts.py``).
        append_size: on the first event of an append how many there were, 0 on the others; None in
            what schema 1 recorded.
    """

    seq: int
    id: str
    stream: str
    version: int
    kind: str
    payload_version: int
    at: str
    actor: str
    causation_id: str | None
    correlation_id: str | None
    idempotency_key: str | None
    append_size: int | None
    payload: str
    prev_hash: str
    hash: str


_HASHED = StoredEvent._fields.index("payload")


@dataclass(frozen=True, slots=True)
class Damage:
    """The first place where the chain does not hold."""

    seq: int
    what: Wrong


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a verification found. ``damage`` is None when every event is as it was written.

    Attributes:
        events: how many events were found sound, from the first on.
        head: the sequence number that the journal remembers as its last.
    """

    events: int
    head: int
    damage: Damage | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was edited, removed, added or re-ordered."""
        return self.damage is None


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the same bytes for the same value, always.

    Raises:
        TypeError: something that JSON does not know, or text that is no Unicode.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(fields: tuple[Any, ...], payload: bytes, prev_hash: str) -> str:
    """The hash of an event.

    Args:
        fields: the fields of ``StoredEvent`` before ``payload``, in that order. An ``append_size``
            of None is left out: schema 1 did not have it.
        payload: the bytes as they are stored.
        prev_hash: the hash of the event before, or ``GENESIS``.
    """
    if fields[-1] is None:
        fields = fields[:-1]
    content = b"\n".join((orjson.dumps(fields), payload, prev_hash.encode()))
    return hashlib.sha256(content).hexdigest()


def verify(
    rows: Iterable[StoredEvent],
    head: tuple[int, str] | None,
    successor_of: Callable[[str], int | None],
) -> ChainReport:
    """Walk the whole chain.

    Args:
        rows: stored events in the order of ``seq``; raises ``OSError`` where none can be read.
        head: sequence number and hash that the journal remembers as its last.
        successor_of: the sequence number of the stored event that claims to follow a hash.
    """
    last, before = 0, GENESIS
    remembered = head[0] if head else 0
    try:
        for row in rows:
            if row.seq != last + 1 or row.prev_hash != before or not _intact(row):
                wrong = _name(row, last, before, successor_of)
                return ChainReport(last, remembered, Damage(last + 1, wrong))
            last, before = row.seq, row.hash
    except OSError:
        return ChainReport(last, remembered, Damage(last + 1, "unreadable"))
    if (head or (0, GENESIS)) == (last, before):
        return ChainReport(last, last)
    return ChainReport(last, remembered, _end_damage(last, head))


def _end_damage(last: int, head: tuple[int, str] | None) -> Damage:
    if head is None:
        return Damage(last, "truncated")
    if head[0] > last:
        return Damage(last + 1, "truncated")
    if head[0] < last:
        return Damage(head[0] + 1, "added")
    return Damage(last, "edited")


def _intact(row: StoredEvent) -> bool:
    try:
        return row.hash == digest(row[:_HASHED], row.payload.encode(), row.prev_hash)
    except (TypeError, ValueError, AttributeError):  # a cell of another type, or no Unicode
        return False


def _name(
    row: StoredEvent, last: int, before: str, successor_of: Callable[[str], int | None]
) -> Wrong:
    """What is wrong at the place after ``last``, where ``row`` is the next that was found."""
    place = successor_of(before)
    if place is not None and place != last + 1:
        return "re-ordered"
    return "missing" if row.seq != last + 1 else "edited"
