"""Appending, reading, states and followers, as everyone uses them."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.context import Context
from core.errors import CockpitError, Conflict, Invalid, Refused
from core.journal.envelope import Envelope, Event
from core.journal.interfaces import Append
from core.journal.journal import Journal
from tests.journals import COUNTERS, Count, Counted, Stopped, count, counters, rows

C = "counter:a"


def _wait(free: threading.Event) -> None:
    assert free.wait(10)


def test_an_append_comes_back_as_it_was_recorded(journal: Journal) -> None:
    done = count(
        journal, C, 1, 2, causation_id="cause", correlation_id="story", idempotency_key="once"
    )
    assert [(e.seq, e.version, e.stream, e.kind) for e in done] == [
        (1, 1, C, "test.counted"),
        (2, 2, C, "test.counted"),
    ]
    assert {(e.actor, e.causation_id, e.correlation_id) for e in done} == {
        ("operator", "cause", "story")
    }
    assert [e.idempotency_key for e in done] == ["once", None]
    assert done[1].prev_hash == done[0].hash
    assert len({e.id for e in done}) == 2
    assert journal.read() == done
    assert journal.state(C) == (2, Count(3))
    assert journal.head() == 2


def test_times_are_stored_in_utc_to_the_microsecond(path: Path) -> None:
    at = datetime(2026, 3, 2, 14, 5, 6, 7, tzinfo=UTC)
    with counters(path, context=Context(now=lambda: at)) as journal:
        recorded = count(journal, C, 1)
        assert journal.read() == recorded
        assert recorded[0].at == at
        assert recorded[0].at.utcoffset() == timedelta(0)
        with journal.query() as connection:
            stored = connection.exec_driver_sql("SELECT at FROM event").scalar()
        assert stored == "2026-03-02T14:05:06.000007Z"


def test_everything_is_there_after_reopening(path: Path) -> None:
    with counters(path) as journal:
        done = count(journal, C, 1, 2, 3)
    with counters(path) as journal:
        assert journal.read() == done
        assert journal.state(C) == (3, Count(6))
        assert count(journal, C, 1)[0].prev_hash == done[-1].hash
        assert journal.verify().ok


def test_a_stream_at_another_version_than_expected_is_a_conflict(journal: Journal) -> None:
    count(journal, C, 1, expected=0)
    with pytest.raises(Conflict) as conflict:
        count(journal, C, 1, expected=0)
    assert conflict.value.data == {"stream": C, "expected": 0, "actual": 1}
    assert count(journal, C, 1, expected=1)[0].version == 2
    assert journal.head() == 2


def test_of_two_who_expect_the_same_version_one_wins(journal: Journal) -> None:
    futures = [journal.append(C, [Counted(by=1)], actor="system", expected=0) for _ in range(20)]
    errors = [f.exception(10) for f in futures]
    assert [type(e) for e in errors].count(type(None)) == 1
    assert {type(e) for e in errors} == {type(None), Conflict}
    assert journal.state(C) == (1, Count(1))


class Undeclared(Event):
    """A payload outside the closed list."""

    kind = "test.undeclared"


class Disguised(Counted):
    """A subclass that says it is of a declared kind."""

    more: int = 0


@pytest.mark.parametrize("event", [Undeclared(), Disguised(by=1, more=3)])
def test_what_is_not_in_the_closed_list_is_refused(journal: Journal, event: Event) -> None:
    with pytest.raises(Refused) as refused:
        journal.append(C, [Counted(by=1), event], actor="operator").result(10)
    assert refused.value.code == "UNKNOWN_EVENT_KIND"
    assert journal.read() == []


@pytest.mark.parametrize(
    "event",
    [
        Counted.model_construct(by="many"),  # type: ignore[arg-type]
        Counted.model_construct(by=1.5),  # type: ignore[arg-type]
        Counted.model_construct(by=None),  # type: ignore[arg-type]
        Counted.model_construct(by=1, note=object()),  # type: ignore[arg-type]
        Counted.model_construct(by=1, note="\ud800"),
        Counted.model_construct(by=10**400),
        Counted(by=1, note="x" * (1 << 20)),
    ],
)
def test_a_payload_that_fails_its_model_is_refused(journal: Journal, event: Event) -> None:
    with pytest.raises(Invalid) as refused:
        journal.append(C, [Counted(by=1), event], actor="operator").result(10)
    assert refused.value.data["field"] == "test.counted"
    assert journal.read() == []
    assert journal.state(C) == (0, Count(0))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"events": {}}, "events"),
        ({"events": {C: []}}, "events"),
        ({"events": {C: [Counted(by=1)], "counter:b": []}}, "events"),
        ({"events": {"nobody:a": [Counted(by=1)]}}, "stream"),
        ({"events": {"": [Counted(by=1)]}}, "stream"),
        ({"events": {"counter:a\nb": [Counted(by=1)]}}, "stream"),
        ({"events": {"counter:" + "a" * 500: [Counted(by=1)]}}, "stream"),
        ({"actor": ""}, "actor"),
        ({"actor": "somebody"}, "actor"),
        ({"actor": "coder:"}, "actor"),
        ({"actor": "validator:other"}, "actor"),
        ({"actor": "operator\n"}, "actor"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"causation_id": "\ud800"}, "causation_id"),
        ({"correlation_id": "x" * 501}, "correlation_id"),
    ],
)
def test_an_append_that_makes_no_sense_is_refused(
    journal: Journal, changes: dict[str, Any], field: str
) -> None:
    good: dict[str, Any] = {"events": {C: [Counted(by=1)]}, "actor": "operator", "expected": {}}
    with pytest.raises(Invalid) as refused:
        journal.append_all(Append(**(good | changes))).result(10)
    assert refused.value.data["field"] == field
    assert journal.read() == []


@pytest.mark.parametrize(
    "actor",
    ["operator", "planner", "reviewer", "harness", "system", "validator:openai",
     "validator:gemini", "coder:r-1", "automation:nightly rule", "bridge:telegram"],
)  # fmt: skip
def test_every_actor_of_the_domain_may_append(journal: Journal, actor: str) -> None:
    assert journal.append(C, [Counted(by=1)], actor=actor).result(10)[0].actor == actor


def test_a_forbidden_move_writes_nothing_and_costs_the_others_nothing(journal: Journal) -> None:
    """They stand in one group: the writer is kept busy until all are queued."""
    free = threading.Event()
    end = journal.subscribe(lambda _: _wait(free))
    first = journal.append("counter:busy", [Counted(by=1)], actor="system")
    good, bad = [Counted(by=1), Counted(by=1)], [Counted(by=1), Stopped(), Stopped()]
    futures = [
        journal.append(f"counter:{n}", bad if n % 3 == 0 else good, actor="system")
        for n in range(30)
    ]
    free.set()
    errors = [future.exception(10) for future in (first, *futures)]
    end()
    for n, error in enumerate(errors[1:]):
        if n % 3 == 0:
            assert isinstance(error, Refused)
            assert error.code == "COUNTER_STOPPED"
            assert journal.state(f"counter:{n}") == (0, Count(0))
        else:
            assert error is None
            assert journal.state(f"counter:{n}") == (2, Count(2))
    assert len(journal.read()) == journal.head() == 41
    assert journal.verify().ok


def test_events_of_several_streams_are_recorded_together(journal: Journal) -> None:
    both = Append(
        {"counter:b": [Counted(by=2)], C: [Counted(by=1), Counted(by=1)]}, "system", {C: 0}
    )
    done = journal.append_all(both).result(10)
    assert [(e.seq, e.stream, e.version) for e in done] == [
        (1, "counter:b", 1),
        (2, C, 1),
        (3, C, 2),
    ]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ({C: [Counted(by=1)], "counter:b": [Stopped(), Stopped()]}, {}),
        ({C: [Counted(by=1)], "counter:b": [Counted(by=1)]}, {"counter:b": 7}),
        ({C: [Counted(by=1)], "nobody:b": [Counted(by=1)]}, {}),
        ({C: [Counted(by=1)]}, {"counter:c": 7}),
    ],
)
def test_or_none_of_them(
    journal: Journal, events: dict[str, list[Event]], expected: dict[str, int]
) -> None:
    with pytest.raises(Refused):
        journal.append_all(Append(events, "system", expected)).result(10)
    assert journal.read() == []
    assert journal.state(C) == (0, Count(0))
    assert count(journal, C, 1)[0].seq == 1


def test_reading_a_part(journal: Journal) -> None:
    count(journal, C, 1, 1, 1)
    count(journal, "counter:b", 1, 1)
    assert [e.seq for e in journal.read(after=1, until=4)] == [2, 3, 4]
    assert [e.seq for e in journal.read(stream="counter:b")] == [4, 5]
    assert [e.seq for e in journal.read(limit=2)] == [1, 2]
    assert len(journal.read(limit=None)) == 5


def test_the_state_as_it_was(journal: Journal) -> None:
    count(journal, C, 1, 2)
    count(journal, "counter:b", 5)
    count(journal, C, 3)
    seen = [journal.state_at(C, seq) for seq in range(6)]
    assert [(v, s.total) for v, s in seen] == [(0, 0), (1, 1), (2, 3), (2, 3), (3, 6), (3, 6)]
    with pytest.raises(Invalid):
        journal.state_at("nobody:a", 1)


def test_states_are_right_from_many_threads(path: Path) -> None:
    """A reader never sees a version fall, nor a state that is not its version's."""
    with counters(path) as journal:
        stop = threading.Event()

        def watch() -> list[str]:
            last, wrong = 0, []
            while not stop.is_set():
                version, state = journal.state(C)
                if version < last or state.total != version:
                    wrong.append(f"{version} after {last}: {state}")
                last = version
            return wrong

        with ThreadPoolExecutor(6) as pool:
            watchers = [pool.submit(watch) for _ in range(4)]
            futures = [journal.append(C, [Counted(by=1)], actor="system") for _ in range(300)]
            for future in futures:
                version, state = future.result(10)[0].version, journal.state(C)
                assert state[0] >= version, "an acknowledged event is in the state"
            stop.set()
            assert [w.result(10) for w in watchers] == [[], [], [], []]


_appends = st.lists(
    st.tuples(
        st.sampled_from(["counter:a", "counter:b", "counter:c"]),
        st.lists(st.integers(-3, 3), min_size=1, max_size=4),
        st.none() | st.integers(0, 6),
        st.none() | st.sampled_from(["k1", "k2"]),
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(appends=_appends)
def test_whatever_is_appended_at_once_the_journal_agrees_with_itself(
    tmp_path_factory: pytest.TempPathFactory,
    appends: list[tuple[str, list[int], int | None, str | None]],
) -> None:
    path = tmp_path_factory.mktemp("random") / "journal.db"
    with counters(path) as journal:

        def one(
            append: tuple[str, list[int], int | None, str | None],
        ) -> Future[list[Envelope]]:
            stream, by, expected, key = append
            return journal.append(
                stream, [Counted(by=n) for n in by], actor="system", expected=expected,
                idempotency_key=key,
            )  # fmt: skip

        with ThreadPoolExecutor(4) as pool:
            futures = list(pool.map(one, appends))
        answers = [f.exception(10) or f.result() for f in futures]
        assert all(isinstance(a, list | CockpitError) for a in answers)
        events = journal.read(limit=None)
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        acknowledged = {e for a in answers if isinstance(a, list) for e in a}
        assert acknowledged == set(events), "all that was acknowledged, and nothing else"
        totals = {row[0]: row[1] for row in rows(journal, COUNTERS)}
        for stream in ("counter:a", "counter:b", "counter:c"):
            of_stream = [e for e in events if e.stream == stream]
            assert [e.version for e in of_stream] == list(range(1, len(of_stream) + 1))
            total = 0
            for envelope in of_stream:
                assert isinstance(envelope.event, Counted)
                total += envelope.event.by
            assert journal.state(stream) == (len(of_stream), Count(total))
            assert totals.get(stream, 0) == total
        assert journal.verify().ok


def test_an_event_without_fields(journal: Journal) -> None:
    done = journal.append(C, [Stopped()], actor="system").result(10)
    assert journal.read() == done
    assert isinstance(done[0].event, Stopped)
