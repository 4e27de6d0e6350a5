"""Followers of the journal: from a sequence number on, without a gap, and then as events come.

The newest events are kept at hand within fixed bounds; whoever is further behind reads the store.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from core.errors import CockpitError, Refused
from core.journal.envelope import Envelope
from core.journal.failures import caught
from core.journal.group import Part

TAIL_EVENTS = 1024
TAIL_BYTES = 1 << 20  # of payloads
_PAGE = 500
_log = structlog.get_logger(__name__)
Told = Callable[[int], None]
Read = Callable[[int, int], list[Envelope]]


class Feed:
    """Tells what was committed. Safe from any thread."""

    def __init__(self, head: int, read: Read):
        """Begin at ``head``; ``read(after, limit)`` gives what lies further back."""
        self._head = head
        self._read = read
        self._tail: deque[tuple[Envelope, int]] = deque()
        self._tail_bytes = 0
        self._lock = threading.Lock()
        self._subscribers: dict[object, Told] = {}
        self._closed = False

    @property
    def head(self) -> int:
        """The sequence number of the newest committed event."""
        return self._head

    def publish(self, part: Part) -> None:
        """Tell everyone of a commit; what a subscriber does wrong is its own affair."""
        with self._lock:
            for envelope, row in zip(part.envelopes, part.rows, strict=True):
                self._tail.append((envelope, len(row.payload)))
                self._tail_bytes += len(row.payload)
            while len(self._tail) > TAIL_EVENTS or self._tail_bytes > TAIL_BYTES:
                self._tail_bytes -= self._tail.popleft()[1]
            self._head = part.seq
            subscribers = list(self._subscribers.values())
        for told in subscribers:
            self._tell(told)

    def _tell(self, told: Told) -> None:
        failure = caught(lambda: told(self._head))
        if isinstance(failure, CockpitError):
            _log.warning("subscriber_failed", error=str(failure), exc_info=failure)

    def subscribe(self, told: Told) -> Callable[[], None]:
        """Tell ``told`` the new head after each commit, from the writer's thread.

        Returns:
            A function that ends the subscription; calling it again does nothing.
        """
        key = object()
        with self._lock:
            self._subscribers[key] = told

        def end() -> None:
            with self._lock:
                self._subscribers.pop(key, None)

        return end

    async def follow(self, after: int) -> AsyncIterator[Envelope]:
        """Every event after ``after``, and then as they come, until the journal is closed."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def told(_: int) -> None:
            if not news.is_set():
                loop.call_soon_threadsafe(news.set)

        end = self.subscribe(told)
        try:
            while not self._closed:
                news.clear()
                page = self._recent(after)
                if page is None:
                    page = await asyncio.to_thread(self._further_back, after)
                for envelope in page:
                    after = envelope.seq
                    yield envelope
                if not page and not self._closed:
                    await news.wait()
        finally:
            end()

    def _recent(self, after: int) -> Sequence[Envelope] | None:
        """The next events after ``after`` if they are at hand, else None."""
        with self._lock:
            if after >= self._head:
                return ()
            oldest = self._head - len(self._tail)
            if after < oldest:
                return None
            wanted = min(_PAGE, self._head - after)
            return [self._tail[after - oldest + i][0] for i in range(wanted)]

    def _further_back(self, after: int) -> Sequence[Envelope]:
        try:
            page = self._read(after, _PAGE)
            # What is on disk is told only when its states can be asked for as well.
            return [envelope for envelope in page if envelope.seq <= self._head]
        except Refused:
            if self._closed:
                return ()
            raise

    def close(self) -> None:
        """End every follower."""
        self._closed = True
        with self._lock:
            subscribers = list(self._subscribers.values())
        for told in subscribers:
            self._tell(told)
