"""``cockpit journal …``: verify with an exit code, and follow what is being recorded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from cockpit.cli.app import new_app
from cockpit.cli.exit_codes import FAILED
from cockpit.cli.surface import Surface, surface_of

if TYPE_CHECKING:
    from cockpit.client import Client

app = new_app(no_args_is_help=True)


@app.callback()
def journal() -> None:
    """Verify, rebuild and follow the journal."""


@app.command()
def verify(context: typer.Context) -> None:
    """Check the hash chain over every event; exit code 1 names the first damaged one."""
    surface = surface_of(context)
    report = surface.with_client(lambda client: client.call("journal.verify"))
    surface.show(report)
    if not report["ok"]:
        raise typer.Exit(FAILED)


@app.command()
def tail(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows.")] = False,
    lines: Annotated[int, typer.Option("--lines", min=0, max=5000, help="How many.")] = 20,
    topic: Annotated[
        list[str] | None, typer.Option("--topic", metavar="GLOB", help="Only kinds like this.")
    ] = None,
) -> None:
    """The last events; with -f also those to come, also over a restart of the daemon."""
    surface = surface_of(context)
    surface.with_client(lambda client: _tail(surface, client, lines, topic or (), follow=follow))


async def _tail(
    surface: Surface, client: "Client", lines: int, topics: Sequence[str], *, follow: bool
) -> None:
    from fnmatch import fnmatchcase

    from cockpit.client import follow_resuming

    head = (await client.call("event.list", {"limit": 1}))["head"]
    after = max(0, head - lines)
    if lines:
        page = await client.call("event.list", {"after": after, "limit": lines})
        for event in page["events"]:
            after = event["seq"]
            if not topics or any(fnmatchcase(event["kind"], topic) for topic in topics):
                _show(surface, event)
    if follow:
        async for event in follow_resuming(client, after, topics):
            _show(surface, event)


def _show(surface: Surface, event: dict[str, Any]) -> None:
    from cockpit.visible import one_line

    if surface.json:
        typer.echo(orjson.dumps(event).decode())
        return
    payload = orjson.dumps(event["payload"]).decode()
    words = [str(event[name]) for name in ("seq", "at", "stream", "kind", "actor")]
    typer.echo(one_line(" ".join([*words, payload]), 70 if surface.plain else None))
