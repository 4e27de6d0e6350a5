"""Starts, stops and asks the daemon from outside; ``cockpit/daemon_process.py`` is the daemon."""

import asyncio
import os
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from cockpit.client import SocketClient, socket_path
from cockpit.daemon_process import heartbeat_file, state_file
from cockpit.ownership import Owner, facts_file, owner_of
from cockpit.profile import Profile, configuration_of
from cockpit.rpc.errors import error_from
from core.errors import Refused, Unavailable
from core.folders import TEMPORARY_PROFILE, Folders

_START_LIMIT = 60.0  # seconds until a child that says nothing is given up
_STOP_LIMIT = 30.0  # seconds between TERM and KILL: coders get 15 of them
_KILL_LIMIT = 10.0  # seconds until a killed process must be gone
_LOOK = 0.02  # seconds between two looks at a process
_ASK_LIMIT = 5.0  # seconds until a daemon that does not answer is degraded
_FOUND = ("pid", "socket", "kind", "started_at", "configuration")

Facts = dict[str, Any]


def start(profile: Profile, arguments: Sequence[str]) -> Facts:
    """Start the daemon, and return when it answers.

    Args:
        arguments: the global options of this command line, for the child.

    Returns:
        ``pid``, ``socket``, and ``started``: False when one runs with the same configuration.

    Raises:
        Refused: ``JOURNAL_OWNED`` by a command or a daemon of another configuration;
            ``DAEMON_NOT_STARTED`` when the child says nothing useful.
    """
    if profile.folders.profile == TEMPORARY_PROFILE:
        raise Refused(
            "PROFILE_THROWN_AWAY",
            "The throw-away profile ends with this command; a daemon would outlive it.",
            recovery="Use 'daemon start --foreground', or another profile.",
        )
    configuration = configuration_of(profile.settings().value)
    profile.folders.make()
    owner = owner_of(profile.folders)
    if owner is None:
        told = _spawn(profile, arguments)
        if "error" not in told:
            return {"started": True, **told}
        refusal = error_from(told["error"])
        owner = _introduced(profile.folders) if refusal.code == "JOURNAL_OWNED" else None
        if owner is None:
            raise refusal
    facts = _same(owner, configuration)
    _wait_until_it_listens(profile, owner)
    return facts


def _introduced(folders: Folders) -> Owner | None:
    """The owner, once it has said who it is: it takes the lock a moment before."""
    latest = time.monotonic() + _KILL_LIMIT
    while (owner := owner_of(folders)) is None and time.monotonic() < latest:
        time.sleep(_LOOK)
    return owner


def _wait_until_it_listens(profile: Profile, owner: Owner) -> None:
    """A daemon that another command has just started is about to answer."""
    latest = time.monotonic() + _START_LIMIT
    while owner.alive() and time.monotonic() < latest:
        if status(profile.folders, profile.environment).get("version"):
            return
        time.sleep(_LOOK)


def _same(owner: Owner, configuration: str) -> Facts:
    facts = {name: value for name, value in asdict(owner).items() if name in _FOUND}
    if owner.kind == "daemon" and owner.configuration == configuration:
        return {"started": False, **facts}
    what = "with other settings " if owner.kind == "daemon" else ""
    raise Refused(
        "JOURNAL_OWNED",
        f"A {owner.kind} {what}owns the journal already: process {owner.pid}.",
        recovery="Use 'cockpit daemon restart'."
        if owner.kind == "daemon"
        else "Wait until that command ends.",
        data=facts,
    )


def _spawn(profile: Profile, arguments: Sequence[str]) -> Facts:
    """Start the child and hear its one line about itself; its end is heard as well."""
    read, write = os.pipe()
    try:
        pid = _child(profile, arguments, write)
    finally:
        os.close(write)
    try:
        line = _first_line(read)
    finally:
        os.close(read)
    if line:
        found: Facts = orjson.loads(line)
        return found
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise Refused(
        "DAEMON_NOT_STARTED",
        "The daemon ended, or said nothing, before it answered.",
        recovery=f"Look at {_output(profile.folders)}.",
        data={"log": str(_output(profile.folders))},
    )


def _output(folders: Folders) -> Path:
    return folders.logs / "daemon.out"


def _child(profile: Profile, arguments: Sequence[str], ready: int) -> int:
    program = (
        [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "cockpit"]
    )
    argv = [*program, *arguments, "daemon", "start", "--foreground", "--ready-fd", str(ready)]
    output = os.fspath(_output(profile.folders))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    os.set_inheritable(ready, True)
    return os.posix_spawn(  # a Popen would warn about a child that outlives us, and this one does
        sys.executable,
        argv,
        dict(profile.environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _first_line(read: int) -> bytes:
    found = b""
    latest = time.monotonic() + _START_LIMIT
    while b"\n" not in found:
        waiting, _, _ = select.select([read], [], [], max(0.0, latest - time.monotonic()))
        part = os.read(read, 65536) if waiting else b""
        if not part:
            return b""
        found += part
    return found


def stop(folders: Folders) -> Facts:
    """End the owner in good order: TERM, and KILL when it takes too long.

    Returns:
        ``stopped`` (False when nothing ran), ``pid``, ``killed``; what a dead one left is removed.

    Raises:
        Refused: ``NOT_A_DAEMON`` when a command owns the journal.
    """
    owner = owner_of(folders)
    if owner is None:
        return {"stopped": False, "pid": None, "killed": False, "removed": _remove_stale(folders)}
    if owner.kind != "daemon":
        raise Refused(
            "NOT_A_DAEMON",
            f"A command owns the journal: process {owner.pid}.",
            recovery="Wait for it, or interrupt it where it runs.",
            data=asdict(owner),
        )
    killed = _end(owner)
    return {
        "stopped": True,
        "pid": owner.pid,
        "killed": killed,
        "removed": _remove_stale(folders) if killed else [],
    }


def _end(owner: Owner) -> bool:
    """Whether it had to be killed."""
    for number, limit in ((signal.SIGTERM, _STOP_LIMIT), (signal.SIGKILL, _KILL_LIMIT)):
        if not owner.alive():
            break
        with suppress(ProcessLookupError):
            os.kill(owner.pid, number)
        if _ended(owner, limit):
            return number == signal.SIGKILL
    return False


def _ended(owner: Owner, limit: float) -> bool:
    """Wait until the process has ended; it is not our child, so the kernel does not tell us."""
    latest = time.monotonic() + limit
    while owner.alive():
        if time.monotonic() > latest:
            return False
        time.sleep(_LOOK)
    return True


def _remove_stale(folders: Folders) -> list[str]:
    stale = (folders.socket, facts_file(folders), heartbeat_file(folders), state_file(folders))
    removed = [file for file in stale if os.path.lexists(file)]
    for file in removed:
        file.unlink(missing_ok=True)
    return [str(file) for file in removed]


def status(
    folders: Folders, environment: Mapping[str, str], *, patience: float = _ASK_LIMIT
) -> Facts:
    """How the owner is, by its own word; ``running`` and ``health`` are always there.

    A daemon that does not answer is degraded; a command that owns the journal is no daemon.

    Args:
        patience: seconds until an owner that does not answer is degraded.
    """
    return asyncio.run(_status(folders, environment, patience))


async def _status(folders: Folders, environment: Mapping[str, str], patience: float) -> Facts:
    client = SocketClient(socket_path(folders, environment))
    try:
        async with asyncio.timeout(patience):
            found = await client.call("daemon.status")
            return {"running": found["kind"] == "daemon", **found}
    except Unavailable:
        owner = owner_of(folders)
        if owner is None:
            return {"running": False, "health": {"state": "not running", "reasons": []}}
        return _silent(owner, "It does not listen.")
    except TimeoutError:
        owner = owner_of(folders)
        return _silent(owner, f"It did not answer within {patience:g} s.")
    finally:
        await client.close()


def _silent(owner: Owner | None, reason: str) -> Facts:
    facts = asdict(owner) if owner is not None else {}
    running = owner is None or owner.kind == "daemon"
    return {"running": running, **facts, "health": {"state": "degraded", "reasons": [reason]}}
