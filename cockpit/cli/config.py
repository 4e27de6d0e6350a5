"""``cockpit config …``: the settings of a profile, with the origin of each value."""

from typing import Annotated

import typer

from cockpit.cli.app import new_app
from cockpit.cli.surface import surface_of
from core.errors import Invalid
from core.folders import Folders

app = new_app()
Key = Annotated[str, typer.Argument(help="Dotted, such as system.language", show_default=False)]


@app.command()
def show(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Only this key or section.")] = "",
) -> None:
    """The settings in force, and where each one came from."""
    from core.settings import explain

    surface = surface_of(context)
    with surface.opened() as profile:
        found = [
            {"key": each.key, "value": each.value, "source": each.source, "where": each.where}
            for each in explain(profile.settings())
            if not key or each.key == key or each.key.startswith(f"{key}.")
        ]
        if not found:
            raise Invalid("key", f"There is no setting {key}.", recovery="See 'config show'.")
        surface.show({"file": str(profile.folders.settings_file), "settings": found})


@app.command("set")
def set_(
    context: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(help="Lists as JSON or a,b", show_default=False)],
) -> None:
    """Write one setting into the profile's file; a wrong one changes nothing."""
    from core.settings import set_value

    surface = surface_of(context)
    with surface.opened() as profile:
        set_value(profile.folders.settings_file, key, value)
        now = profile.settings().provenance[key]
        surface.show(
            {"key": key, "value": now.value, "source": now.source, "where": now.where,
             "running": _running(profile.folders)}
        )  # fmt: skip


@app.command()
def unset(context: typer.Context, key: Key) -> None:
    """Take one setting out of the profile's file, so that the next source speaks."""
    from core.settings import unset_value

    surface = surface_of(context)
    with surface.opened() as profile:
        removed = unset_value(profile.folders.settings_file, key)
        now = profile.settings().provenance[key]
        surface.show(
            {"key": key, "removed": removed, "value": now.value, "source": now.source,
             "where": now.where, "running": _running(profile.folders)}
        )  # fmt: skip


def _running(folders: Folders) -> str:
    """What a running owner makes of the change."""
    from cockpit.ownership import owner_of

    owner = owner_of(folders)
    if owner is None:
        return ""
    return f"process {owner.pid} reads it on SIGHUP (kill -HUP {owner.pid}) or when restarted"
