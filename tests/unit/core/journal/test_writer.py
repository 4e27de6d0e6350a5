"""What goes wrong stays with the guilty; the writer lives; what was acknowledged is there."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.context import Context
from core.errors import Broken, CockpitError, Refused, Unavailable
from core.journal.envelope import Envelope
from core.journal.interfaces import Append
from core.journal.journal import Journal
from core.journal.writer import MAX_GROUP, Job
from tests.journals import COUNTERS, STEPS, Count, Counted, Stopped, count, counters, rows

C = "counter:a"
REPO = Path(__file__).parents[4]
BUGS = ("a bug in the guard", "a bug in the projection", "no row fits")


@contextmanager
def one_group(journal: Journal) -> Iterator[None]:
    """What is appended inside waits until the end, and is then taken together."""
    free, busy = threading.Event(), threading.Event()

    def wait(_: int) -> None:
        busy.set()
        assert free.wait(20)

    end = journal.subscribe(wait)
    first = journal.append("counter:busy", [Counted(by=1)], actor="system")
    assert busy.wait(20)
    end()
    try:
        yield
    finally:
        free.set()
        first.result(20)


def _outcomes(futures: list[Future[list[Envelope]]]) -> list[str]:
    errors = [future.exception(20) for future in futures]
    return ["" if e is None else getattr(e, "code", repr(e)) for e in errors]


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_fails_only_the_append_that_meets_it(journal: Journal, bug: str) -> None:
    with one_group(journal):
        futures = [
            journal.append(
                f"counter:{n}",
                [Counted(by=1), Counted(by=2, note=bug if n == 7 else "")],
                actor="system",
            )
            for n in range(12)
        ]
    assert _outcomes(futures) == ["BROKEN" if n == 7 else "" for n in range(12)]
    error = futures[7].exception()
    assert isinstance(error, Broken)
    assert journal.state("counter:7") == (0, Count(0))
    assert journal.state("counter:8") == (2, Count(3))
    assert [e.seq for e in journal.read()] == list(range(1, 24))
    assert len(rows(journal, STEPS)) == 23
    assert "counter:7" not in {row[0] for row in rows(journal, COUNTERS)}
    assert count(journal, "counter:7", 1)[0].version == 1
    assert journal.verify().ok


def test_a_clock_that_fails_does_not_end_the_writer(path: Path) -> None:
    broken = threading.Event()

    def now() -> datetime:
        if broken.is_set():
            raise OverflowError("no such time")
        return datetime(2026, 3, 2, tzinfo=UTC)

    with counters(path, context=Context(now=now)) as journal:
        broken.set()
        with pytest.raises(Broken):
            count(journal, C, 1)
        broken.clear()
        assert count(journal, C, 1)[0].seq == 1


def test_a_number_that_the_table_cannot_hold_fails_only_its_append(journal: Journal) -> None:
    with one_group(journal):
        good = journal.append(C, [Counted(by=1)], actor="system")
        huge = journal.append("counter:b", [Counted(by=2**63)], actor="system")
        after = journal.append(C, [Counted(by=1)], actor="system")
    assert _outcomes([good, after]) == ["", ""]
    assert isinstance(huge.exception(20), CockpitError)
    assert journal.state("counter:b") == (0, Count(0))


def test_a_job_that_fails_is_rolled_back_and_the_writer_lives(journal: Journal) -> None:
    count(journal, C, 1)

    def half_done(connection: Any) -> None:
        connection.exec_driver_sql("DELETE FROM test_counter")
        raise ZeroDivisionError

    future: Future[Any] = Future()
    journal._writer.submit(Job(half_done, future))
    assert isinstance(future.exception(20), Broken)
    assert len(rows(journal, COUNTERS)) == 1
    assert count(journal, C, 1)[0].seq == 2


def test_an_append_that_was_cancelled_in_time_is_not_recorded(journal: Journal) -> None:
    with one_group(journal):
        futures = [journal.append(C, [Counted(by=n)], actor="system") for n in (1, 2, 4)]
        assert futures[1].cancel()
    assert [f.cancelled() or f.result(20)[0].version for f in futures] == [1, True, 2]
    assert journal.state(C) == (2, Count(5))


def test_more_appends_than_fit_into_one_group(journal: Journal) -> None:
    with one_group(journal):
        futures = [
            journal.append(f"counter:{n % 5}", [Counted(by=1)], actor="system")
            for n in range(MAX_GROUP * 2 + 10)
        ]
    assert {f.result(20)[0].stream for f in futures} == {f"counter:{n}" for n in range(5)}
    assert journal.head() == MAX_GROUP * 2 + 11
    assert journal.verify().ok


# Idempotency keys


def test_a_repeat_returns_all_that_was_recorded(journal: Journal) -> None:
    events = {C: [Counted(by=1), Counted(by=2)], "counter:b": [Counted(by=3)]}
    append = Append(events, "system", {C: 0}, idempotency_key="once")
    done = journal.append_all(append).result(20)
    count(journal, C, 5)
    assert journal.append_all(append).result(20) == done
    assert len(done) == 3
    assert journal.head() == 4


def test_a_repeat_with_other_events_returns_what_was_recorded(path: Path) -> None:
    with counters(path) as journal:
        done = count(journal, C, 1, 2, idempotency_key="once")
    with counters(path) as journal:
        assert count(journal, "counter:b", 9, idempotency_key="once") == done
        assert journal.state("counter:b") == (0, Count(0))


def test_repeats_in_one_group_are_recorded_once(journal: Journal) -> None:
    with one_group(journal):
        futures = [
            journal.append(C, [Counted(by=1), Counted(by=n)], actor="system", idempotency_key="k")
            for n in range(5)
        ]
    answers = [future.result(20) for future in futures]
    assert all(answer == answers[0] for answer in answers)
    assert journal.state(C) == (2, Count(1))


def test_a_key_is_free_again_when_its_append_was_refused(journal: Journal) -> None:
    with pytest.raises(Refused):
        journal.append(C, [Stopped(), Stopped()], actor="system", idempotency_key="k").result(20)
    with pytest.raises(Broken):
        journal.append(
            C, [Counted(by=1, note="no row fits")], actor="system", idempotency_key="k"
        ).result(20)
    assert count(journal, C, 1, idempotency_key="k")[0].seq == 1


# A full disk


def _pages(journal: Journal, most: str) -> None:
    future: Future[Any] = Future()
    journal._writer.submit(
        Job(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {most}").scalar(), future)
    )
    future.result(20)


def test_a_full_disk_refuses_whole_appends_and_later_ones_work(journal: Journal) -> None:
    done = count(journal, C, 1)
    _pages(journal, "1")  # no more pages than there are
    large = [Counted(by=1, note="x" * 50_000)] * 4
    with one_group(journal):
        futures = [journal.append(f"counter:{n}", large, actor="system") for n in range(3)]
    errors = [future.exception(20) for future in futures]
    assert [getattr(e, "code", "") for e in errors] == ["HOLD-DISK-SPACE"] * 3
    assert all(isinstance(e, Unavailable) for e in errors)
    assert journal.read(stream=C) == done
    assert {e.stream for e in journal.read()} == {C, "counter:busy"}
    assert journal.state("counter:0") == (0, Count(0))
    _pages(journal, "1000000")
    assert journal.append("counter:0", large, actor="system").result(20)[3].version == 4
    assert journal.verify().ok
    assert len(rows(journal, STEPS)) == journal.head()


# Closing


def test_closing_records_what_waits(path: Path) -> None:
    with counters(path) as journal:
        with ThreadPoolExecutor(1) as pool:
            with one_group(journal):
                futures = [journal.append(C, [Counted(by=1)], actor="system") for _ in range(50)]
                closing = pool.submit(journal.close)
            closing.result(20)
        assert [f.result(0)[0].version for f in futures] == list(range(1, 51))
    with counters(path) as journal:
        assert journal.state(C) == (50, Count(50))


def test_closing_twice_and_using_a_closed_journal(path: Path) -> None:
    with counters(path) as journal:
        count(journal, C, 1)
        journal.close()
        journal.close()
        for future in (
            journal.append(C, [Counted(by=1)], actor="system"),
            journal.append_all(Append({C: [Counted(by=1)]}, "system", {})),
        ):
            assert _outcomes([future]) == ["JOURNAL_CLOSED"]
        with pytest.raises(Refused, match="closed"):
            journal.rebuild()


def test_appends_that_race_with_closing_are_recorded_or_refused(path: Path) -> None:
    with counters(path) as journal, ThreadPoolExecutor(5) as pool:
        racing = [
            pool.submit(
                lambda n=n: [  # type: ignore[misc]
                    journal.append(f"counter:{n}", [Counted(by=1)], actor="system")
                    for _ in range(100)
                ]
            )
            for n in range(4)
        ]
        pool.submit(journal.close).result(20)
        outcomes = [_outcomes(each.result(20)) for each in racing]
    with counters(path) as journal:
        for n, found in enumerate(outcomes):
            assert set(found) <= {"", "JOURNAL_CLOSED"}
            assert journal.state(f"counter:{n}")[0] == found.count("")
        assert journal.verify().ok


# A killed process

_APPENDER = """
import sys
from pathlib import Path
from tests.journals import Counted, open_counters

journal = open_counters(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    futures = [
        journal.append(f"counter:{n}", [Counted(by=1), Counted(by=number)], actor="system")
        for n in range(8)
    ]
    for future in futures:
        for envelope in future.result():
            print(envelope.seq, envelope.id, envelope.hash, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 150, 700])
def test_every_acknowledged_event_survives_a_kill(path: Path, lines: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _APPENDER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )
    assert child.stdout is not None
    with child.stdout:
        told = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
    assert child.wait(20) == -signal.SIGKILL
    acknowledged = {tuple(line.split()) for line in told if line.endswith("\n")}
    assert len(acknowledged) >= lines
    with counters(path) as journal:
        stored = {(str(e.seq), e.id, e.hash) for e in journal.read(limit=None)}
        assert acknowledged <= stored
        report = journal.verify()
        assert report.ok
        assert report.events == len(stored)
        assert len(stored) % 2 == 0, "no append is there by half"
        assert len(rows(journal, STEPS)) == len(stored)
        assert count(journal, "counter:0", 1)[0].seq == len(stored) + 1
