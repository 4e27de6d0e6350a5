"""Replays every event into the read tables, and knows when that is due.

The tables it drops are the projections' own; the stored tables are never touched.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, MetaData, Table, delete, insert, inspect, select

from core.journal import recording
from core.journal.envelope import Envelope
from core.journal.interfaces import Aggregate, Projection, Write
from core.journal.statements import Statements
from core.journal.store import EVENT, HEAD, META, STORED

PAGE = 5_000  # events
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
        statements, states = Statements(), dict[str, Any]()
        events = after = 0
        query = select(*STORED).order_by(EVENT.c.seq).limit(PAGE)
        while rows := connection.execute(query.where(EVENT.c.seq > after)).all():
            page = recording.envelopes_of(rows)
            statements.apply(connection, self._writes(page, states))
            after = page[-1].seq
            events += len(page)
            self._progress(events, total)
        return events

    def _writes(self, page: Sequence[Envelope], states: dict[str, Any]) -> Iterator[Write]:
        for envelope in page:
            stream = envelope.stream
            aggregate = self._aggregate_of(stream)
            before = states[stream] if stream in states else aggregate.initial(stream)
            after = states[stream] = aggregate.evolve(before, envelope)
            for projection in self._projections:
                yield from projection.writes(envelope, before, after)


def _make_anew(connection: Connection, metadata: MetaData, tables: Sequence[Table]) -> None:
    ours = [table for table in tables if table.metadata is metadata]
    metadata.drop_all(connection, tables=ours)
    metadata.create_all(connection, tables=ours)
