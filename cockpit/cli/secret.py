"""``cockpit secret …``: store, list, remove and try secrets. No value is ever shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cockpit.cli.app import new_app
from cockpit.cli.surface import Surface, surface_of
from core.errors import Refused

if TYPE_CHECKING:
    from core.vault import Vault

app = new_app()
Name = Annotated[str, typer.Argument(help="Such as github_token; see 'secret list'.")]


@contextmanager
def open_vault_of(surface: Surface) -> "Iterator[Vault]":
    """The profile's vault, unlocked; at a terminal its passphrase is asked for.

    Raises:
        Unavailable: ``HOLD-VAULT-LOCKED`` when nobody can be asked.
    """
    import sys

    from cockpit.cli.hidden_input import read_hidden
    from runner.vault import open_vault

    with surface.opened() as profile:
        folders = profile.folders.make()
        vault = open_vault(folders, profile.settings().value, profile.environment)
        if vault.locked and folders.vault_file.exists() and sys.stdin.isatty():
            from core.errors import CockpitError

            try:
                vault.names()  # a key file may open it
            except CockpitError:
                vault.unlock(read_hidden("Passphrase of the vault"))
        yield vault


@app.command("set")
def set_(context: typer.Context, name: Name) -> None:
    """Store a secret, typed without echo or given on standard input."""
    from cockpit.cli.hidden_input import read_hidden
    from core.vault import secret_kind

    kind = secret_kind(name)
    surface = surface_of(context)
    with open_vault_of(surface) as vault:
        vault.set(kind.name, read_hidden(f"{kind.name} ({kind.source})"))
        surface.show({"name": kind.name, "stored": True, "vault": vault.kind})


@app.command("list")
def list_(context: typer.Context) -> None:
    """The secrets that can be used, and which of them are stored."""
    from core.vault import SECRETS

    surface = surface_of(context)
    with open_vault_of(surface) as vault:
        stored = vault.names()
        rows = [
            {
                "name": kind.name,
                "stored": kind.name in stored,
                "purpose": kind.purpose,
                "source": kind.source,
            }
            for kind in SECRETS.values()
        ]
        surface.show({"vault": vault.kind, "secrets": rows})


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Forget a secret."""
    surface = surface_of(context)
    with open_vault_of(surface) as vault:
        surface.show({"name": name, "removed": vault.remove(name), "vault": vault.kind})


@app.command()
def test(context: typer.Context, name: Name) -> None:
    """Read a secret back and check its form; nobody outside is asked."""
    from core.vault import check_secret, secret_kind

    kind = secret_kind(name)
    surface = surface_of(context)
    with open_vault_of(surface) as vault:
        found = vault.get(kind.name)
        if found is None:
            raise Refused(
                "SECRET_MISSING",
                f"No {kind.name} is stored; it {kind.purpose}.",
                recovery=f"Get one from: {kind.source}; then 'cockpit secret set {kind.name}'.",
                data={"name": kind.name},
            )
        check_secret(kind.name, found.get_secret_value())
        surface.show({"name": kind.name, "readable": True, "form": "right", "vault": vault.kind})
