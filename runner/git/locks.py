"""One writer at a time for a mirror, across processes, even when the last one was killed.

The lock is the kernel's, so a dead owner holds nothing; git processes inherit it, so that one
that outlived its owner still does.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from core.errors import Unavailable

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05
_BUSY = b"busy"


@asynccontextmanager
async def held(mirror: Path, *, seconds: float = 600.0) -> AsyncIterator[int]:
    """Hold the lock beside ``mirror``; yields its descriptor, for git to inherit.

    Lock files that a killed git left in the mirror are removed first.

    Raises:
        Unavailable: ``MIRROR_BUSY`` after ``seconds``.
    """
    path = mirror.with_name(f"{mirror.name}.lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        await _acquire(handle, mirror, seconds)
        if os.pread(handle, len(_BUSY), 0) == _BUSY:
            await asyncio.to_thread(_clear, mirror)
        os.pwrite(handle, _BUSY, 0)
        yield handle
        os.ftruncate(handle, 0)  # not after an error: then the next owner clears up
    finally:
        os.close(handle)


async def _acquire(handle: int, mirror: Path, seconds: float) -> None:
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(seconds):
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                await asyncio.sleep(pause)  # flock has no event to wait for, only a blocked thread
                pause = min(pause * 2, _LONGEST_PAUSE)
    except TimeoutError:
        raise Unavailable(
            "MIRROR_BUSY",
            f"Another process has held the mirror {mirror.name} for {seconds:.0f} seconds.",
            recovery="End it, then retry.",
        ) from None


def _clear(mirror: Path) -> None:
    """Remove what a git process that was killed leaves: its lock and temporary files."""
    for folder, pattern in (
        (mirror, "*.lock"),
        (mirror / "refs", "**/*.lock"),
        (mirror / "worktrees", "*/*.lock"),
        (mirror / "objects", "**/tmp_*"),
        (mirror / "objects", "**/*.lock"),
    ):
        for stale in folder.glob(pattern):
            with suppress(OSError):
                stale.unlink()
