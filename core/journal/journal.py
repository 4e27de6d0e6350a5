"""The journal: the only truth. Append, read, follow, verify, rebuild (domain.md §2)."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import structlog
from sqlalchemy import Connection, MetaData, delete, func, insert, select

from core.context import Context
from core.errors import Refused
from core.journal import chain, recording
from core.journal.backup import migrate
from core.journal.envelope import Envelope, Event
from core.journal.interfaces import Aggregate, Append, Projection
from core.journal.store import EVENT, HEAD, META, SCHEMA, Store
from core.journal.writer import Job, Request, States, Writer, apply_writes

_log = structlog.get_logger(__name__)
_PAGE = 5_000
_FOLLOW_PAGE = 500


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """How much was replayed into the read tables."""

    events: int
    tables: int


class Journal:
    """An open journal. Exactly one process has it open for writing (see ``cockpit.ownership``)."""

    def __init__(
        self,
        store: Store,
        *,
        context: Context,
        aggregates: Mapping[str, Aggregate],
        projections: Sequence[Projection],
    ):
        """Wire an opened store; use :meth:`open`."""
        self._store = store
        self._projections = tuple(projections)
        self._states = States(aggregates, store)
        self._aggregates = aggregates
        self._subscribers: dict[int, Callable[[int], None]] = {}
        self._subscribers_lock = threading.Lock()
        self._writer = Writer(store, self._states, self._projections, context, self._committed)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        context: Context,
        aggregates: Mapping[str, Aggregate],
        projections: Sequence[Projection] = (),
    ) -> Self:
        """Open or create the journal at ``path``.

        Raises:
            Refused: ``JOURNAL_TOO_NEW`` for one that a newer version wrote,
                ``JOURNAL_NOT_READABLE`` for what is no journal.
        """
        store = Store(path)
        try:
            _check_schema(store)
            journal = cls(store, context=context, aggregates=aggregates, projections=projections)
        except BaseException:
            store.close()
            raise
        journal._prepare_tables()
        return journal

    def append(
        self,
        stream: str,
        events: Sequence[Event],
        *,
        actor: str,
        expected: int | None = None,
        causation_id: str | None = None,
        correlation_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Future[list[Envelope]]:
        """Record ``events``; the future is done when they are on disk. Safe from any thread.

        Args:
            expected: the stream's version before; None to take it as it is.
            idempotency_key: known already: nothing is written, the recorded event comes back.
        """
        return self.append_all(
            Append(
                {stream: events},
                actor,
                {} if expected is None else {stream: expected},
                causation_id,
                correlation_id,
                idempotency_key,
            )
        )

    def append_all(self, append: Append) -> Future[list[Envelope]]:
        """Record events of several streams together, or none of them."""
        future: Future[list[Envelope]] = Future()
        self._writer.submit(Request(append, future))
        return future

    async def write(self, stream: str, events: Sequence[Event], **how: Any) -> list[Envelope]:
        """:meth:`append`, awaited. A cancelled caller does not undo what is being recorded."""
        return await asyncio.wrap_future(self.append(stream, events, **how))

    async def write_all(self, append: Append) -> list[Envelope]:
        """:meth:`append_all`, awaited."""
        return await asyncio.wrap_future(self.append_all(append))

    def state(self, stream: str) -> tuple[int, Any]:
        """The newest committed version and state of a stream."""
        return self._states.get(stream)

    def state_at(self, stream: str, seq: int) -> tuple[int, Any]:
        """The state of a stream as it was when ``seq`` was the head: a replay."""
        aggregate = self._states.aggregate(stream)
        version, state = 0, aggregate.initial(stream)
        for envelope in self.read(stream=stream, until=seq, limit=None):
            version, state = envelope.version, aggregate.evolve(state, envelope)
        return version, state

    def read(
        self,
        *,
        after: int = 0,
        stream: str | None = None,
        until: int | None = None,
        limit: int | None = 1000,
    ) -> list[Envelope]:
        """Recorded events with ``after < seq <= until``, in order."""
        query = select(EVENT).where(EVENT.c.seq > after).order_by(EVENT.c.seq)
        if stream is not None:
            query = query.where(EVENT.c.stream == stream)
        if until is not None:
            query = query.where(EVENT.c.seq <= until)
        with self._store.reading() as connection:
            rows = connection.execute(query.limit(limit)).mappings().all()
        return [recording.envelope_of(row) for row in rows]

    def head(self) -> int:
        """The sequence number of the newest event; 0 when there is none."""
        with self._store.reading() as connection:
            return int(
                connection.execute(select(func.coalesce(func.max(HEAD.c.seq), 0))).scalar_one()
            )

    async def follow(self, after: int) -> AsyncIterator[Envelope]:
        """Every event after ``after``, without a gap, and then as they come."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        end = self.subscribe(lambda _: _tell(loop, news))
        try:
            while True:
                news.clear()
                page = await asyncio.to_thread(self.read, after=after, limit=_FOLLOW_PAGE)
                for envelope in page:
                    after = envelope.seq
                    yield envelope
                if not page:
                    await news.wait()
        finally:
            end()

    def subscribe(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Tell ``callback`` the new head after each commit, from the writer's thread.

        Returns:
            A function that ends the subscription.
        """
        key = id(callback)
        with self._subscribers_lock:
            self._subscribers[key] = callback

        def end() -> None:
            with self._subscribers_lock:
                self._subscribers.pop(key, None)

        return end

    @contextmanager
    def query(self) -> Iterator[Connection]:
        """A read-only snapshot of the read tables."""
        with self._store.reading() as connection:
            yield connection

    def verify(self) -> chain.ChainReport:
        """Check the whole chain; names the first damaged event."""
        with self._store.reading() as connection:
            head = connection.execute(select(HEAD.c.seq, HEAD.c.hash)).first()
            rows = connection.execution_options(yield_per=_PAGE).execute(
                select(EVENT).order_by(EVENT.c.seq)
            )
            return chain.verify(rows.mappings(), (head[0], head[1]) if head else None)

    def rebuild(self) -> RebuildReport:
        """Drop all read tables and replay every event into them, in one transaction."""
        future: Future[RebuildReport] = Future()
        self._writer.submit(Job(self._rebuild, future))
        return future.result()

    def close(self) -> None:
        """Record what waits, then let go of the file."""
        self._writer.close()
        self._store.close()

    def _committed(self, head: int) -> None:
        with self._subscribers_lock:
            callbacks = list(self._subscribers.values())
        for callback in callbacks:
            try:
                callback(head)
            except RuntimeError as error:  # a follower whose loop has closed
                _log.warning("follower_failed", error=str(error))

    def _prepare_tables(self) -> None:
        """Make the read tables, and rebuild them when a projection has changed."""
        wanted = {f"projection:{p.name}": str(p.version) for p in self._projections}
        with self._store.reading() as connection:
            found = {row.name: row.value for row in connection.execute(select(META))}
        if any(found.get(name) != version for name, version in wanted.items()):
            self.rebuild()

    def _rebuild(self) -> RebuildReport:
        tables = [table for projection in self._projections for table in projection.tables]
        metadata: set[MetaData] = {table.metadata for table in tables}
        events = 0
        with self._store.writing() as connection:
            for each in metadata:
                kept = [table for table in tables if table.metadata is each]
                each.drop_all(connection, tables=kept)
                each.create_all(connection, tables=kept)
            events = self._replay(connection)
            for projection in self._projections:
                name = f"projection:{projection.name}"
                connection.execute(delete(META).where(META.c.name == name))
                connection.execute(insert(META).values(name=name, value=str(projection.version)))
        return RebuildReport(events, len(tables))

    def _replay(self, connection: Connection) -> int:
        states: dict[str, Any] = {}
        events = after = 0
        while True:
            page = connection.execute(
                select(EVENT).where(EVENT.c.seq > after).order_by(EVENT.c.seq).limit(_PAGE)
            )
            envelopes = [recording.envelope_of(row) for row in page.mappings()]
            if not envelopes:
                return events
            after = envelopes[-1].seq
            events += len(envelopes)
            apply_writes(connection, (w for e in envelopes for w in self._replayed(states, e)))

    def _replayed(self, states: dict[str, Any], envelope: Envelope) -> Iterator[Any]:
        aggregate = self._states.aggregate(envelope.stream)
        before = states.get(envelope.stream)
        if before is None:
            before = aggregate.initial(envelope.stream)
        after = states[envelope.stream] = aggregate.evolve(before, envelope)
        for projection in self._projections:
            yield from projection.writes(envelope, before, after)


def _tell(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    loop.call_soon_threadsafe(news.set)


def _check_schema(store: Store) -> None:
    with store.writing() as connection:
        found = connection.execute(select(META.c.value).where(META.c.name == "schema")).scalar()
        if found is None:
            connection.execute(insert(META).values(name="schema", value=str(SCHEMA)))
            connection.execute(insert(HEAD).values(id=1, seq=0, hash=chain.GENESIS))
            return
    if int(found) > SCHEMA:
        raise Refused(
            "JOURNAL_TOO_NEW",
            f"This journal was written by a newer version (schema {found}, ours is {SCHEMA}).",
            recovery="Install the newer version; nothing was changed.",
            data={"schema": int(found), "ours": SCHEMA},
        )
    if int(found) < SCHEMA:
        migrate(store, int(found))
