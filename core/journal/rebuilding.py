"""Replays every event into the read tables, and knows when that is due.

The tables it drops are the projections' own; the stored tables are never touched.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, MetaData, Table, delete, insert, inspect, select

from core.journal import recording
from core.journal.chain import StoredEvent
from core.journal.interfaces import Aggregate, Projection, Write
from core.journal.statements import Statements
from core.journal.store import HEAD, META, driver, every_event

PAGE = 5_000  # events between two reports of progress
_PREFIX = "projection:"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """How much was replayed into the read tables."""

    events: int
    tables: int


class Rebuilding:
    """The projections of a journal and the streams they are made from."""

    def __init__(
        self,
        projections: Sequence[Projection],
        aggregate_of: Callable[[str], Aggregate],
        progress: Progress,
    ):
        """Tell ``progress`` how many events of how many are replayed, after each page."""
        self._projections = projections
        self._aggregate_of = aggregate_of
        self._progress = progress

    def due(self, connection: Connection) -> bool:
        """Whether a projection changed, came or went, or one of its tables is missing."""
        query = select(META.c.name, META.c.value).where(META.c.name.startswith(_PREFIX))
        found = {row.name: row.value for row in connection.execute(query)}
        if found != self._stamps():
            return True
        names = set(inspect(connection).get_table_names())
        return not names.issuperset(table.name for table in self._tables())

    def run(self, connection: Connection) -> RebuildReport:
        """Drop and replay all read tables in the transaction of ``connection``."""
        tables = self._tables()
        for metadata in {id(table.metadata): table.metadata for table in tables}.values():
            _make_anew(connection, metadata, tables)
        events = self._replay(connection)
        connection.execute(delete(META).where(META.c.name.startswith(_PREFIX)))
        for name, value in self._stamps().items():
            connection.execute(insert(META).values(name=name, value=value))
        return RebuildReport(events, len(tables))

    def _tables(self) -> list[Table]:
        return [table for projection in self._projections for table in projection.tables]

    def _stamps(self) -> Mapping[str, str]:
        return {f"{_PREFIX}{each.name}": str(each.version) for each in self._projections}

    def _replay(self, connection: Connection) -> int:
        total = connection.execute(select(HEAD.c.seq)).scalar_one()
        replay = _Replay(self._projections, self._aggregate_of)
        self._progress(0, total)
        with closing(every_event(driver(connection))) as rows:
            # Event by event, so that none is held: what lives longer costs its garbage collection.
            Statements().apply(connection, replay.writes(self._watched(rows, total)))
        self._progress(replay.events, total)
        return replay.events

    def _watched(self, rows: Iterable[StoredEvent], total: int) -> Iterator[StoredEvent]:
        for number, row in enumerate(rows):
            if number % PAGE == 0 and number:
                self._progress(number, total)
            yield row


class _Replay:
    """The states of all streams on their way through the whole journal."""

    def __init__(self, projections: Sequence[Projection], aggregate_of: Callable[[str], Aggregate]):
        self.events = 0
        self._writers = [projection.writes for projection in projections]
        self._aggregate_of = aggregate_of
        self._streams: dict[str, tuple[Aggregate, Any]] = {}

    def writes(self, rows: Iterable[StoredEvent]) -> Iterator[Write]:
        """The statements of every event, in order."""
        streams, writers = self._streams, self._writers
        for row in rows:
            envelope = recording.envelope_of(row)
            stream = row.stream
            aggregate, before = streams.get(stream) or self._begin(stream)
            after = aggregate.evolve(before, envelope)
            streams[stream] = aggregate, after
            self.events += 1
            for writes in writers:
                yield from writes(envelope, before, after)

    def _begin(self, stream: str) -> tuple[Aggregate, Any]:
        aggregate = self._aggregate_of(stream)
        return aggregate, aggregate.initial(stream)


def _make_anew(connection: Connection, metadata: MetaData, tables: Sequence[Table]) -> None:
    ours = [table for table in tables if table.metadata is metadata]
    metadata.drop_all(connection, tables=ours)
    metadata.create_all(connection, tables=ours)
