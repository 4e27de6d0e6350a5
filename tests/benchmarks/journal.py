"""P3, P6, P7 and P22: opening, appending and rebuilding, against raw SQLite in the same run.

The control of appending is the least that is durable: one INSERT of one event in one commit, WAL,
``synchronous=FULL``, by the driver alone, with neither indexes nor a chain.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Column, Integer, MetaData, String, Table, insert

from core.context import Context
from core.journal import recording
from core.journal.chain import GENESIS
from core.journal.envelope import Envelope, Event
from core.journal.interfaces import Append, Write
from core.journal.journal import Journal
from tests.benchmarks.goals import Goal, Pairs

PAIRS = 7
APPENDERS = 64
EACH = 60  # events of each of the 64
ALONE = 1_500  # events of the one
SMALL, LARGE = 10_000, 1_000_000
REPLAYED = 200_000
OPENINGS = 9  # in one measurement
_BULK = 20_000


class Printed(Event, kind="benchmark.printed"):
    """About what a milestone of a run holds."""

    run: str
    lines: int
    text: str


def _event(number: int) -> Printed:
    return Printed(run=f"r-{number:010}", lines=number, text="a line that somebody printed")


@dataclass(frozen=True, slots=True)
class Tally:
    """The state of a stream."""

    events: int = 0
    lines: int = 0


class Tallies:
    """A guard that refuses nothing."""

    def initial(self, stream: str) -> Tally:
        """An empty tally."""
        return Tally()

    def check(self, state: Tally, event: Event) -> None:
        """Any move is allowed."""

    def evolve(self, state: Tally, envelope: Envelope) -> Tally:
        """One more."""
        event = envelope.event
        assert isinstance(event, Printed)
        return Tally(state.events + 1, state.lines + event.lines)


PRINTED = Table(
    "benchmark_printed",
    MetaData(),
    Column("seq", Integer, primary_key=True),
    Column("stream", String, nullable=False),
    Column("run", String, nullable=False),
    Column("lines", Integer, nullable=False),
)
_ADD = insert(PRINTED)


class PrintedRows:
    """A projection of one insert an event."""

    name = "printed"
    version = 1
    tables: Sequence[Table] = (PRINTED,)

    def writes(self, envelope: Envelope, before: Any, after: Any) -> Iterable[Write]:
        """The row of the event."""
        event = envelope.event
        assert isinstance(event, Printed)
        yield (
            _ADD,
            {
                "seq": envelope.seq,
                "stream": envelope.stream,
                "run": event.run,
                "lines": event.lines,
            },
        )


@contextmanager
def _journal(path: Path, *, projected: bool) -> Iterator[Journal]:
    projections = [PrintedRows()] if projected else []
    journal = Journal.open(
        path, context=Context(), aggregates={"tally": Tallies()}, projections=projections
    )
    try:
        yield journal
    finally:
        journal.close()


# Appending


def _raw_rate(folder: Path, events: int) -> float:
    """Events a second, one a commit, by the driver alone."""
    path = folder / f"raw-{time.monotonic_ns()}.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE event (seq INTEGER PRIMARY KEY, stream TEXT, kind TEXT, at TEXT,"
            " payload TEXT)"
        )
        payloads = [_event(i).model_dump_json() for i in range(events)]
        started = time.perf_counter()
        for number, payload in enumerate(payloads, 1):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
                (number, "tally:0", "benchmark.printed", "2026-01-01T00:00:00Z", payload),
            )
            connection.execute("COMMIT")
        took = time.perf_counter() - started
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (events,)
    return events / took


async def _append_all(journal: Journal, appenders: int, each: int) -> None:
    async def appender(number: int, events: Sequence[Event]) -> None:
        stream = f"tally:{number}"
        for version, event in enumerate(events):
            await journal.write(stream, [event], actor="harness", expected=version)

    work = [[_event(i) for i in range(each)] for _ in range(appenders)]
    async with asyncio.TaskGroup() as group:
        for number, events in enumerate(work):
            group.create_task(appender(number, events))


def _our_rate(folder: Path, appenders: int, each: int, *, projected: bool) -> float:
    """Events a second through the journal, each awaited by its appender."""
    path = folder / f"ours-{time.monotonic_ns()}.db"
    with _journal(path, projected=projected) as journal:
        started = time.perf_counter()
        asyncio.run(_append_all(journal, appenders, each))
        took = time.perf_counter() - started
        report = journal.verify()
        assert report.ok
        assert report.events == appenders * each
        if projected:
            with journal.query() as connection:
                assert len(connection.execute(PRINTED.select()).all()) == report.events
    return appenders * each / took


def _appending(appenders: int, each: int, *, projected: bool = False) -> Callable[[], Pairs]:
    def measure() -> Pairs:
        with tempfile.TemporaryDirectory(prefix="cockpit-") as name:
            folder = Path(name)
            _our_rate(folder, 2, 50, projected=projected)
            return [
                (
                    _raw_rate(folder, ALONE),
                    _our_rate(folder, appenders, each, projected=projected),
                )
                for _ in range(PAIRS)
            ]

    return measure


# Opening and rebuilding


def _fill(path: Path, events: int) -> None:
    """Make a journal of ``events`` in bulk: the rows that appending would have made."""
    with _journal(path, projected=False):
        pass
    context, streams = Context(), 200
    versions = [0] * streams
    before = GENESIS
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for first in range(1, events + 1, _BULK):
            rows = []
            for seq in range(first, min(first + _BULK, events + 1)):
                number = seq % streams
                versions[number] += 1
                at = context.now()
                stream = f"tally:{number}"
                fields = recording.hashed_fields(
                    Append({stream: ()}, "harness", {}),
                    "benchmark.printed",
                    place=(seq, context.ulid(at), stream, versions[number]),
                    at=recording.stamp(at),
                    first_of=1,
                )
                _, payload = recording.checked(_event(seq))
                row = recording.seal(fields, payload, before)
                before = row.hash
                rows.append(row)
            connection.executemany(recording.INSERT, rows)
        connection.execute("UPDATE journal_head SET seq = ?, hash = ?", (events, before))
        connection.execute("COMMIT")


def _opening_seconds(path: Path, events: int) -> float:
    """How long it takes until the journal answers with its head and one state."""
    started = time.perf_counter()
    for _ in range(OPENINGS):
        with _journal(path, projected=True) as journal:
            assert journal.head() == events
    return (time.perf_counter() - started) / OPENINGS


def _opening() -> Pairs:
    with tempfile.TemporaryDirectory(prefix="cockpit-") as name:
        small, large = Path(name) / "small.db", Path(name) / "large.db"
        for path, events in ((small, SMALL), (large, LARGE)):
            _fill(path, events)
            with _journal(path, projected=True) as journal:
                assert journal.verify().ok
        return [
            (_opening_seconds(small, SMALL), _opening_seconds(large, LARGE)) for _ in range(PAIRS)
        ]


def _trivial_fold(path: Path) -> float:
    """Events a second: read each whole row, parse its payload, add it up."""
    started = time.perf_counter()
    states: dict[str, tuple[int, int]] = {}
    with closing(sqlite3.connect(path)) as connection:
        for row in connection.execute(f"SELECT {', '.join(recording.COLUMNS)} FROM event"):
            stream, payload = row[2], row[12]
            events, lines = states.get(stream, (0, 0))
            states[stream] = events + 1, lines + orjson.loads(payload)["lines"]
    took = time.perf_counter() - started
    assert sum(lines for _, lines in states.values()) == REPLAYED * (REPLAYED + 1) // 2
    return REPLAYED / took


def _rebuild_rate(journal: Journal) -> float:
    started = time.perf_counter()
    report = journal.rebuild()
    took = time.perf_counter() - started
    assert report.events == REPLAYED
    with journal.query() as connection:
        found = connection.exec_driver_sql("SELECT count(*), sum(lines) FROM benchmark_printed")
        assert found.one() == (REPLAYED, REPLAYED * (REPLAYED + 1) // 2)
    return REPLAYED / took


def _rebuilding() -> Pairs:
    with tempfile.TemporaryDirectory(prefix="cockpit-") as name:
        path = Path(name) / "journal.db"
        _fill(path, REPLAYED)
        with _journal(path, projected=True) as journal:
            return [(_trivial_fold(path), _rebuild_rate(journal)) for _ in range(PAIRS)]


GOALS = (
    Goal(
        "P3",
        f"opening at {LARGE:,} events against {SMALL:,}",
        1.2,
        at_least=False,
        unit="s",
        measure=_opening,
    ),
    Goal(
        "P6-64",
        "64 appenders, chained, against raw one a commit",
        2.0,
        at_least=True,
        unit="events/s",
        measure=_appending(APPENDERS, EACH),
    ),
    Goal(
        "P6-one",
        "one appender, chained, against raw one a commit",
        0.4,
        at_least=True,
        unit="events/s",
        measure=_appending(1, ALONE),
    ),
    Goal(
        "P7",
        "64 appenders with chain and a projection of one insert, against raw one a commit",
        1.0,
        at_least=True,
        unit="events/s",
        measure=_appending(APPENDERS, EACH, projected=True),
    ),
    Goal(
        "P22",
        f"rebuilding a read table from {REPLAYED:,} events against a trivial fold",
        0.2,
        at_least=True,
        unit="events/s",
        measure=_rebuilding,
    ),
)
