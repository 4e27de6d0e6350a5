"""Ends a whole process tree when its owner dies, when it is told to, or when time is up.

Started as ``python -I -S guard.py SPEC``. Standard library only, for it runs without site packages.
Standard input is the owner's pipe: ``s`` stop, ``p`` pause, ``r`` resume; its end means that the
owner is gone. How the command ended is written to a file, so that it survives the owner.

On Linux every descendant is found, also one that left its session, because orphans come to the
guard. Elsewhere the process table is asked; a descendant that was adopted by init is then missed.
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
_KILL_ROUND = 0.02


def main(spec_path: str) -> int:
    """Run the command of the spec and guard it to its end."""
    with open(spec_path, encoding="utf-8") as file:  # noqa: PTH123 - no pathlib: quick to start
        spec = json.load(file)
    _become_subreaper()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _nothing)
    signal.signal(signal.SIGTERM, _nothing)
    began = time.time()
    child = _start(spec)
    guard = _Guard(child, spec, wake_read)
    code, ended_by = guard.watch()
    _end_tree(float(spec["grace"]) if ended_by != "self" else 0.0)
    _write_exit(spec["exit"], code, ended_by, began)
    return 0


def _nothing(signum: int, frame: FrameType | None) -> None:
    """Being interrupted is all that is wanted."""


class _Guard:
    """Waits for the child, the owner's pipe and the clock."""

    def __init__(self, child: int, spec: dict, wake: int):  # type: ignore[type-arg]
        self._child = child
        self._wake = wake
        self._left = float(spec["timeout"]) if spec.get("timeout") else None
        self._paused = False
        self._code: int | None = None

    def watch(self) -> tuple[int, str]:
        """Exit code of the command and what ended it."""
        while True:
            before = time.monotonic()
            wait = None if self._paused else self._left
            ready, _, _ = select.select([0, self._wake], [], [], wait)
            if not self._paused and self._left is not None:
                self._left -= time.monotonic() - before
            if self._reap():
                return self._code or 0, "self"
            ended_by = self._told(ready)
            if ended_by:
                return _stopped(), ended_by
            if self._left is not None and self._left <= 0 and not self._paused:
                return _TIMED_OUT, "timeout"

    def _told(self, ready: list[int]) -> str:
        """What the owner or a signal wants; empty to go on."""
        if self._wake in ready and signal.SIGTERM in os.read(self._wake, 64):
            return "stop"
        if 0 not in ready:
            return ""
        order = os.read(0, 16)
        if not order:
            return "owner_gone"
        self._freeze(order)
        return "stop" if b"s" in order else ""

    def _reap(self) -> bool:
        """Collect the dead; true when the command itself is among them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return self._code is not None
            if pid == 0:
                return self._code is not None
            if pid == self._child:
                self._code = os.waitstatus_to_exitcode(status)

    def _freeze(self, order: bytes) -> None:
        for letter in order.decode("ascii", "replace"):
            if letter in "pr":
                self._paused = letter == "p"
                _tell_all(signal.SIGSTOP if self._paused else signal.SIGCONT)


def _stopped() -> int:
    return -signal.SIGTERM


def _become_subreaper() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


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
    try:
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != guard:
                os._exit(1)
        signal.set_wakeup_fd(-1)
        for number, each in enumerate(files):
            os.dup2(each, number)
        os.closerange(3, 256)
        for name in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        os.chdir(spec["cwd"])
        os.execvpe(spec["argv"][0], spec["argv"], os.environ)  # noqa: S606 - an argument list
    except OSError as error:
        os.write(2, f"{spec['argv'][0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _descendants() -> list[int]:
    """Every process below the guard, children before grandchildren."""
    parents = _parents_linux() if sys.platform == "linux" else _parents_ps()
    found, known = [], {os.getpid()}
    grew = True
    while grew:
        grew = False
        for pid, parent in parents.items():
            if parent in known and pid not in known:
                known.add(pid)
                found.append(pid)
                grew = True
    return found


def _parents_linux() -> dict[int, int]:
    parents = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields and fields[0] != b"Z":
            parents[int(name)] = int(fields[1])
    return parents


def _parents_ps() -> dict[int, int]:
    listed = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=False
    )
    rows = (line.split() for line in listed.stdout.splitlines())
    return {int(r[0]): int(r[1]) for r in rows if len(r) > 2 and not r[2].startswith("Z")}


def _tell_all(number: int) -> list[int]:
    found = _descendants()
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    return found


def _end_tree(grace: float) -> None:
    """TERM, wait at most ``grace`` seconds, then KILL until nothing is left."""
    if grace > 0 and _tell_all(signal.SIGTERM):
        _tell_all(signal.SIGCONT)
        limit = time.monotonic() + grace
        while _collect() and _descendants() and time.monotonic() < limit:
            time.sleep(_KILL_ROUND)
    while _tell_all(signal.SIGKILL):
        _collect()
        time.sleep(_KILL_ROUND)
    _collect()


def _collect() -> bool:
    """Reap what has ended; false when there is no child at all."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def _write_exit(path: str, code: int, ended_by: str, began: float) -> None:
    facts = {
        "exit_code": code,
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
