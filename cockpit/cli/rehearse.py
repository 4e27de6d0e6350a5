"""``cockpit rehearse``: the whole way on a sample repository, without any account."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cockpit.cli.app import new_app
from cockpit.cli.progress import Progress, summary
from cockpit.cli.surface import Surface, surface_of

if TYPE_CHECKING:
    from cockpit.profile import Profile

PROFILE = "rehearsal"
app = new_app()


@app.command()
def rehearse(
    context: typer.Context,
    script: Annotated[str, typer.Argument(help="Which script; see --scripts.")] = "happy",
    local_remote: Annotated[
        bool,
        typer.Option("--local-remote", help="A bare remote and a forge on this machine."),
    ] = False,
    scripts: Annotated[
        bool, typer.Option("--scripts", help="List the scripts and what they show.")
    ] = False,
) -> None:
    """Rehearse a whole mission: a real coder CLI, real git, real tests; the models are played.

    It uses a profile and a sample repository of its own. Nothing is pushed unless you allow it:
    cockpit --set system.allow_remote_writes=true --set system.remote_write_repos=harbor
    rehearse --local-remote
    """
    surface = surface_of(context)
    if scripts:
        _list(surface)
        return
    chosen = replace(surface, profile=surface.profile or PROFILE)
    progress = Progress(silent=surface.json or surface.plain)
    progress.say("Nothing is configured for real work here: this is a rehearsal.")
    with chosen.opened() as profile:
        code, result = asyncio.run(_walk(chosen, profile, script, progress, local=local_remote))
    if surface.json:
        surface.show(result)
    else:
        for line in summary(result):
            typer.echo(line.replace(": cockpit ", f": cockpit --profile {PROFILE} "))
    raise typer.Exit(code)


def _list(surface: Surface) -> None:
    from runner.rehearsal import scripts

    rows = [
        {"name": name, "title": script.title, "description": script.description}
        for name, script in scripts.load_all().items()
    ]
    surface.show({"scripts": rows})


async def _walk(
    surface: Surface, profile: "Profile", script: str, progress: Progress, *, local: bool
) -> tuple[int, dict[str, Any]]:
    from cockpit import rehearsal
    from cockpit.hosting import attached, real_core

    sample = await rehearsal.make_sample(profile.folders)
    progress.say(f"Sample repository: {sample.repository}")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            attached(profile, in_process=surface.in_process, open_core=real_core)
        )
        await rehearsal.register(client, sample)
        if local:
            remote = rehearsal.local_remote(profile.folders, sample)
            push_url, forge_url = await stack.enter_async_context(remote)
            await rehearsal.connect_remote(client, push_url, forge_url)
            progress.say(f"Remote on this machine: {push_url}")
        return await rehearsal.rehearse(client, sample, script, progress)
