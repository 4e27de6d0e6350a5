"""What a guarded command left running after its guard itself was killed or frozen.

A guard ends its tree alone; this is for the rare case that it could not. Processes are known by a
mark in their environment and by descent, so one that dropped both is missed.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import psutil

MARK = "COCKPIT_GUARD"
_LIMIT = 5.0
_ROUND = 0.05
_GUARD_ALONE = 3.0
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, OSError)


def find_leftovers(state: Path) -> list[psutil.Process]:
    """The living processes that were started for the folder ``state``, its guard among them."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(*_GONE):
            if process.environ().get(MARK) == str(state):
                for each in (process, *process.children(recursive=True)):
                    found[each.pid] = each
    return [process for process in found.values() if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(*_GONE):
        dead = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return not dead or process.num_threads() > 1
    return False


def wait_for_guard(state: Path) -> None:
    """Let a guard whose owner is gone do its work, which takes it about a second; blocks."""
    limit = time.monotonic() + _GUARD_ALONE
    while time.monotonic() < limit and find_leftovers(state):
        time.sleep(_ROUND)


def end_leftovers(state: Path) -> bool:
    """Kill what was started for ``state``, at once; false when something would not die. Blocks."""
    limit = time.monotonic() + _LIMIT
    while found := find_leftovers(state):
        if time.monotonic() > limit:
            return False
        _each(found, psutil.Process.suspend)
        _each(found, psutil.Process.kill)
        psutil.wait_procs(found, timeout=_ROUND)
    return True


def _each(processes: list[psutil.Process], what: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(*_GONE):
            what(process)
