"""The one way to start a background coroutine: it keeps the reference and reports failure."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)
_running: set[asyncio.Task[Any]] = set()


def spawn(
    coro: Coroutine[Any, Any, _T],
    *,
    name: str,
    on_failure: Callable[[BaseException], None] | None = None,
) -> asyncio.Task[_T]:
    """Run ``coro`` in the background of the current loop.

    Args:
        coro: what to run.
        name: shown in logs and in the list of running tasks.
        on_failure: called with the exception if it ends in one; it is logged in any case.
    """
    task = asyncio.get_running_loop().create_task(coro, name=name)
    _running.add(task)

    def ended(done: asyncio.Task[_T]) -> None:
        _running.discard(done)
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            _log.error("task_failed", task=name, error=str(error), exc_info=error)
            if on_failure is not None:
                on_failure(error)

    task.add_done_callback(ended)
    return task


def running() -> tuple[asyncio.Task[Any], ...]:
    """The background tasks alive in this process."""
    return tuple(_running)
