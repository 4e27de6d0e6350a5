"""Rebuilding among others: any history, readers in an old snapshot, progress page by page."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from core.errors import Broken, Refused
from core.journal.envelope import Envelope, Event
from core.journal.interfaces import Write
from core.journal.journal import Journal
from core.journal.rebuilding import PAGE
from tests.journals import (
    COUNTERS,
    STEPS,
    Counted,
    Stopped,
    Totals,
    count,
    counters,
    open_counters,
    rows,
)

C = "counter:a"


class Failing(Totals):
    """A new rule with a bug."""

    version = 3

    def writes(self, envelope: Envelope, before: Any, after: Any) -> Iterable[Write]:
        yield from super().writes(envelope, before, after)
        if envelope.seq == 2:
            raise LookupError("a bug in the new rule")


def _shadow(journal: Journal) -> list[list[tuple[Any, ...]]]:
    return [rows(journal, COUNTERS), rows(journal, STEPS)]


def _fill(journal: Journal) -> None:
    count(journal, C, 1, 2, 3)
    count(journal, "counter:b", 5)
    journal.append(C, [Stopped()], actor="operator").result(10)
    count(journal, "counter:b", 7)


_MOVES = st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.integers(-9, 9), max_size=3), st.booleans()),
    max_size=12,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(moves=_MOVES)
def test_a_rebuild_ends_with_identical_rows(
    moves: list[tuple[str, list[int], bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with counters(tmp_path_factory.mktemp("j") / "journal.db") as journal:
        for name, steps, stop in moves:
            events: list[Event] = [Counted(by=step, note=str(step)) for step in steps]
            events += [Stopped()] if stop else []
            journal.append(f"counter:{name}", events, actor="operator").exception(10)
        before = _shadow(journal)
        assert journal.rebuild().events == journal.head()
        assert _shadow(journal) == before


def test_a_projection_with_a_bug_leaves_the_tables_as_they_were(path: Path) -> None:
    with counters(path) as journal:
        _fill(journal)
        before = _shadow(journal)
    for _ in range(2):
        with pytest.raises(Broken, match="LookupError"):
            open_counters(path, projections=[Failing()])
    with counters(path) as journal:
        assert _shadow(journal) == before


def test_a_projection_that_came_later_is_filled_and_one_that_went_may_come_back(path: Path) -> None:
    with counters(path, projections=()) as journal:
        _fill(journal)
    with counters(path) as journal:
        full = _shadow(journal)
        assert len(full[1]) == 5
    with counters(path, projections=()) as journal:
        count(journal, "counter:c", 1)
    with counters(path) as journal:
        assert len(rows(journal, STEPS)) == 6, "what it missed is replayed"


def test_a_rebuild_is_one_transaction_and_appends_wait_for_it(journal: Journal) -> None:
    """A reader sees the old rows until all of the new ones are there."""
    _fill(journal)
    with journal.query() as connection:
        seen = connection.execute(STEPS.select()).all()
        done: list[object] = []
        thread = threading.Thread(target=lambda: done.append(journal.rebuild()))
        thread.start()
        futures = [journal.append("counter:d", [Counted(by=1)], actor="system") for _ in range(9)]
        assert [future.result(20)[0].version for future in futures] == list(range(1, 10))
        thread.join(20)
        assert done
        assert connection.execute(STEPS.select()).all() == seen
    assert len(rows(journal, STEPS)) == len(seen) + 9
    assert journal.verify().ok


@pytest.mark.slow
def test_progress_is_told_page_by_page(path: Path) -> None:
    told: list[tuple[int, int]] = []
    events = [Counted(by=1)] * 1_000
    with counters(path, projections=()) as journal:
        for _ in range(2 * PAGE // 1_000):
            journal.append(C, events, actor="system")
        count(journal, C, 1)
    with counters(path, progress=lambda *how: told.append(how)) as journal:
        total = 2 * PAGE + 1
        assert told == [(0, total), (PAGE, total), (2 * PAGE, total), (total, total)]
        assert len(rows(journal, STEPS)) == total


def test_the_stored_tables_are_never_touched(path: Path) -> None:
    with counters(path) as journal:
        _fill(journal)
        before = journal.read()
        journal.rebuild()
        assert journal.read() == before
        assert journal.verify().ok


def test_reading_cannot_write(journal: Journal) -> None:
    with journal.query() as connection, pytest.raises(Exception, match="readonly"):
        connection.execute(insert(STEPS).values(seq=1, stream=C, by=1, note=""))


def test_a_closed_journal_says_so(path: Path) -> None:
    with counters(path) as journal:
        pass
    for ask in (journal.read, journal.rebuild, lambda: journal.state(C), journal.verify):
        with pytest.raises(Refused, match="closed"):
            ask()
