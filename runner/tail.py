"""Follows a file that another process writes, line by line, and knows how long it was silent."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from core.tasks import spawn

_EVERY = 0.1
_CHUNK = 1 << 20
_MAX_LINE = 32 << 20


class Tail:
    """Reads what is appended to a file while the ``async with`` block runs, and then the rest.

    Looking ten times a second is cheaper than a watch on each run's file, and sees a file that
    does not exist yet. The file is read on a thread; the callbacks are called on the loop.
    """

    def __init__(
        self,
        path: Path,
        on_line: Callable[[bytes], None],
        *,
        on_silence: Callable[[float], None] | None = None,
    ):
        """Follow ``path``; ``on_silence`` hears how many seconds nothing was appended."""
        self._path = path
        self._on_line = on_line
        self._on_silence = on_silence
        self._at = 0
        self._rest = b""
        self._heard = time.monotonic()
        self._ending = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Begin."""
        self._task = spawn(self._follow(), name=f"tail {self._path.parent.parent.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Read what is left, then end; after a failure end at once."""
        self._ending.set()
        if kind is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            return
        await self._task

    def forget_silence(self) -> None:
        """Count the silence from now on."""
        self._heard = time.monotonic()

    async def _follow(self) -> None:
        while not self._ending.is_set():
            if await self._more():
                self._heard = time.monotonic()
                continue
            if self._on_silence is not None:
                self._on_silence(time.monotonic() - self._heard)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._ending.wait()
        while await self._more():
            pass
        if self._rest:
            self._on_line(self._rest)

    async def _more(self) -> bool:
        """Hand on one chunk; false when there was nothing new."""
        chunk = await asyncio.to_thread(self._read)
        if not chunk:
            return False
        self._at += len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _MAX_LINE:
            self._rest = b""
        for line in lines:
            self._on_line(line)
        return True

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                return file.read(_CHUNK)
        except OSError:
            return b""
