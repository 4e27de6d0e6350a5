"""P7 and P22 as the house does them: real missions, their guards, and every read table.

Each event is of a copy of a whole mission; what is stored is compared with what was meant.
"""

import asyncio
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import orjson

from core.context import Context
from core.journal import recording
from core.journal.chain import GENESIS
from core.journal.envelope import Event
from core.journal.interfaces import Append
from core.journal.journal import Journal
from core.journal.projections import ReadTables
from core.missions.missions import MissionAggregate
from core.planning.sessions import SessionAggregate
from tests.benchmarks.goals import Goal, Pairs
from tests.benchmarks.recorded import Recorded, copies, one_mission

PAIRS = 7
APPENDERS = 64
MISSIONS = 2  # of each appender in one measurement
REPLAYED = 1_000  # missions
_mission = cache(one_mission)


@contextmanager
def _journal(path: Path, *, projected: bool = True) -> Iterator[Journal]:
    journal = Journal.open(
        path,
        context=Context(),
        aggregates={"session": SessionAggregate(), "mission": MissionAggregate()},
        projections=(ReadTables(),) if projected else (),
    )
    try:
        yield journal
    finally:
        journal.close()


def _raw_rate(path: Path, events: Sequence[Recorded]) -> float:
    """Events a second, one INSERT a commit, by the driver alone, without index or chain."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE event (seq INTEGER PRIMARY KEY, stream TEXT, kind TEXT, payload TEXT)"
        )
        started = time.perf_counter()
        for number, event in enumerate(events, 1):
            connection.execute("BEGIN IMMEDIATE")
            row = (number, event.stream, event.kind, event.payload)
            connection.execute("INSERT INTO event VALUES (?, ?, ?, ?)", row)
            connection.execute("COMMIT")
        took = time.perf_counter() - started
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (len(events),)
    return len(events) / took


async def _append(journal: Journal, work: Sequence[Sequence[tuple[str, Event]]]) -> None:
    async def appender(events: Sequence[tuple[str, Event]]) -> None:
        for stream, event in events:
            await journal.write(stream, [event], actor="harness")

    async with asyncio.TaskGroup() as group:
        for events in work:
            group.create_task(appender(events))


def _our_rate(path: Path, missions: Sequence[Sequence[Recorded]]) -> float:
    share = len(missions) // APPENDERS
    work = [
        [(e.stream, e.event()) for mission in missions[n : n + share] for e in mission]
        for n in range(0, len(missions), share)
    ]
    meant = sorted((e.stream, e.kind, e.payload) for mission in missions for e in mission)
    with _journal(path) as journal:
        started = time.perf_counter()
        asyncio.run(_append(journal, work))
        took = time.perf_counter() - started
        with journal.query() as connection:
            found = connection.exec_driver_sql("SELECT stream, kind, payload FROM event")
            assert sorted(map(tuple, found)) == meant
        _check_tables(journal, missions)
        assert journal.verify().ok
    return len(meant) / took


def _check_tables(journal: Journal, missions: Sequence[Sequence[Recorded]]) -> None:
    """The read tables hold what the events say."""
    kinds = Counter(event.kind for mission in missions for event in mission)
    wanted = {
        "session": kinds["session.started"],
        "mission WHERE decision = 'AUTO_MERGE'": kinds["mission.decided"],
        "task WHERE state = 'done'": kinds["task.done"],
        "message": kinds["message.added"],
        "stage WHERE outcome = 'done'": kinds["step.started"] + kinds["task.started"],
        "verdict": kinds["verdict.recorded"],
        "model_usage": kinds["usage.recorded"],
        "approval WHERE state = 'approved'": kinds["approval.decided"],
    }
    with journal.query() as connection:
        for table, rows in wanted.items():
            found = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
            assert found == rows, f"{table}: {found} rows, not {rows}"


def _appending() -> Pairs:
    pairs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="cockpit-") as name:
        for number in range(PAIRS + 1):
            count = APPENDERS * MISSIONS
            missions = list(copies(_mission(), number * count, count))
            flat = [event for mission in missions for event in mission]
            raw = _raw_rate(Path(name) / f"raw-{number}.db", flat)
            pairs.append((raw, _our_rate(Path(name) / f"ours-{number}.db", missions)))
    return pairs[1:]  # the first warmed both up


def _fill(path: Path, missions: int) -> int:
    """Make a journal of whole missions in bulk, with the rows that appending would have made."""
    with _journal(path, projected=False):
        pass
    context, before, seq = Context(), GENESIS, 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for mission in copies(_mission(), 0, missions):
            versions: Counter[str] = Counter()
            rows = []
            for event in mission:
                seq += 1
                versions[event.stream] += 1
                at = context.now()
                fields = recording.hashed_fields(
                    Append({event.stream: ()}, "harness", {}),
                    event.kind,
                    place=(seq, context.ulid(at), event.stream, versions[event.stream]),
                    at=recording.stamp(at),
                    first_of=1,
                )
                rows.append(recording.seal(fields, event.payload.encode(), before))
                before = rows[-1].hash
            connection.executemany(recording.INSERT, rows)
        connection.execute("UPDATE journal_head SET seq = ?, hash = ?", (seq, before))
        connection.execute("COMMIT")
    return seq


def _trivial_fold(path: Path, events: int) -> float:
    """Events a second: read each row, parse its payload, count it."""
    started = time.perf_counter()
    states: dict[str, int] = {}
    with closing(sqlite3.connect(path)) as connection:
        for stream, payload in connection.execute("SELECT stream, payload FROM event ORDER BY seq"):
            states[stream] = states.get(stream, 0) + bool(orjson.loads(payload))
    took = time.perf_counter() - started
    assert sum(states.values()) == events
    return events / took


def _rebuild_rate(journal: Journal, events: int) -> float:
    started = time.perf_counter()
    report = journal.rebuild()
    took = time.perf_counter() - started
    assert report.events == events
    _check_tables(journal, list(copies(_mission(), 0, REPLAYED)))
    return events / took


def _rebuilding() -> Pairs:
    with tempfile.TemporaryDirectory(prefix="cockpit-") as name:
        path = Path(name) / "journal.db"
        events = _fill(path, REPLAYED)
        with _journal(path) as journal:
            assert journal.verify().ok
            return [
                (_trivial_fold(path, events), _rebuild_rate(journal, events)) for _ in range(PAIRS)
            ]


GOALS = (
    Goal(
        "P7-house",
        "64 appenders of whole missions with all read tables, against raw one a commit",
        1.0,
        at_least=True,
        unit="events/s",
        measure=_appending,
    ),
    Goal(
        "P22-house",
        f"rebuilding all read tables from {REPLAYED:,} whole missions against a trivial fold",
        0.2,
        at_least=True,
        unit="events/s",
        measure=_rebuilding,
    ),
)
