"""States of many streams: the least recently used are let go and folded again when asked for."""

import pytest

from core.errors import Invalid
from core.journal.journal import Journal
from core.journal.states import States
from tests.journals import Count, Counter, count

STREAMS = [f"counter:{n}" for n in range(6)]


def _known(states: States) -> list[str]:
    return list(states._known)


def test_at_most_so_many_are_at_hand_and_all_are_right(journal: Journal) -> None:
    for n, stream in enumerate(STREAMS):
        count(journal, stream, n, 1)
    states = States({"counter": Counter()}, journal._store, most=3)
    for _ in range(2):
        for n, stream in enumerate(STREAMS):
            assert states.get(stream) == (2, Count(n + 1))
            assert len(_known(states)) <= 3
    assert _known(states) == STREAMS[3:]


def test_what_is_used_stays_at_hand(journal: Journal) -> None:
    for stream in STREAMS:
        count(journal, stream, 1)
    states = States({"counter": Counter()}, journal._store, most=3)
    for stream in STREAMS:
        states.get(STREAMS[0])
        states.get(stream)
    assert STREAMS[0] in _known(states)


def test_streams_without_events_are_not_kept(journal: Journal) -> None:
    states = States({"counter": Counter()}, journal._store, most=3)
    for n in range(20):
        assert states.get(f"counter:none-{n}") == (0, Count())
    assert _known(states) == []


def test_a_stream_that_was_let_go_is_appended_to_where_it_was(journal: Journal) -> None:
    journal._states._most = 2
    for _ in range(3):
        for stream in STREAMS:
            count(journal, stream, 1)
    assert len(_known(journal._states)) == 2
    assert [journal.state(stream) for stream in STREAMS] == [(3, Count(3))] * 6
    assert journal.verify().ok


def test_a_published_state_is_newer_than_a_folded_one(journal: Journal) -> None:
    count(journal, STREAMS[0], 1)
    states = States({"counter": Counter()}, journal._store, most=3)
    states.publish({STREAMS[0]: (9, Count(9))})
    assert states.get(STREAMS[0]) == (9, Count(9))


def test_a_state_as_it_was(journal: Journal) -> None:
    count(journal, STREAMS[0], 1, 2)
    states = States({"counter": Counter()}, journal._store)
    assert states.fold(STREAMS[0], until=1) == (1, Count(1))
    assert states.fold(STREAMS[0], until=0) == (0, Count(0))


@pytest.mark.parametrize("stream", ["", ":", "nobody:a", "counters:a", "Counter:a"])
def test_a_stream_that_nobody_guards_is_refused(journal: Journal, stream: str) -> None:
    with pytest.raises(Invalid) as refused:
        journal.state(stream)
    assert refused.value.data["field"] == "stream"
