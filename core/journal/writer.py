"""The one writer: a thread that groups what waits into one commit at ``synchronous=FULL``.

An append is checked, recorded and projected in one transaction; one that is refused costs the
others nothing. What a follower is told afterwards is already on disk.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby
from queue import SimpleQueue
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from core.context import Context
from core.errors import Broken, CockpitError, Conflict, Invalid, Unavailable
from core.journal import recording
from core.journal.chain import GENESIS
from core.journal.envelope import Envelope
from core.journal.interfaces import Aggregate, Append, Projection, Write
from core.journal.store import EVENT, HEAD, Store

MAX_GROUP = 512
CACHED_STREAMS = 4096
State = tuple[int, Any]


@dataclass(slots=True)
class Request:
    """An append that waits, and who waits for it."""

    append: Append
    future: Future[list[Envelope]]


@dataclass(slots=True)
class Job:
    """Something else that must have the writer for itself."""

    run: Callable[[], Any]
    future: Future[Any]


@dataclass(slots=True)
class _Group:
    """One transaction in the making."""

    seq: int
    hash: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    keys: dict[str, list[Envelope]] = field(default_factory=dict)


class States:
    """The newest committed state of the streams in use; safe from any thread."""

    def __init__(self, aggregates: Mapping[str, Aggregate], store: Store):
        """Fold a stream from the store when it is asked for and not at hand."""
        self._aggregates = aggregates
        self._store = store
        self._known: OrderedDict[str, State] = OrderedDict()
        self._lock = threading.Lock()

    def aggregate(self, stream: str) -> Aggregate:
        """Who guards ``stream``.

        Raises:
            Invalid: a stream of an unknown kind.
        """
        prefix = stream.partition(":")[0]
        if prefix not in self._aggregates:
            raise Invalid("stream", f"No stream is called {stream!r}.")
        return self._aggregates[prefix]

    def get(self, stream: str) -> State:
        """Version and state; an unknown stream is empty."""
        with self._lock:
            if stream in self._known:
                self._known.move_to_end(stream)
                return self._known[stream]
        with self._store.reading() as connection:
            state = self.fold(connection, stream)
        with self._lock:
            kept = self._known.setdefault(stream, state)
            if kept[0] < state[0]:
                self._known[stream] = kept = state
        return kept

    def fold(self, connection: Connection, stream: str) -> State:
        """The state from the stored events of ``stream``."""
        aggregate = self.aggregate(stream)
        version, state = 0, aggregate.initial(stream)
        found = connection.execute(
            select(EVENT).where(EVENT.c.stream == stream).order_by(EVENT.c.version)
        )
        for row in found.mappings():
            envelope = recording.envelope_of(row)
            version, state = envelope.version, aggregate.evolve(state, envelope)
        return version, state

    def publish(self, states: Mapping[str, State]) -> None:
        """Committed states take the place of the older ones."""
        with self._lock:
            for stream, state in states.items():
                self._known[stream] = state
                self._known.move_to_end(stream)
            while len(self._known) > CACHED_STREAMS:
                self._known.popitem(last=False)


class Writer:
    """Owns the writing connection."""

    def __init__(
        self,
        store: Store,
        states: States,
        projections: Sequence[Projection],
        context: Context,
        on_commit: Callable[[int], None],
    ):
        """Start the thread."""
        self._store = store
        self._states = states
        self._projections = projections
        self._context = context
        self._on_commit = on_commit
        self._queue: SimpleQueue[Request | Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, item: Request | Job) -> None:
        """Hand over an append or a job."""
        self._queue.put(item)

    def close(self) -> None:
        """Finish what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        open_ = True
        while open_:
            items = [self._queue.get()]
            while len(items) < MAX_GROUP and not self._queue.empty():
                items.append(self._queue.get())
            open_ = None not in items
            for is_job, group in groupby(
                (item for item in items if item is not None), lambda item: isinstance(item, Job)
            ):
                if is_job:
                    for item in group:
                        _run_job(item)  # type: ignore[arg-type]
                else:
                    self._commit(list(group))  # type: ignore[arg-type]

    def _commit(self, requests: list[Request]) -> None:
        try:
            with self._store.writing() as connection:
                group = _start(connection)
                done = [(r, self._try(connection, group, r.append)) for r in requests]
                _store_group(connection, group)
        except (SQLAlchemyError, CockpitError) as error:
            self._one_by_one(requests, error)
            return
        self._states.publish(group.states)
        for request, result in done:
            _answer(request.future, result)
        if group.rows:
            self._on_commit(group.seq)

    def _one_by_one(self, requests: list[Request], error: Exception) -> None:
        """The group failed as a whole: only the guilty append shall."""
        if len(requests) == 1:
            _answer(requests[0].future, _translated(error))
            return
        for request in requests:
            self._commit([request])

    def _try(
        self, connection: Connection, group: _Group, append: Append
    ) -> list[Envelope] | CockpitError:
        try:
            return self._take(connection, group, append)
        except CockpitError as error:
            return error

    def _take(self, connection: Connection, group: _Group, append: Append) -> list[Envelope]:
        """Check an append and add it to the group; a refusal leaves the group as it was."""
        if not append.events or not all(append.events.values()):
            raise Invalid("events", "An append holds at least one event for each stream.")
        known = self._recorded(connection, group, append.idempotency_key)
        if known is not None:
            return known
        part = _Group(group.seq, group.hash)
        envelopes: list[Envelope] = []
        for stream, events in append.events.items():
            version, state = self._state(connection, group, stream)
            expected = append.expected.get(stream)
            if expected is not None and expected != version:
                raise Conflict(stream, expected, version)
            aggregate = self._states.aggregate(stream)
            for event in events:
                stored, payload = recording.checked(event)
                aggregate.check(state, stored)
                row = self._row(part, append, stream, version + 1, first=not envelopes)
                row["kind"] = stored.kind
                recording.seal(row, payload, part.hash)
                envelope = recording.envelope_of(row, stored)
                before, state = state, aggregate.evolve(state, envelope)
                version += 1
                part.seq, part.hash = row["seq"], row["hash"]
                part.rows.append(row)
                part.writes.extend(self._writes(envelope, before, state))
                envelopes.append(envelope)
            part.states[stream] = version, state
        group.seq, group.hash = part.seq, part.hash
        group.rows += part.rows
        group.writes += part.writes
        group.states |= part.states
        if append.idempotency_key:
            group.keys[append.idempotency_key] = envelopes
        return envelopes

    def _state(self, connection: Connection, group: _Group, stream: str) -> State:
        if stream in group.states:
            return group.states[stream]
        return self._states.get(stream)

    def _writes(self, envelope: Envelope, before: Any, after: Any) -> Iterable[Write]:
        for projection in self._projections:
            yield from projection.writes(envelope, before, after)

    def _row(
        self, part: _Group, append: Append, stream: str, version: int, *, first: bool
    ) -> dict[str, Any]:
        at = self._context.now()
        return {
            "seq": part.seq + 1,
            "id": self._context.ulid(at),
            "stream": stream,
            "version": version,
            "at": recording.stamp(at),
            "actor": append.actor,
            "causation_id": append.causation_id,
            "correlation_id": append.correlation_id,
            "idempotency_key": append.idempotency_key if first else None,
        }

    def _recorded(
        self, connection: Connection, group: _Group, key: str | None
    ) -> list[Envelope] | None:
        """What was recorded under the key before: the events of that one append."""
        if key is None:
            return None
        if key in group.keys:
            return group.keys[key]
        found = connection.execute(select(EVENT).where(EVENT.c.idempotency_key == key))
        row = found.mappings().first()
        return None if row is None else [recording.envelope_of(row)]


def _start(connection: Connection) -> _Group:
    row = connection.execute(select(HEAD.c.seq, HEAD.c.hash)).first()
    return _Group(row[0], row[1]) if row else _Group(0, GENESIS)


def _store_group(connection: Connection, group: _Group) -> None:
    if not group.rows:
        return
    values = [tuple(row[name] for name in recording.COLUMNS) for row in group.rows]
    connection.exec_driver_sql(recording.INSERT, values)
    apply_writes(connection, group.writes)
    connection.execute(update(HEAD).values(seq=group.seq, hash=group.hash))


def apply_writes(connection: Connection, writes: Iterable[Write]) -> None:
    """Run projection statements in order; equal ones that follow each other go together."""
    for statement, same in groupby(writes, lambda write: write[0]):
        connection.execute(statement, [params for _, params in same])


def _run_job(job: Job) -> None:
    try:
        job.future.set_result(job.run())
    except (SQLAlchemyError, CockpitError) as error:
        job.future.set_exception(_translated(error))


def _answer(future: Future[list[Envelope]], result: list[Envelope] | CockpitError) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, CockpitError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _translated(error: Exception) -> CockpitError:
    if isinstance(error, CockpitError):
        return error
    if isinstance(error, OperationalError) and "full" in str(error.orig):
        return Unavailable(
            "HOLD-DISK-SPACE",
            "The journal has no room on its disk; nothing was recorded.",
            recovery="Free space, then try again.",
        )
    return Broken(f"The journal could not record: {error}")
