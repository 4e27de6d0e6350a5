"""A fold that the writer overtakes, and readers on many threads while streams are let go."""

import threading
from pathlib import Path

import pytest

from core.journal.journal import Journal
from core.journal.states import States
from tests.journals import Count, Counter, count, counters

A, B = "counter:a", "counter:b"


@pytest.mark.parametrize("let_go", [False, True])
def test_a_fold_that_was_overtaken_is_not_kept(journal: Journal, *, let_go: bool) -> None:
    count(journal, A, 1)

    class Overtaken(Counter):
        states: States

        def initial(self, stream: str) -> Count:
            """As if the writer had committed between the fold's beginning and its end."""
            self.states.publish({A: (9, Count(99))})
            if let_go:
                self.states.publish({B: (1, Count(1))})
            return super().initial(stream)

    guard = Overtaken()
    states = guard.states = States({"counter": guard}, journal._store, most=1)
    assert states.get(A) == ((1, Count(1)) if let_go else (9, Count(99)))
    assert dict(states._known) == ({B: (1, Count(1))} if let_go else {A: (9, Count(99))})


@pytest.mark.slow
def test_readers_on_many_threads_never_see_a_version_go_back(path: Path) -> None:
    with counters(path) as journal:
        journal._states._most = 2  # so that folding and letting go race with publishing
        streams = [f"counter:{n}" for n in range(6)]
        seen: list[list[int]] = []
        over = threading.Event()

        def watch(stream: str) -> None:
            versions = []
            while not over.is_set():
                version, state = journal.state(stream)
                assert state == Count(version)
                versions.append(version)
            seen.append(versions)

        threads = [threading.Thread(target=watch, args=(each,)) for each in streams[:4]]
        for thread in threads:
            thread.start()
        for n in range(150):
            count(journal, streams[n % 6], 1)
        over.set()
        for thread in threads:
            thread.join(20)
        assert len(seen) == 4
        assert all(versions == sorted(versions) for versions in seen)
        assert {journal.state(stream) for stream in streams} == {(25, Count(25))}
