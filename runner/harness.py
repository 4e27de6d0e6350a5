"""Runs a repo's own commands on the host, each under a guard (domain.md §7 last rule, §8).

On the host the network can't be closed; every record of such a run says so. What a command leaves
running is ended with it.
"""

import asyncio
import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.judgement.harness import Command, CommandEnd, CommandRun
from core.private_files import make_folder
from runner.process import Exit, GuardedProcess, Start, plain_environment

_NOT_RUNNABLE = frozenset({126, 127})
_TAIL = 64 * 1024
_PYTEST = re.compile(r"\b(?P<n>\d+) (?P<what>passed|failed|skipped|errors?)\b")
_UNITTEST = re.compile(r"^Ran (?P<n>\d+) tests? in ", re.MULTILINE)
_UNITTEST_BAD = re.compile(r"\b(?P<what>failures|errors|skipped)=(?P<n>\d+)")


@dataclass(slots=True)
class HostHarness:
    """Runs commands in a checkout, with an environment made from scratch."""

    _running: dict[str, GuardedProcess] = field(default_factory=dict)
    _stopped: set[str] = field(default_factory=set)

    async def run(
        self, key: str, commands: Sequence[Command], checkout: Path, logs: Path
    ) -> tuple[CommandRun, ...]:
        """Run ``commands`` one after the other in ``checkout``; every one is run."""
        await asyncio.to_thread(make_folder, logs)
        self._stopped.discard(key)
        return tuple([await self._one(key, command, checkout, logs) for command in commands])

    async def stop(self, key: str) -> None:
        """End the process trees of ``key``; what has not begun will not."""
        self._stopped.add(key)
        process = self._running.get(key)
        if process is not None:
            await process.stop()

    async def _one(self, key: str, command: Command, checkout: Path, logs: Path) -> CommandRun:
        log = logs / f"{command.name}.log"
        if key in self._stopped:
            return _run(command, "stopped", Exit(-15, "stop", 0.0), log)
        home = logs / f"{command.name}-home"
        await asyncio.to_thread(make_folder, home)
        process = await GuardedProcess.start(
            Start(
                argv=["/bin/sh", "-c", f"exec 2>&1; {command.line}"],
                cwd=checkout,
                env=_environment(home),
                stdout=log,
                stderr=logs / f"{command.name}.err",
                state=logs / f"{command.name}-guard",
                timeout=command.timeout_seconds,
                grace=5.0,
            )
        )
        self._running[key] = process
        try:
            ended = await process.wait()
        finally:
            self._running.pop(key, None)
        return await asyncio.to_thread(_run, command, _end(ended), ended, log)


def _environment(home: Path) -> dict[str, str]:
    """The Python that runs us comes first on PATH: a bare machine has no other one for certain."""
    env = plain_environment(home, {"CI": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    env["PATH"] = f"{env['PATH']}:{Path(sys.executable).parent}"
    return env


def _end(ended: Exit) -> CommandEnd:
    if ended.ended_by in ("stop", "owner_gone"):
        return "stopped"
    if ended.ended_by == "timeout":
        return "timed_out"
    if ended.exit_code == 0:
        return "passed"
    return "not_runnable" if ended.exit_code in _NOT_RUNNABLE else "failed"


def _run(command: Command, end: CommandEnd, ended: Exit, log: Path) -> CommandRun:
    content = log.read_bytes() if log.is_file() else b""
    reason = {"not_runnable": "the command could not be started", "timed_out": "time is up"}
    return CommandRun(
        name=command.name,
        line=command.line,
        end=end,
        exit_code=ended.exit_code,
        duration_ms=int(ended.seconds * 1000),
        log=log,
        log_sha256=hashlib.sha256(content).hexdigest(),
        counts=counts_of(content[-_TAIL:].decode("utf-8", errors="replace")),
        reason=reason.get(end, ""),
    )


def counts_of(output: str) -> dict[str, int]:
    """Passed, failed, skipped and errors, where the end of the output tells them."""
    ran = _UNITTEST.search(output)
    if ran:
        bad = {m["what"]: int(m["n"]) for m in _UNITTEST_BAD.finditer(output)}
        failed, errors = bad.get("failures", 0), bad.get("errors", 0)
        skipped = bad.get("skipped", 0)
        passed = int(ran["n"]) - failed - errors - skipped
        return {"passed": passed, "failed": failed, "errors": errors, "skipped": skipped}
    last = next((ln for ln in reversed(output.splitlines()) if " in " in ln and "s" in ln), "")
    found = {m["what"]: int(m["n"]) for m in _PYTEST.finditer(last)}
    if "error" in found:
        found["errors"] = found.pop("error")
    return found
