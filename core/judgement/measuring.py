"""Runs the repo's own commands on a commit and on its base, on fresh checkouts (domain.md §8).

A command that is not green is told apart by the base: failed, or failing before. Set-up runs first
on each checkout; without it nothing is a pass.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.desk import Desk
from core.judgement.harness import Command, CommandEnd, CommandRun
from core.missions.state import MissionState
from core.missions.workshop import RepoRef
from core.private_files import make_folder, write_private
from core.repos.settings import commands_of

MEASURED = ("test", "lint", "build")


async def measure(
    desk: Desk, state: MissionState, repo: RepoRef, *, key: str, base: str, head: str
) -> tuple[dict[str, Any], ...]:
    """The repo's commands on ``head`` and on ``base``, with the status of each.

    Args:
        key: names the process trees, for a stop.
    """
    commands = [c for c in commands_of(state.settings) if c.name in MEASURED]
    if not state.host_commands:
        return tuple(_not_confirmed(command) for command in commands)
    after = await _on_commit(desk, state, repo, key, head, commands)
    before = await _on_base(desk, state, repo, key, base, commands)
    return tuple(
        {
            **command_facts(run),
            "status": status_of(run, before.get(run.name, "")),
            "on_base": before.get(run.name, "unknown"),
        }
        for run in after
    )


def _not_confirmed(command: Command) -> dict[str, Any]:
    return {
        "name": command.name,
        "line": command.line,
        "status": "not_runnable",
        "exit_code": None,
        "duration_ms": 0,
        "counts": {},
        "log": "",
        "log_sha256": "",
        "reason": "host commands were not confirmed",
    }


def status_of(after: CommandRun, before: str) -> str:
    """passed, failed, failing_before or not_runnable; only the first is a pass (domain.md §8)."""
    if after.end == "passed":
        return "passed"
    if after.end == "not_runnable":
        return "not_runnable"
    return "failing_before" if before in ("failed", "timed_out") else "failed"


async def _on_base(
    desk: Desk,
    state: MissionState,
    repo: RepoRef,
    key: str,
    base: str,
    commands: Sequence[Command],
) -> dict[str, str]:
    """How each command ends on the base commit, measured once per commit and command line."""
    known = {c.name: _base_file(desk, state, base, c) for c in commands}
    missing = [c for c in commands if not known[c.name].exists()]
    for run in await _on_commit(desk, state, repo, key, base, missing):
        if run.end != "stopped":
            write_private(known[run.name], run.end.encode())
    return {name: file.read_text(encoding="utf-8") for name, file in known.items() if file.exists()}


def _base_file(desk: Desk, state: MissionState, base: str, command: Command) -> Path:
    line = hashlib.sha256(command.line.encode()).hexdigest()[:16]
    folder = desk.folders.data / "base-results"
    make_folder(folder)
    return folder / f"{state.repo}-{base}-{line}"


async def _on_commit(
    desk: Desk,
    state: MissionState,
    repo: RepoRef,
    key: str,
    commit: str,
    commands: Sequence[Command],
) -> tuple[CommandRun, ...]:
    if not commands:
        return ()
    folder = desk.folders.worktrees / f"check-{key}-{commit[:12]}"
    logs = desk.run_folder(key) / f"commands-{commit[:12]}"
    setup = [c for c in commands_of(state.settings) if c.name == "setup"]
    await desk.ports.workshop.clean_checkout(repo, commit, folder)
    try:
        prepared = await desk.ports.harness.run(key, setup, folder, logs)
        if all(run.end == "passed" for run in prepared):
            return await desk.ports.harness.run(key, commands, folder, logs)
        return tuple(_without_setup(command, prepared[0]) for command in commands)
    finally:
        await desk.ports.workshop.drop_checkout(folder)


def _without_setup(command: Command, setup: CommandRun) -> CommandRun:
    """A command whose set-up failed was not run; the set-up's log says why."""
    end: CommandEnd = "stopped" if setup.end == "stopped" else "not_runnable"
    return replace(setup, name=command.name, line=command.line, end=end, reason="set-up failed")


def command_facts(run: CommandRun) -> dict[str, Any]:
    """A command's result as it stands in the journal and in ``tests.json``."""
    return {
        "name": run.name,
        "line": run.line,
        "end": run.end,
        "exit_code": run.exit_code,
        "duration_ms": run.duration_ms,
        "counts": dict(run.counts),
        "log": str(run.log),
        "log_sha256": run.log_sha256,
        "reason": run.reason,
    }
