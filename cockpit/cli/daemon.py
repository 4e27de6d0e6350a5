"""``cockpit daemon …``: start, stop and look at the process that works without a window."""

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer

from cockpit.cli.app import new_app
from cockpit.cli.exit_codes import DONE, FAILED, NOT_RUNNING
from cockpit.cli.surface import Surface, surface_of
from core.errors import CockpitError, Refused

if TYPE_CHECKING:
    from cockpit.profile import Profile

app = new_app()
_LOOK_SECONDS = 0.2  # between two looks at a log that is followed
_HEALTH = {"healthy": DONE, "degraded": FAILED, "not running": NOT_RUNNING}


@app.command()
def start(
    context: typer.Context,
    foreground: Annotated[bool, typer.Option("--foreground", help="Be the daemon.")] = False,
    ready_fd: Annotated[int | None, typer.Option("--ready-fd", hidden=True)] = None,
) -> None:
    """Start the daemon; returns when it answers."""
    surface = surface_of(context)
    with surface.opened() as profile:
        if foreground:
            _be_the_daemon(surface, profile, ready_fd)
        else:
            _start(surface, profile)


def _start(surface: Surface, profile: "Profile") -> None:
    from cockpit import daemon

    try:
        facts = daemon.start(profile, surface.arguments())
    except Refused as refusal:
        if refusal.code != "JOURNAL_OWNED":
            raise
        surface.refuse(refusal, NOT_RUNNING)
    surface.show(facts)


def _be_the_daemon(surface: Surface, profile: "Profile", ready_fd: int | None) -> None:
    from cockpit.daemon_process import Daemon, log_file
    from cockpit.hosting import real_core
    from cockpit.log_file import log_to
    from cockpit.rpc.errors import error_object

    def tell(facts: dict[str, Any]) -> None:
        if ready_fd is not None:
            os.write(ready_fd, orjson.dumps(facts, default=str) + b"\n")

    def ready() -> None:
        tell({"pid": os.getpid(), "socket": str(profile.folders.socket)})

    os.umask(0o077)
    log = None
    try:
        profile.folders.make()
        terminal = sys.stderr if ready_fd is None else None
        log = log_to(log_file(profile.folders), also=terminal, verbose=surface.verbose)
        asyncio.run(Daemon(profile, surface.open_core or real_core, ready).run())
    except CockpitError as error:
        tell({"error": error_object(error)})
        raise
    finally:
        if log is not None:
            log.close()


@app.command()
def stop(context: typer.Context) -> None:
    """Stop the daemon in good order; what a dead one left behind is removed."""
    from cockpit import daemon

    surface = surface_of(context)
    with surface.opened() as profile:
        surface.show(daemon.stop(profile.folders))


@app.command()
def restart(context: typer.Context) -> None:
    """Stop the daemon if it runs, and start it."""
    from cockpit import daemon

    surface = surface_of(context)
    with surface.opened() as profile:
        profile.settings()  # refused before anything is stopped
        daemon.stop(profile.folders)
        _start(surface, profile)


@app.command()
def status(context: typer.Context) -> None:
    """How the daemon is: exit code 0 healthy, 1 degraded, 3 not running."""
    surface = surface_of(context)
    facts = _status(surface)
    surface.show(facts)
    _end(facts)


@app.command()
def ping(context: typer.Context) -> None:
    """Whether the daemon answers: exit code 0 healthy, 1 degraded, 3 not running."""
    surface = surface_of(context)
    facts = _status(surface)
    surface.show({name: facts.get(name) for name in ("running", "pid", "health")})
    _end(facts)


def _status(surface: Surface) -> dict[str, Any]:
    from cockpit import daemon

    with surface.opened() as profile:
        return daemon.status(profile.folders, profile.environment)


def _end(facts: dict[str, Any]) -> NoReturn:
    raise typer.Exit(_HEALTH[facts["health"]["state"]] if facts["running"] else NOT_RUNNING)


@app.command()
def logs(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows.")] = False,
    lines: Annotated[int, typer.Option("--lines", min=0, max=100_000, help="How many.")] = 50,
) -> None:
    """The daemon's log: one JSON object a line with --json, else sentences."""
    from cockpit.daemon_process import log_file
    from cockpit.log_file import Tail, last_lines

    surface = surface_of(context)
    with surface.opened() as profile:
        path = log_file(profile.folders)
        tail = Tail(path)
        try:
            for line in last_lines(path, lines):
                _show_entry(surface, line)
            while follow:
                for line in tail.news():
                    _show_entry(surface, line)
                time.sleep(_LOOK_SECONDS)
        finally:
            tail.close()


def _show_entry(surface: Surface, line: str) -> None:
    from cockpit.visible import one_line, visible

    if surface.json:
        typer.echo(visible(line))
        return
    try:
        entry = orjson.loads(line)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        typer.echo(visible(line))
        return
    trace = entry.pop("exception", "")
    head = [str(entry.pop(name, "")) for name in ("timestamp", "level", "event")]
    facts = [f"{name}={value}" for name, value in entry.items() if name != "logger"]
    typer.echo(one_line(" ".join([*head, *facts])))
    if trace:
        typer.echo(visible(str(trace)))
