"""``cockpit vault …``: make the encrypted file vault, and unlock the one a daemon uses."""

import typer

from cockpit.cli.app import new_app
from cockpit.cli.surface import Surface, surface_of
from core.errors import Refused

app = new_app()


@app.command()
def init(context: typer.Context) -> None:
    """Make the file vault with a new passphrase."""
    from cockpit.cli.hidden_input import read_new
    from runner.vault import open_vault

    surface = surface_of(context)
    with surface.opened() as profile:
        folders = profile.folders.make()
        if folders.vault_file.exists():
            raise Refused(
                "VAULT_EXISTS",
                f"There is a vault already: {folders.vault_file}.",
                recovery="Unlock it with 'cockpit vault unlock'.",
                data={"file": str(folders.vault_file)},
            )
        vault = open_vault(folders, profile.settings().value, profile.environment)
        vault.unlock(read_new("New passphrase") if vault.kind == "file" else "")
        surface.show({"vault": vault.kind, "file": str(folders.vault_file)})


@app.command()
def unlock(context: typer.Context) -> None:
    """Unlock the vault of the running daemon until it ends."""
    surface = surface_of(context)
    surface.show(_unlock(surface))


def _unlock(surface: Surface) -> dict[str, object]:
    import asyncio

    from cockpit.cli.hidden_input import read_hidden
    from cockpit.client import SocketClient, socket_path

    with surface.opened() as profile:
        path = socket_path(profile.folders, profile.environment)

    async def ask() -> dict[str, object]:
        client = SocketClient(path)
        try:
            await client.connect()  # refused before a passphrase is asked for
            passphrase = await asyncio.to_thread(read_hidden, "Passphrase of the vault")
            return await client.call("vault.unlock", {"passphrase": passphrase})
        finally:
            await client.close()

    return asyncio.run(ask())
