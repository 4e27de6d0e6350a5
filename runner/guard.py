"""Ends a whole process tree when its owner dies, when it is told to, or when time is up.

Started as ``python -I -S guard.py SPEC``: standard library only. Standard input is the owner's
pipe: ``s`` stop, ``p`` pause, ``r`` resume; its end means that the owner is gone. Each order is
answered with its letter once it is done. How the command ended is written to a file that survives
the owner. On Linux every descendant is found, whatever session it went to, because orphans come to
the guard; elsewhere the group and the process table are asked, and one adopted by init is missed.
What another program starts on request (cron, a service manager) is no descendant anywhere.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_TIMED_OUT = 124
_ROUND = 0.02
_STOP_GRACE = 1.0
_KILL_LIMIT = 20.0
_FREEZE_ROUNDS = 200
_OPEN_FILES = 256


def main(spec_path: str) -> int:
    """Run the command of the spec and guard it to its end; 1 when something would not die."""
    with open(spec_path, encoding="utf-8") as file:  # noqa: PTH123 - no pathlib: quick to start
        spec = json.load(file)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake = _wake_on_signals()
    began = time.time()
    guard = _Guard(_start(spec), spec, wake)
    ended_by = guard.watch()
    left = guard.end(ended_by)
    _write_exit(spec["exit"], guard.exit_code(ended_by), ended_by, began)
    return 1 if left else 0


def _wake_on_signals() -> int:
    """A file that can be read as soon as a child has ended or we were told to end."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, _nothing)
    return wake_read


def _nothing(signum: int, frame: FrameType | None) -> None:
    """Being interrupted is all that is wanted."""


class _Guard:
    """Waits for the child, the owner's pipe and the clock, and ends the tree."""

    def __init__(self, child: int, spec: dict, wake: int):  # type: ignore[type-arg]
        self._child = child
        self._wake = wake
        self._left = float(spec["timeout"]) if spec.get("timeout") else None
        self._grace = float(spec["grace"])
        self._paused = False
        self._owned = True
        self._ending = False
        self._code: int | None = None

    def watch(self) -> str:
        """Wait for the end of the command, and say what brought it."""
        while True:
            wanted = self._wait(self._left)
            self._reap()
            if self._code is not None:
                return "self"
            if wanted:
                return wanted
            if self._left is not None and self._left <= 0:
                return "timeout"

    def end(self, ended_by: str) -> list[int]:
        """TERM, at most the grace, then KILL until nothing is left; what would not die."""
        grace = {"self": 0.0, "timeout": self._grace}.get(ended_by, min(self._grace, _STOP_GRACE))
        self._ending = True
        limit = time.monotonic() + grace
        if grace > 0:
            _tell(_descendants(), signal.SIGTERM)
            _tell(_descendants(), signal.SIGCONT)
            while time.monotonic() < limit and self._any_left():
                if self._wait(_ROUND):
                    limit = min(limit, time.monotonic() + _STOP_GRACE)
        return self._kill()

    def exit_code(self, ended_by: str) -> int:
        """As a shell's ``timeout`` says it; negative for a signal."""
        if ended_by == "timeout":
            return _TIMED_OUT
        return -signal.SIGKILL if self._code is None else self._code

    def _wait(self, seconds: float | None) -> str:
        """Sleep until something happens; the clock stands still while the tree is frozen."""
        before = time.monotonic()
        files = [0, self._wake] if self._owned else [self._wake]
        ready, _, _ = select.select(files, [], [], None if self._paused else seconds)
        if not self._paused and self._left is not None:
            self._left -= time.monotonic() - before
        return self._told(ready)

    def _told(self, ready: list[int]) -> str:
        """What the owner or a signal wants; empty to go on."""
        if self._wake in ready and signal.SIGTERM in os.read(self._wake, 4096):
            return "stop"
        if 0 not in ready:
            return ""
        orders = os.read(0, 64)
        if not orders:
            self._owned = self._paused = False
            return "owner_gone"
        for order in orders.decode("ascii", "replace"):
            if order == "s":
                self._paused = False
                return "stop"
            if not self._ending:
                self._freeze(order)
        return ""

    def _freeze(self, order: str) -> None:
        self._paused = order == "p"
        if self._paused:
            _freeze()
        else:
            _tell(_descendants(), signal.SIGCONT)
        with contextlib.suppress(OSError):
            os.write(1, order.encode())

    def _any_left(self) -> bool:
        return self._reap() and bool(_descendants())

    def _reap(self) -> bool:
        """Collect the dead; false when there is no child at all."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._child:
                self._code = os.waitstatus_to_exitcode(status)

    def _kill(self) -> list[int]:
        limit = time.monotonic() + _KILL_LIMIT
        while self._any_left() and time.monotonic() < limit:
            _tell(_freeze(), signal.SIGKILL)
            if sys.platform != "linux":
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._child, signal.SIGKILL)
            select.select([self._wake], [], [], _ROUND)
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
        return _descendants() if self._reap() else []


def _start(spec: dict) -> int:  # type: ignore[type-arg]
    """Start the command in a session of its own."""
    files = [
        os.open(spec["stdin"], os.O_RDONLY),
        os.open(spec["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        os.open(spec["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
    ]
    guard = os.getpid()
    pid = os.fork()
    if pid:
        for each in files:
            os.close(each)
        return pid
    what = spec["cwd"]
    try:
        _become_child(guard, files)
        os.chdir(what)
        what = spec["argv"][0]
        os.execvpe(what, spec["argv"], os.environ)  # noqa: S606 - an argument list
    except (OSError, ValueError) as error:
        os.write(2, f"{what}: {getattr(error, 'strerror', error)}\n".encode("utf-8", "replace"))
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _become_child(guard: int, files: list[int]) -> None:
    """A session of its own, no file but the three, and signals as a shell would give them."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guard:
            os._exit(1)
    signal.set_wakeup_fd(-1)
    for number, each in enumerate(files):
        os.dup2(each, number)
    os.closerange(3, _OPEN_FILES)
    for name in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGINT, signal.SIGXFSZ):
        signal.signal(name, signal.SIG_DFL)


def _descendants() -> list[int]:
    """Every living process below the guard."""
    parents = _parents_linux() if sys.platform == "linux" else _parents_ps()
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found, todo, seen = [], [os.getpid()], {os.getpid()}
    while todo:
        for pid in children.get(todo.pop(), ()):
            if pid not in seen:
                seen.add(pid)
                found.append(pid)
                todo.append(pid)
    return found


def _parents_linux() -> dict[int, int]:
    """Parent by pid. A main thread that has ended looks dead while other threads live on."""
    parents = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if len(fields) > 17 and (fields[0] not in b"ZX" or int(fields[17]) > 1):
            parents[int(name)] = int(fields[1])
    return parents


def _parents_ps() -> dict[int, int]:
    listed = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=False
    )
    rows = (line.split() for line in listed.stdout.splitlines())
    return {int(r[0]): int(r[1]) for r in rows if len(r) > 2 and not r[2].startswith("Z")}


def _freeze() -> list[int]:
    """Stop every descendant, also those that were born meanwhile."""
    frozen: set[int] = set()
    for _ in range(_FREEZE_ROUNDS):
        fresh = [pid for pid in _descendants() if pid not in frozen]
        if not fresh:
            break
        _tell(fresh, signal.SIGSTOP)
        frozen.update(fresh)
    return list(frozen)


def _tell(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _write_exit(path: str, code: int, ended_by: str, began: float) -> None:
    facts = {
        "exit_code": code,
        "signal": -code if code < 0 else None,
        "ended_by": ended_by,
        "started_at": began,
        "ended_at": time.time(),
    }
    part = f"{path}.part"
    with open(part, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)  # noqa: PTH105


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
