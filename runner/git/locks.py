"""One writer at a time for a mirror, across processes, even when the last one was killed.

The lock is the kernel's, so a dead owner holds nothing; git processes inherit it, so that one
that outlived its owner still does.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from core.errors import Unavailable
from runner.git.removal import remove_folder

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05
_BUSY = b"busy"
_OLD_SECONDS = 24 * 3600.0


@asynccontextmanager
async def taken(path: Path, *, seconds: float = 600.0) -> AsyncIterator[int]:
    """Hold the lock file ``path``; yields its descriptor, for git to inherit.

    Raises:
        Unavailable: ``MIRROR_BUSY`` after ``seconds``.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        await _acquire(handle, path.name, seconds)
        yield handle
    finally:
        os.close(handle)


@asynccontextmanager
async def held(mirror: Path, *, seconds: float = 600.0) -> AsyncIterator[int]:
    """Hold the lock beside ``mirror``, what a killed git left in it being removed first.

    Raises:
        Unavailable: ``MIRROR_BUSY`` after ``seconds``.
    """
    async with taken(mirror.with_name(f"{mirror.name}.lock"), seconds=seconds) as handle:
        if os.pread(handle, len(_BUSY), 0) == _BUSY:
            await asyncio.to_thread(_clear, mirror)
        os.pwrite(handle, _BUSY, 0)
        yield handle
        os.ftruncate(handle, 0)  # not after an error: then the next owner clears up


async def _acquire(handle: int, name: str, seconds: float) -> None:
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
            f"Another process has held {name} for {seconds:.0f} seconds.",
            recovery="End it, then retry.",
        ) from None


def _clear(mirror: Path) -> None:
    """Remove what a git process that was killed leaves in what only the lock's owner writes.

    Objects and the indexes of worktrees are written without the lock: of those nothing is taken
    away but what is long dead.
    """
    for folder, pattern in (
        (mirror, "*.lock"),
        (mirror / "refs", "**/*.lock"),
        (mirror / "objects" / "info", "**/*.lock"),
    ):
        for stale in folder.glob(pattern):
            with suppress(OSError):
                stale.unlink()
    for stale in (mirror / "objects").glob("*/tmp_*"):
        remove_old(stale)


def remove_old(path: Path) -> None:
    """Remove a file or folder that nobody has touched for a day; links are not followed."""
    with suppress(OSError):
        if time.time() - path.lstat().st_mtime > _OLD_SECONDS:
            remove_folder(path)
