"""Followers hear everything in order; subscribers hear what is already true."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from core.journal.journal import Journal
from tests.journals import Counted, count, counters

C = "counter:a"


def _wait(free: threading.Event) -> None:
    assert free.wait(10)


@pytest.mark.asyncio
async def test_a_follower_hears_everything_in_order_without_a_gap(path: Path) -> None:
    with counters(path) as journal:
        heard: dict[str, list[int]] = {"quick": [], "slow": [], "late": []}

        async def follow(name: str, after: int, pause: Callable[[], Any]) -> None:
            async with aclosing(journal.follow(after)) as envelopes:  # type: ignore[type-var]
                async for envelope in envelopes:
                    heard[name].append(envelope.seq)
                    await pause()
                    if envelope.seq == 400:
                        return

        async def none() -> None:
            return

        async def a_thread() -> None:
            await asyncio.to_thread(lambda: None)

        async with asyncio.TaskGroup() as group:
            group.create_task(follow("quick", 0, none))
            group.create_task(follow("slow", 0, a_thread))
            for n in range(0, 200, 10):
                await journal.write(f"counter:{n % 3}", [Counted(by=1)] * 10, actor="system")
            group.create_task(follow("late", 150, none))
            futures = [journal.append(C, [Counted(by=1)], actor="system") for _ in range(200)]
            await asyncio.gather(*map(asyncio.wrap_future, futures))
        assert heard["quick"] == heard["slow"] == list(range(1, 401))
        assert heard["late"] == list(range(151, 401))


@pytest.mark.asyncio
async def test_a_cancelled_caller_does_not_undo_the_append(journal: Journal) -> None:
    free = threading.Event()
    end = journal.subscribe(lambda _: _wait(free))
    first = journal.append(C, [Counted(by=1)], actor="system")
    waiting = asyncio.get_running_loop().create_task(
        journal.write("counter:b", [Counted(by=1)], actor="system")
    )
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    free.set()
    await asyncio.wrap_future(first)
    end()
    await journal.write(C, [Counted(by=1)], actor="system")
    assert journal.state("counter:b")[0] in (0, 1), "recorded whole or not at all"
    assert journal.verify().ok


def test_a_subscriber_is_told_only_what_is_true(journal: Journal) -> None:
    told: list[tuple[int, int, int]] = []
    end = journal.subscribe(lambda head: told.append((head, journal.head(), len(journal.read()))))
    count(journal, C, 1)
    count(journal, C, 1, 1)
    count(journal, C, 1)
    end()
    end()
    count(journal, C, 1)
    count(journal, "counter:b", 1)
    heads = [head for head, _, _ in told]
    assert heads[:2] == [1, 3]
    assert set(heads) <= {1, 3, 4}
    assert all(head <= seen and head <= stored for head, seen, stored in told)


def test_a_subscriber_with_a_bug_harms_nobody(journal: Journal) -> None:
    told: list[int] = []

    def broken(_: int) -> None:
        raise ZeroDivisionError("a bug in a subscriber")

    journal.subscribe(broken)
    journal.subscribe(told.append)
    count(journal, C, 1)
    count(journal, C, 1)
    assert count(journal, C, 1)[0].seq == 3
    assert 1 in told


def test_the_same_callback_may_subscribe_twice(journal: Journal) -> None:
    told: list[int] = []
    heard = told.append
    end, end_other = journal.subscribe(heard), journal.subscribe(heard)
    end()
    count(journal, C, 1)
    count(journal, C, 1)
    assert 1 in told, "the other subscription is still there"
    end_other()
