"""The journal: the only truth. Append, read, follow, verify, rebuild (domain.md §2)."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, select

from core.context import Context
from core.errors import CockpitError
from core.journal import chain, recording
from core.journal.answers import Awaited
from core.journal.backup import back_up
from core.journal.envelope import Envelope, Event
from core.journal.failures import caught
from core.journal.feed import Feed
from core.journal.interfaces import Aggregate, Append, Projection
from core.journal.opening import open_store
from core.journal.rebuilding import Progress, Rebuilding, RebuildReport
from core.journal.states import States
from core.journal.store import EVENT, HEAD, STORED, Store, every_event
from core.journal.writer import Job, Request, Writer

__all__ = ["Journal", "RebuildReport"]


def _silent(_done: int, _total: int) -> None:
    """Nobody watches a rebuild."""


class Journal:
    """An open journal. Exactly one process has it open (see ``cockpit.ownership``)."""

    def __init__(
        self,
        store: Store,
        *,
        context: Context,
        aggregates: Mapping[str, Aggregate],
        projections: Sequence[Projection],
        progress: Progress,
    ):
        """Wire an opened store; use :meth:`open`."""
        projections = tuple(projections)
        self._store = store
        self._states = States(aggregates, store)
        self._rebuilding = Rebuilding(projections, self._states.aggregate, progress)
        with store.reading() as connection:
            head = connection.execute(select(HEAD.c.seq)).scalar_one()
        self._feed = Feed(head, lambda after, limit: self.read(after=after, limit=limit))
        self._writer = Writer(store, self._states, projections, context, self._feed.publish)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        context: Context,
        aggregates: Mapping[str, Aggregate],
        projections: Sequence[Projection] = (),
        progress: Progress = _silent,
    ) -> Self:
        """Open or create the journal at ``path``.

        Args:
            aggregates: who guards the streams of each prefix ("mission" for ``mission:…``).
            progress: told events replayed and events in all while a changed projection makes
                opening rebuild the read tables; on the writer's thread.

        Raises:
            Refused: ``JOURNAL_TOO_NEW`` for one that a newer version wrote,
                ``JOURNAL_NOT_READABLE`` for what is no journal or is damaged.
            Unavailable: no room on the disk, or another program holds the file.
            Broken: a migration or a rebuild failed; nothing of it was written.
        """
        store = open_store(path, context)
        opened = caught(
            lambda: cls(
                store,
                context=context,
                aggregates=aggregates,
                projections=projections,
                progress=progress,
            )
        )
        if isinstance(opened, CockpitError):
            store.close()
            raise opened
        failure = caught(opened._rebuild_if_due)  # noqa: SLF001 - its own class
        if failure is not None:
            opened.close()
            raise failure
        return opened

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
            idempotency_key: known already: nothing is written, and what was recorded under it
                comes back.

        Raises (by the future):
            Conflict: the stream is not at the expected version.
            Invalid: no events, a payload that fails its model or exceeds 1 MiB, a bad name.
            Refused: an unknown kind, a move that the state machine forbids, a closed journal.
            Unavailable: ``HOLD-DISK-SPACE`` or ``JOURNAL_BUSY``; nothing was recorded.
            Broken: a guard or a projection failed; nothing was recorded.
        """
        return self.append_all(
            _one_stream(
                stream, events, actor, expected, causation_id, correlation_id, idempotency_key
            )
        )

    def append_all(self, append: Append) -> Future[list[Envelope]]:
        """Record events of several streams together, or none of them; as :meth:`append`."""
        future: Future[list[Envelope]] = Future()
        self._writer.submit(Request(append, future))
        return future

    async def write(
        self,
        stream: str,
        events: Sequence[Event],
        *,
        actor: str,
        expected: int | None = None,
        causation_id: str | None = None,
        correlation_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> list[Envelope]:
        """:meth:`append`, awaited.

        Cancelled before the writer took it, nothing is recorded; afterwards it is, as a whole.
        """
        return await self.write_all(
            _one_stream(
                stream, events, actor, expected, causation_id, correlation_id, idempotency_key
            )
        )

    async def write_all(self, append: Append) -> list[Envelope]:
        """:meth:`append_all`, awaited; cancelled as :meth:`write`."""
        waiting = Awaited()
        self._writer.submit(Request(append, waiting))
        recorded: list[Envelope] = await waiting.future
        return recorded

    def state(self, stream: str) -> tuple[int, Any]:
        """The newest committed version and state of a stream. Safe from any thread."""
        return self._states.get(stream)

    def state_at(self, stream: str, seq: int) -> tuple[int, Any]:
        """The version and state of a stream as they were when ``seq`` was the head: a replay."""
        return self._states.fold(stream, until=seq)

    def read(
        self,
        *,
        after: int = 0,
        stream: str | None = None,
        until: int | None = None,
        limit: int | None = 1000,
    ) -> list[Envelope]:
        """Recorded events with ``after < seq <= until``, in order; at most ``limit``."""
        query = select(*STORED).where(EVENT.c.seq > after).order_by(EVENT.c.seq)
        if stream is not None:
            query = query.where(EVENT.c.stream == stream)
        if until is not None:
            query = query.where(EVENT.c.seq <= until)
        with self._store.reading() as connection:
            rows = connection.execute(query.limit(limit)).all()
        return recording.envelopes_of(rows)

    def head(self) -> int:
        """The sequence number of the newest event; 0 when there is none."""
        return self._feed.head

    def follow(self, after: int) -> AsyncIterator[Envelope]:
        """Every event after ``after`` without a gap, then as they come, until :meth:`close`."""
        return self._feed.follow(after)

    def subscribe(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Tell ``callback`` the new head after each commit, from the writer's thread.

        What it raises is logged. It must not block: everyone waits for it.

        Returns:
            A function that ends the subscription.
        """
        return self._feed.subscribe(callback)

    @contextmanager
    def query(self) -> Iterator[Connection]:
        """A read-only snapshot of the read tables."""
        with self._store.reading() as connection:
            yield connection

    def verify(self) -> chain.ChainReport:
        """Check the whole chain; names the first damaged event. Blocks; reads every event."""
        with self._store.raw() as connection:
            head = connection.execute("SELECT seq, hash FROM journal_head").fetchone()

            def successor_of(before: str) -> int | None:
                query = "SELECT seq FROM event WHERE prev_hash = ? LIMIT 1"
                found = connection.execute(query, (before,)).fetchone()
                return found[0] if found else None

            return chain.verify(every_event(connection), head, successor_of)

    def rebuild(self) -> RebuildReport:
        """Drop all read tables and replay every event into them, in one transaction."""
        future: Future[RebuildReport] = Future()
        self._writer.submit(Job(self._rebuilding.run, future))
        return future.result()

    def back_up(self, target: Path) -> None:
        """Copy the journal to ``target``, a new file, while it is in use."""
        back_up(self._store.path, target)

    def close(self) -> None:
        """Record what waits, end the followers, then let go of the file."""
        self._writer.close()
        self._feed.close()
        self._store.close()

    def _rebuild_if_due(self) -> None:
        with self._store.reading() as connection:
            due = self._rebuilding.due(connection)
        if due:
            self.rebuild()


def _one_stream(
    stream: str, events: Sequence[Event], actor: str, expected: int | None, *ids: str | None
) -> Append:
    return Append({stream: events}, actor, {} if expected is None else {stream: expected}, *ids)
