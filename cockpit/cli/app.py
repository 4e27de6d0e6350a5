"""The command line ``cockpit``: which words it knows, and where each of them is written.

A noun's commands are derived from the declared operations. A hand-written module adds to them, or
replaces one of the same name: register it in ``WRITTEN``.
"""

import importlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cockpit.cli.declared import Declared, listed, registered
from cockpit.cli.surface import Surface


@dataclass(frozen=True, slots=True)
class Written:
    """A noun, or a command without a verb, with code of its own.

    Attributes:
        module: holds ``app``, a ``typer.Typer``: with one command and no callback it is a command
            itself, else its commands are the noun's verbs.
        help: one line; the module is imported only when the word is used.
    """

    module: str
    help: str


WRITTEN: dict[str, Written] = {
    "config": Written("cockpit.cli.config", "Show and change the settings of a profile."),
    "daemon": Written("cockpit.cli.daemon", "The process that works without a window."),
    "doctor": Written("cockpit.cli.doctor", "What this machine has and lacks, and what mends it."),
    "mission": Written("cockpit.cli.mission", "Approved work: start, watch, deliver."),
    "rehearse": Written("cockpit.cli.rehearse", "Try the whole way, without any account."),
    "journal": Written("cockpit.cli.journal", "Verify, rebuild and follow the journal."),
    "rpc": Written("cockpit.cli.rpc", "Call a method by hand, with parameters as JSON."),
    "secret": Written("cockpit.cli.secret", "Keep secrets in the vault."),
    "vault": Written("cockpit.cli.vault", "Make and unlock the vault."),
}
_ABOUT = {
    "approval": "What waits for your yes or no.",
    "artifact": "Documents of a plan.",
    "clarification": "Questions to answer before work may start.",
    "criterion": "Acceptance criteria of a session.",
    "event": "What was recorded.",
    "hold": "What waits, why, and what helps.",
    "mission": "Approved work: start, watch, deliver.",
    "repo": "Registered repositories.",
    "session": "Talk with the planner until a plan is ready.",
    "usage": "Tokens and cost.",
}


class NounGroup(TyperGroup):
    """The commands of one noun: the hand-written ones, and a derived one for each operation."""

    def __init__(self, *, operations: dict[str, Declared], written: Any = None, **options: Any):
        super().__init__(**options)
        self._operations = operations
        if written is not None:
            self.commands = dict(written.commands)

    def list_commands(self, ctx: Any) -> list[str]:
        """See :class:`typer.core.TyperGroup`."""
        return sorted({*self.commands, *self._operations})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See :class:`typer.core.TyperGroup`."""
        if cmd_name not in self.commands and cmd_name in self._operations:
            self.commands[cmd_name] = _derived(self._operations[cmd_name])
        return self.commands.get(cmd_name)


class RootGroup(TyperGroup):
    """The nouns, each imported when it is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """See :class:`typer.core.TyperGroup`."""
        nouns = {operation.noun for operation in listed().values()}
        return sorted(nouns | WRITTEN.keys())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """See :class:`typer.core.TyperGroup`."""
        if cmd_name not in self.commands:
            found = _noun(cmd_name)
            if found is not None:
                self.commands[cmd_name] = found
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list in ``--help``, which imports nothing."""
        rows = [(name, _about(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _about(noun: str) -> str:
    return WRITTEN[noun].help if noun in WRITTEN else _ABOUT.get(noun, "")


def _noun(name: str) -> Any:
    """The command or group of a word; the core itself is asked when the list does not know it."""
    operations = _operations(listed(), name)
    if not operations and name not in WRITTEN:
        operations = _operations(registered(), name)
        if not operations:
            return None
    written = None
    if name in WRITTEN:
        app = importlib.import_module(WRITTEN[name].module).app
        written = typer.main.get_command(app)
        if not isinstance(written, TyperGroup):
            written.name = name
            return written
    return NounGroup(
        name=name,
        operations=operations,
        written=written,
        help=_about(name),
        no_args_is_help=True,
        rich_markup_mode=None,
    )


def _operations(known: dict[str, Declared], noun: str) -> dict[str, Declared]:
    return {each.verb: each for each in known.values() if each.noun == noun}


def _derived(declared: Declared) -> Any:
    from cockpit.cli.derived import command_of

    single = new_app()
    single.command(name=declared.verb)(command_of(declared))
    return typer.main.get_command(single)


def new_app(**options: Any) -> typer.Typer:
    """A Typer as every module of the command line makes it."""
    return typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **options
    )


app = typer.Typer(
    cls=RootGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="A cockpit for one operator: coding agents at work, and evidence about it.",
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"cockpit {version('operator-cockpit')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="One JSON object, also on refusal.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="At most 20 short lines.")] = False,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="'temp' is thrown away.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, for this command only."),
    ] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Do not attach to a running daemon.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say what is being done.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version."),
    ] = False,
) -> None:
    """Take the global options; they may stand anywhere on the command line."""
    from core.settings.sources import parse_options

    if isinstance(context.obj, Surface):
        return  # a test brought its own
    overrides = parse_options(settings or [])
    context.obj = Surface(json, plain, profile, overrides, in_process, verbose)
