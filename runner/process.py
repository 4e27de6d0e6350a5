"""A command under its guard: started, watched, frozen, stopped, and found again after a crash."""

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import orjson

from core.private_files import make_folder, write_private
from core.tasks import spawn
from runner.leftovers import MARK, end_leftovers, wait_for_guard

_GUARD = Path(__file__).with_name("guard.py")
_STOP_SECONDS = 1.7
_ANSWER_SECONDS = 1.5
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

    @property
    def signal(self) -> int | None:
        """The number of the signal that ended it."""
        return -self.exit_code if self.exit_code < 0 else None


@dataclass(frozen=True, slots=True)
class Start:
    """What to start, and where its output goes.

    Attributes:
        env: the whole environment of the command; nothing is inherited.
        stdin: what the command reads; empty for nothing.
        state: folder of the guard's own files, private to this one start.
        timeout: seconds, not counted while frozen; None for none.
        grace: seconds between TERM and KILL after a time-out; a stop waits 1 s at most.
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
        self._orders = asyncio.Lock()
        self.paused = False

    @classmethod
    async def start(cls, start: Start) -> "GuardedProcess":
        """Start the guard and, below it, the command. Earlier files of ``state`` are removed.

        Cancelling it half-way leaves nothing behind.
        """
        starting = spawn(cls._start_guard(start), name=f"start {start.argv[0]}")
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await (await starting).stop()
            raise

    @classmethod
    async def _start_guard(cls, start: Start) -> "GuardedProcess":
        spec = await asyncio.to_thread(_write_spec, start)
        with (start.state / "guard.err").open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(_GUARD),
                str(spec),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**start.env, MARK: str(start.state)},
                start_new_session=True,
            )
        return cls(process, start)

    async def wait(self) -> Exit:
        """Wait for the end of the whole tree. Cancelling the wait ends it first."""
        try:
            await self._process.wait()
        except asyncio.CancelledError:
            await self.stop()
            raise
        self._close()
        found = await asyncio.to_thread(read_exit, self._start.state)
        if found is None:
            await asyncio.to_thread(end_leftovers, self._start.state)
        return found or Exit(-9, "owner_gone", 0.0)

    async def stop(self) -> None:
        """End the tree within 2 s; returns when nothing of it is left."""
        self.tell_stop()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await asyncio.to_thread(end_leftovers, self._start.state)
            await self._process.wait()
        self._close()

    def tell_stop(self) -> None:
        """Ask for the end of the tree without waiting for it."""
        self._tell(b"s")

    async def pause(self) -> None:
        """Freeze the tree; returns when it stands still."""
        self.paused = True
        await self._order(b"p")

    async def resume(self) -> None:
        """Let a frozen tree go on."""
        self.paused = False
        await self._order(b"r")

    async def _order(self, letter: bytes) -> None:
        """Tell the guard and wait for its answer, which is the letter again."""
        assert self._process.stdout is not None
        async with self._orders:
            self._tell(letter)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._process.stdout.read(1)

    def _tell(self, order: bytes) -> None:
        pipe = self._process.stdin
        if pipe is not None and not pipe.is_closing():
            with contextlib.suppress(ConnectionError):
                pipe.write(order)

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


def read_exit(state: Path) -> Exit | None:
    """How the command of that folder ended; None while it runs or when its guard was killed."""
    try:
        facts = orjson.loads((state / "exit.json").read_bytes())
        seconds = float(facts["ended_at"]) - float(facts["started_at"])
        code, ended_by = int(facts["exit_code"]), facts["ended_by"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Exit(code, ended_by, max(0.0, seconds)) if ended_by in get_args(EndedBy) else None


def end_abandoned(state: Path) -> Exit | None:
    """After a crash of the owner: how the command ended, with nothing of it left. Blocks.

    Its guard ends the tree by itself when the owner's pipe breaks; what is left then is killed.
    """
    wait_for_guard(state)
    end_leftovers(state)
    return read_exit(state)


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
