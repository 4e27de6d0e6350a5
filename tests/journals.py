"""Counters: streams, events and a read table of their own, for tests of the journal's engine."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import Field
from sqlalchemy import JSON, Column, DateTime, Integer, MetaData, String, Table, bindparam, update
from sqlalchemy.dialects.sqlite import insert

from core.context import Context
from core.errors import Refused
from core.journal.envelope import Envelope, Event
from core.journal.interfaces import Write
from core.journal.journal import Journal
from core.journal.upcasts import upcast

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Counted(Event, kind="test.counted"):
    """The counter went up. Version 1 knew no note and called the step ``n``."""

    by: int
    note: str = ""


class Paid(Event, kind="test.paid"):
    """Money and time."""

    amount: Decimal
    due: datetime
    facts: dict[str, Any] = Field(default_factory=dict)


class Stopped(Event, kind="test.stopped"):
    """The counter counts no more."""


@upcast("test.counted", 1)
def _named_by(payload: dict[str, Any]) -> dict[str, Any]:
    return {"by": payload["n"]}


@upcast("test.counted", 2)
def _has_note(payload: dict[str, Any]) -> dict[str, Any]:
    return {**payload, "note": "from version 2"}


@dataclass(frozen=True, slots=True)
class Count:
    """The state of a counter."""

    total: int = 0
    stopped: bool = False


class Counter:
    """Refuses to count after a stop, and below zero."""

    def initial(self, stream: str) -> Count:
        return Count()

    def check(self, state: Count, event: Event) -> None:
        if state.stopped:
            raise Refused("COUNTER_STOPPED", "The counter has stopped.")
        if isinstance(event, Counted) and event.note == "a bug in the guard":
            raise KeyError(event.note)

    def evolve(self, state: Count, envelope: Envelope) -> Count:
        event = envelope.event
        if isinstance(event, Counted):
            return replace(state, total=state.total + event.by)
        if isinstance(event, Stopped):
            return replace(state, stopped=True)
        return state


METADATA = MetaData()
COUNTERS = Table(
    "test_counter",
    METADATA,
    Column("stream", String, primary_key=True),
    Column("total", Integer, nullable=False),
    Column("changed_at", DateTime, nullable=False),
    Column("facts", JSON, nullable=False),
)
STEPS = Table(
    "test_step",
    METADATA,
    Column("seq", Integer, primary_key=True),
    Column("stream", String, nullable=False),
    Column("by", Integer, nullable=False),
    Column("note", String, nullable=False),
)
_put = insert(COUNTERS)
PUT_COUNTER = _put.on_conflict_do_update(
    index_elements=["stream"],
    set_={name: _put.excluded[name] for name in ("total", "changed_at")},
)
ADD_STEP = insert(STEPS)
END_STEPS = (
    update(STEPS).where(STEPS.c.stream == bindparam("of")).values(note=STEPS.c.note + " (stopped)")
)


class Totals:
    """Two read tables: a row a counter, and a row a step."""

    name = "totals"
    version = 1
    tables = (COUNTERS, STEPS)

    def writes(self, envelope: Envelope, before: Any, after: Any) -> Iterable[Write]:
        event = envelope.event
        yield (
            PUT_COUNTER,
            {
                "stream": envelope.stream,
                "total": after.total,
                "changed_at": envelope.at,
                "facts": {"first": envelope.seq},
            },
        )
        if isinstance(event, Counted):
            if event.note == "a bug in the projection":
                raise ZeroDivisionError
            row = {"seq": envelope.seq, "stream": envelope.stream, "by": event.by}
            yield ADD_STEP, {**row, "note": None if event.note == "no row fits" else event.note}
        if isinstance(event, Stopped):
            yield END_STEPS, {"of": envelope.stream}


def ticking(start: datetime = START) -> Context:
    """A clock that moves by a millisecond each time it is asked."""
    state = {"at": start}

    def now() -> datetime:
        state["at"] += timedelta(milliseconds=1)
        return state["at"]

    return Context(now=now)


def open_counters(path: Path, **options: Any) -> Journal:
    """A journal of counters, with its projection unless told otherwise."""
    options.setdefault("context", ticking())
    options.setdefault("projections", (Totals(),))
    return Journal.open(path, aggregates={"counter": Counter()}, **options)


@contextmanager
def counters(path: Path, **options: Any) -> Iterator[Journal]:
    """:func:`open_counters`, closed at the end."""
    journal = open_counters(path, **options)
    try:
        yield journal
    finally:
        journal.close()


def rows(journal: Journal, table: Table) -> list[tuple[Any, ...]]:
    """All rows of a read table, in the order of its key."""
    with journal.query() as connection:
        found = connection.execute(table.select().order_by(*table.primary_key.columns))
        return [tuple(row) for row in found]


def count(journal: Journal, stream: str, *steps: int, **how: Any) -> list[Envelope]:
    """Append steps as the operator and wait."""
    how.setdefault("actor", "operator")
    return journal.append(stream, [Counted(by=step) for step in steps], **how).result(30)
