"""A command under its guard: started, watched, frozen, stopped, and found again after a crash."""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from core.private_files import make_folder, write_private

_GUARD = Path(__file__).with_name("guard.py")
EndedBy = Literal["self", "timeout", "stop", "owner_gone"]


@dataclass(frozen=True, slots=True)
class Exit:
    """How a guarded command ended.

    Attributes:
        exit_code: negative for a signal; 124 after a time-out.
        seconds: from its start to its end.
    """

    exit_code: int
    ended_by: EndedBy
    seconds: float


@dataclass(frozen=True, slots=True)
class Start:
    """What to start, and where its output goes.

    Attributes:
        env: the whole environment of the command; nothing is inherited.
        stdin: what the command reads; empty for nothing.
        state: folder of the guard's own files, private to this one start.
        timeout: seconds, not counted while frozen; None for none.
        grace: seconds between TERM and KILL.
    """

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    stdout: Path
    stderr: Path
    state: Path
    stdin: bytes = b""
    timeout: float | None = None
    grace: float = 1.0


class GuardedProcess:
    """A running command and the pipe that keeps it alive."""

    def __init__(self, process: asyncio.subprocess.Process, start: Start):
        """Use :meth:`start`."""
        self._process = process
        self._start = start
        self.paused = False

    @classmethod
    async def start(cls, start: Start) -> "GuardedProcess":
        """Start the guard and, below it, the command. Earlier files of ``state`` are removed."""
        spec = await asyncio.to_thread(_write_spec, start)
        with (start.state / "guard.err").open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(_GUARD),
                str(spec),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors,
                env=dict(start.env),
                start_new_session=True,
            )
        return cls(process, start)

    async def wait(self) -> Exit:
        """Wait for the end of the whole tree. Cancelling the wait stops it."""
        try:
            await self._process.wait()
        except asyncio.CancelledError:
            self._tell(b"s")
            raise
        finally:
            if self._process.returncode is not None and self._process.stdin is not None:
                self._process.stdin.close()
        found = read_exit(self._start.state)
        return found or Exit(self._process.returncode or -9, "owner_gone", 0.0)

    async def stop(self) -> None:
        """End the tree; returns when nothing of it is left."""
        self.tell_stop()
        await self._process.wait()

    def tell_stop(self) -> None:
        """Ask for the end of the tree without waiting for it."""
        self._tell(b"s")

    def pause(self) -> None:
        """Freeze the tree."""
        self.paused = True
        self._tell(b"p")

    def resume(self) -> None:
        """Let a frozen tree go on."""
        self.paused = False
        self._tell(b"r")

    def _tell(self, order: bytes) -> None:
        pipe = self._process.stdin
        if pipe is not None and not pipe.is_closing():
            with contextlib.suppress(ConnectionError):
                pipe.write(order)


def read_exit(state: Path) -> Exit | None:
    """How the command of that folder ended; None while it runs or when its guard was killed."""
    try:
        facts = orjson.loads((state / "exit.json").read_bytes())
    except (OSError, ValueError):
        return None
    return Exit(facts["exit_code"], facts["ended_by"], facts["ended_at"] - facts["started_at"])


def _write_spec(start: Start) -> Path:
    if start.state.exists():
        shutil.rmtree(start.state)
    make_folder(start.state)
    for file in (start.stdout, start.stderr):
        make_folder(file.parent)
        file.unlink(missing_ok=True)
    stdin = start.state / "stdin"
    write_private(stdin, start.stdin)
    spec = start.state / "spec.json"
    facts = {
        "argv": list(start.argv),
        "cwd": str(start.cwd),
        "stdin": str(stdin),
        "stdout": str(start.stdout),
        "stderr": str(start.stderr),
        "timeout": start.timeout,
        "grace": start.grace,
        "exit": str(start.state / "exit.json"),
    }
    write_private(spec, orjson.dumps(facts))
    return spec


def plain_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment from scratch: nothing of the operator's shell but PATH, language and time."""
    kept = {name: os.environ[name] for name in ("PATH", "TZ") if name in os.environ}
    base = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TERM": "dumb"}
    return {**base, **kept, "HOME": str(home), **(extra or {})}
