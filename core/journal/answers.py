"""How the writer answers those who wait: threads by their futures, loops in one call a group.

Waking a loop is a system call that hands over the interpreter; one for each event would cost more
than recording it.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from core.errors import CockpitError


class Awaited:
    """A future of an event loop, answered from the writer's thread."""

    __slots__ = ("future", "loop")

    def __init__(self) -> None:
        """For whoever awaits :attr:`future` on the running loop."""
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def set_running_or_notify_cancel(self) -> bool:
        """Whether someone still waits."""
        return not self.future.cancelled()


Waiting = Future[Any] | Awaited
Answer = tuple[Waiting, Any]


def tell(answers: Iterable[Answer]) -> None:
    """Give each its result, or its error when that is a ``CockpitError``."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for waiting, result in answers:
        if isinstance(waiting, Awaited):
            by_loop.setdefault(waiting.loop, []).append((waiting.future, result))
        elif isinstance(result, CockpitError):
            waiting.set_exception(result)
        else:
            waiting.set_result(result)
    for loop, told in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed, and with it everyone who waited
            loop.call_soon_threadsafe(_tell_all, told)


def _tell_all(told: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in told:
        if future.done():  # cancelled meanwhile; what was recorded stays
            continue
        if isinstance(result, CockpitError):
            future.set_exception(result)
        else:
            future.set_result(result)
