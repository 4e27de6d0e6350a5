"""``cockpit rpc METHOD [JSON]``: any method of the running owner, by hand."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from cockpit.cli.app import new_app
from cockpit.cli.surface import Surface, surface_of
from core.errors import Invalid

app = new_app()


@app.command()
def rpc(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="Such as daemon.status or rpc.discover.")],
    params: Annotated[str, typer.Argument(metavar="[JSON]", help="Parameters by name.")] = "{}",
) -> None:
    """Call a method of the running owner; event.subscribe goes on until it is interrupted."""
    from cockpit.client import socket_path

    surface = surface_of(context)
    given = _read(params)
    with surface.opened() as profile:
        path = socket_path(profile.folders, profile.environment)
    asyncio.run(_call(surface, path, method, given))


def _read(text: str) -> dict[str, Any]:
    try:
        given = orjson.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise Invalid("params", "Parameters are one JSON object.", recovery='Write {"limit": 1}.')
    return given


async def _call(surface: Surface, path: Path, method: str, params: dict[str, Any]) -> None:
    from cockpit.client import SocketClient

    client = SocketClient(path)
    try:
        if method == "event.subscribe":
            async for event in client.follow(params.get("since", 0), params.get("topics", ())):
                typer.echo(orjson.dumps(event).decode())
            return
        found = await client.call(method, params)
    finally:
        await client.close()
    options = None if surface.json else orjson.OPT_INDENT_2
    typer.echo(orjson.dumps(found, option=options).decode())
