"""Which processes work in a folder: how a test sees what was left running. Linux only."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil


def working_in(folder: Path) -> list[psutil.Process]:
    """Processes with a living thread whose working folder is ``folder`` or below it.

    Threads, because a process whose main thread has ended looks dead and is not.
    """
    found = []
    for pid in filter(str.isdigit, [entry.name for entry in Path("/proc").iterdir()]):
        if any(at.is_relative_to(folder) for at in _folders_of(pid)):
            with contextlib.suppress(psutil.Error):
                found.append(psutil.Process(int(pid)))
    return found


def _folders_of(pid: str) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                yield (thread / "cwd").readlink()
