"""Sends one reply as an ASGI response: whole or streamed, paced, hanging, or cut in its middle."""

import asyncio
import logging
from collections.abc import Iterator

from starlette.types import Receive, Scope, Send

from core.tasks import spawn

_CUT_NOTICE = "ASGI callable returned without completing response."


class ExpectedCuts(logging.Filter):
    """Keeps the web server from reporting the connections that a script told it to cut."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for the notice of a response that was not completed."""
        return record.msg != _CUT_NOTICE


class Stream:
    """A streamed answer.

    Args:
        events: the server-sent events, each complete.
        delay_ms: the pace: time before each event but the first, in milliseconds.
        cut_after: drop the connection after so many events instead of ending it.
        closing: set when the server closes; ends a slow stream at once.
    """

    def __init__(
        self,
        events: Iterator[bytes],
        *,
        closing: asyncio.Event,
        delay_ms: int = 0,
        cut_after: int | None = None,
    ) -> None:
        self._events = events
        self._delay = delay_ms / 1000
        self._cut_after = cut_after
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play the events to the client."""
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, event in enumerate(self._events):
            if number == self._cut_after or (number and await self._paused()):
                return
            await send({"type": "http.response.body", "body": event, "more_body": True})
        if self._cut_after is None:
            await send({"type": "http.response.body", "body": b""})

    async def _paused(self) -> bool:
        if not self._delay:
            return self._closing.is_set()
        try:
            await asyncio.wait_for(self._closing.wait(), self._delay)
        except TimeoutError:
            return False
        return True


class Silence:
    """Never answers: ends when the client goes, or with a 503 when the server closes."""

    def __init__(self, closing: asyncio.Event) -> None:
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for either end."""
        gone = spawn(_gone(receive), name="rehearsal-client-gone")
        closed = spawn(self._closing.wait(), name="rehearsal-closing")
        both: tuple[asyncio.Task[object], ...] = (gone, closed)
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
