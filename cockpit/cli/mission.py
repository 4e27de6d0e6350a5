"""``cockpit mission run``: one mission from a goal to the gate, with nobody at the keyboard."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cockpit.cli.app import new_app
from cockpit.cli.surface import Surface, surface_of
from core.errors import Invalid

app = new_app()


@app.callback()
def missions() -> None:
    """Approved work: start, watch, deliver."""


@app.command("run")
def run(
    context: typer.Context,
    repo: Annotated[Path, typer.Option("--repo", help="Folder of a git repository.")],
    goal: Annotated[str, typer.Option("--goal", help="What you want, in your own words.")],
    criterion: Annotated[
        list[str] | None,
        typer.Option("--criterion", help="How it is known to be right; repeatable."),
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option("--answer", metavar="FIELD=TEXT", help="Answers a question; repeatable."),
    ] = None,
    base_branch: Annotated[
        str, typer.Option("--base-branch", help="Needed for a checkout that is on no branch.")
    ] = "",
    title: Annotated[str, typer.Option("--title", help="Default: the goal's first line.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Approve the plan; answers and confirms nothing.")
    ] = False,
    confirm_criteria: Annotated[
        bool, typer.Option("--confirm-criteria", help="Confirm what the planner proposes.")
    ] = False,
    drop_proposed: Annotated[
        bool, typer.Option("--drop-proposed", help="Remove what the planner proposes.")
    ] = False,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="Play the models from a script; no account.")
    ] = False,
    script: Annotated[
        str, typer.Option("--script", help="Which script; default: by the repository.")
    ] = "",
    run_commands_on_host: Annotated[
        bool, typer.Option("--run-commands-on-host", help="The repo's commands may run here.")
    ] = False,
) -> None:
    """Do a whole mission: brainstorm, plan, code, evidence, verdicts, decision, gate.

    Ends with 0 done, 10 waiting, 11 blocked, 12 held, 13 refused, 14 clarification needed.
    """
    from cockpit.mission_run import Wanted

    if confirm_criteria and drop_proposed:
        raise Invalid("drop_proposed", "--confirm-criteria and --drop-proposed exclude each other.")
    surface = surface_of(context)
    wanted = Wanted(
        repo=repo,
        goal=goal,
        criteria=tuple(criterion or ()),
        answers=_answers(answer or []),
        title=title,
        base_branch=base_branch,
        approve=yes,
        confirm_criteria=confirm_criteria,
        drop_proposed=drop_proposed,
        run_commands_on_host=run_commands_on_host or _confirmed(surface),
    )
    if rehearsal or script:
        from cockpit.rehearsal import choose_script
        from runner.rehearsal import scripts

        chosen = choose_script(repo.expanduser().absolute(), script)
        attempted = scripts.load(chosen).goal_attempted
        wanted = replace(wanted, rehearsal=chosen, goal_attempted=attempted)
    _perform(surface, wanted)


@app.command("wait")
def wait(
    context: typer.Context,
    mission: Annotated[str, typer.Argument(help="Mission id, such as m-4T9K2QX0ZB.")],
) -> None:
    """Wait until a mission is decided, held or ended; the exit codes are those of 'run'."""
    from cockpit.cli.progress import Progress
    from cockpit.mission_run import MissionRun, Wanted

    surface = surface_of(context)
    progress = Progress(silent=surface.json or surface.plain)
    wanted = Wanted(repo=Path(), goal="")
    _tell(
        surface,
        surface.with_client(lambda client: MissionRun(client, wanted, progress).wait(mission)),
    )


def _answers(given: list[str]) -> dict[str, str]:
    pairs = {}
    for each in given:
        field, equals, text = each.partition("=")
        if not equals or not field.strip() or not text.strip():
            raise Invalid(
                "answer",
                f"{each!r} is no answer.",
                recovery='Write --answer target="src/app.py".',
            )
        pairs[field.strip()] = text.strip()
    return pairs


def _confirmed(surface: Surface) -> bool:
    """On the host the repo's commands run as you: a person at the terminal is asked."""
    if surface.json or surface.plain or not sys.stdin.isatty():
        return False
    question = "May this repository's own commands (tests, set-up) run on this machine, as you?"
    return typer.confirm(question, default=False)


def _perform(surface: Surface, wanted: object) -> None:
    from cockpit.cli.progress import Progress
    from cockpit.mission_run import MissionRun, Wanted

    assert isinstance(wanted, Wanted)
    progress = Progress(silent=surface.json or surface.plain)
    try:
        ended = surface.with_client(lambda client: MissionRun(client, wanted, progress).run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo("Interrupted. What was recorded stays: cockpit mission list", err=True)
        raise typer.Exit(1) from None
    _tell(surface, ended)


def _tell(surface: Surface, ended: tuple[int, dict[str, Any]]) -> None:
    """Show how it ended, and end the command accordingly."""
    from cockpit.cli.progress import summary

    code, result = ended
    if surface.json:
        surface.show(result)
    else:
        for line in summary(result):
            typer.echo(line)
    raise typer.Exit(code)
