"""One transaction in the making: appends are checked against the states they would leave behind.

Nothing here writes. A refused append leaves the group as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, select

from core.context import Context
from core.errors import Conflict
from core.journal import recording
from core.journal.chain import StoredEvent
from core.journal.envelope import Envelope, Event
from core.journal.interfaces import Append, Projection, Write
from core.journal.states import State, States
from core.journal.store import EVENT, STORED


@dataclass(slots=True)
class Part:
    """What one append, or a whole group of them, adds after ``seq`` and ``hash``."""

    seq: int
    hash: str
    rows: list[StoredEvent] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    size: int = 0

    def add(self, part: "Part") -> None:
        """Take in an append that was accepted."""
        self.seq, self.hash = part.seq, part.hash
        self.rows += part.rows
        self.envelopes += part.envelopes
        self.writes += part.writes
        self.states |= part.states
        self.size += part.size


@dataclass(frozen=True, slots=True)
class _Moment:
    """What the events of one append share."""

    append: Append
    at: datetime
    stamp: str
    events: int


class Group:
    """Appends that will be committed together."""

    def __init__(
        self,
        head: tuple[int, str],
        *,
        states: States,
        projections: Sequence[Projection],
        context: Context,
    ):
        """Begin after ``head``, the sequence number and hash of the last event."""
        self.made = Part(*head)
        self._states = states
        self._projections = projections
        self._context = context
        self._keys: dict[str, list[Envelope]] = {}

    def take(self, connection: Connection, append: Append) -> list[Envelope]:
        """Check an append and add it; or return what was recorded under its key before.

        Raises:
            Conflict: a stream is not at the expected version.
            Invalid: names, sizes or a payload that can't be recorded.
            Refused: an unknown kind, or a move that the state machine forbids.
        """
        recording.check_append(append)
        key = append.idempotency_key
        if key is not None:
            known = self._keys.get(key) or _recorded(connection, key)
            if known:
                return known
        part = self._part(append)
        self.made.add(part)
        if key is not None:
            self._keys[key] = part.envelopes
        return part.envelopes

    def _part(self, append: Append) -> Part:
        part = Part(self.made.seq, self.made.hash)
        at = self._context.now()
        count = sum(len(events) for events in append.events.values())
        moment = _Moment(append, at, recording.stamp(at), count)
        for stream, expected in append.expected.items():
            version = self._state(stream)[0]
            if expected != version:
                raise Conflict(stream, expected, version)
        for stream, events in append.events.items():
            aggregate = self._states.aggregate(stream)
            version, state = self._state(stream)
            for event in events:
                stored, payload = recording.checked(event)
                aggregate.check(state, stored)
                version += 1
                envelope = self._record(part, moment, (stream, version), stored, payload)
                before, state = state, aggregate.evolve(state, envelope)
                for projection in self._projections:
                    part.writes.extend(projection.writes(envelope, before, state))
            part.states[stream] = version, state
        return part

    def _state(self, stream: str) -> State:
        return self.made.states.get(stream) or self._states.get(stream)

    def _record(
        self, part: Part, moment: _Moment, place: tuple[str, int], event: Event, payload: bytes
    ) -> Envelope:
        fields = recording.hashed_fields(
            moment.append,
            event.kind,
            place=(part.seq + 1, self._context.ulid(moment.at), *place),
            at=moment.stamp,
            first_of=None if part.rows else moment.events,
        )
        row = recording.seal(fields, payload, part.hash)
        envelope = recording.envelope_of(row, event, moment.at)
        part.seq, part.hash = row.seq, row.hash
        part.rows.append(row)
        part.envelopes.append(envelope)
        part.size += len(payload)
        return envelope


def _recorded(connection: Connection, key: str) -> list[Envelope]:
    """The events of the append that bears ``key``; none when there is no such append."""
    found = connection.execute(
        select(EVENT.c.seq, EVENT.c.append_size).where(EVENT.c.idempotency_key == key)
    ).first()
    if found is None:
        return []
    last = found.seq + (found.append_size or 1)
    query = select(*STORED).where(EVENT.c.seq >= found.seq, EVENT.c.seq < last)
    return recording.envelopes_of(connection.execute(query.order_by(EVENT.c.seq)).all())
