"""Runs a repo's own commands on the host, each under a guard (domain.md §7 last rule, §8).

On the host the network can't be closed; every record of such a run says so. What a command leaves
running is ended with it.
"""

import asyncio
import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.judgement.harness import Command, CommandEnd, CommandRun
from core.private_files import make_folder
from runner.counts import counts_of
from runner.process import Exit, GuardedProcess, Start, plain_environment

_NOT_RUNNABLE = frozenset({126, 127})
_TAIL = 64 * 1024
_GRACE = 5.0
_NEVER_BEGAN = Exit(-15, "stop", 0.0)
_REASONS: dict[CommandEnd, str] = {
    "not_runnable": "the command could not be started",
    "timed_out": "time is up",
}


@dataclass(slots=True)
class _Work:
    """The commands of one call, which may be told to stop between two of them."""

    checkout: Path
    logs: Path
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    process: GuardedProcess | None = None

    async def stop(self) -> None:
        self.stopped.set()
        if self.process is not None:
            await self.process.stop()


@dataclass(slots=True)
class HostHarness:
    """Runs commands in a checkout, with an environment made from scratch."""

    _works: dict[str, list[_Work]] = field(default_factory=dict)

    async def run(
        self, key: str, commands: Sequence[Command], checkout: Path, logs: Path
    ) -> tuple[CommandRun, ...]:
        """Run ``commands`` one after the other in ``checkout``; every one is run.

        They share a home folder below ``logs``, so that what set-up keeps there is found again.
        """
        work = _Work(checkout, logs)
        self._works.setdefault(key, []).append(work)
        try:
            await asyncio.to_thread(make_folder, logs / "home")
            return tuple([await _one(work, command) for command in commands])
        finally:
            self._works[key].remove(work)
            if not self._works[key]:
                del self._works[key]

    async def stop(self, key: str) -> None:
        """End the process trees of ``key``; what has not begun will not."""
        await asyncio.gather(*[work.stop() for work in self._works.get(key, ())])


async def _one(work: _Work, command: Command) -> CommandRun:
    log = work.logs / f"{command.name}.log"
    if work.stopped.is_set():
        return await asyncio.to_thread(_ended, command, _NEVER_BEGAN, log)
    process = await GuardedProcess.start(
        Start(
            argv=["/bin/sh", "-c", command.line],
            cwd=work.checkout,
            env=_environment(work.logs / "home"),
            stdout=log,
            stderr=log,
            state=work.logs / f"{command.name}-guard",
            timeout=command.timeout_seconds,
            grace=_GRACE,
        )
    )
    work.process = process
    try:
        if work.stopped.is_set():  # told while it was being started
            await process.stop()
        ended = await process.wait()
    finally:
        work.process = None
    return await asyncio.to_thread(_ended, command, ended, log)


def _environment(home: Path) -> dict[str, str]:
    """The Python that runs us comes last on PATH: a bare machine has no other for certain."""
    env = plain_environment(home, {"CI": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    env["PATH"] = f"{env['PATH']}:{Path(sys.executable).parent}"
    return env


def _ended(command: Command, ended: Exit, log: Path) -> CommandRun:
    """The result, with what the log tells; blocks. A log may be long, so it is never held whole."""
    end = _end(ended)
    digest, last = _read(log)
    return CommandRun(
        name=command.name,
        line=command.line,
        end=end,
        exit_code=ended.exit_code,
        duration_ms=int(ended.seconds * 1000),
        log=log,
        log_sha256=digest,
        counts=counts_of(last),
        reason=_REASONS.get(end, ""),
    )


def _end(ended: Exit) -> CommandEnd:
    if ended.ended_by in ("stop", "owner_gone"):
        return "stopped"
    if ended.ended_by == "timeout":
        return "timed_out"
    if ended.exit_code == 0:
        return "passed"
    return "not_runnable" if ended.exit_code in _NOT_RUNNABLE else "failed"


def _read(log: Path) -> tuple[str, str]:
    """The digest of a log and the text at its end.

    A command can put a link or a pipe in its place; like a missing one, that is an empty log.
    """
    try:
        with open(log, "rb", opener=_without_following) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return digest, file.read(_TAIL).decode("utf-8", errors="replace")
    except OSError:
        return hashlib.sha256(b"").hexdigest(), ""


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
