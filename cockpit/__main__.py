"""Starts the command line, and turns what it ends with into words and an exit code."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn

import typer

from cockpit.cli.app import app
from cockpit.cli.exit_codes import FAILED, exit_code
from cockpit.cli.surface import tell
from core.errors import Broken, CockpitError, Refused

_SWITCHES = frozenset({"--json", "--plain", "--in-process", "--verbose"})
_WITH_VALUE = frozenset({"--profile", "--set"})


def global_first(arguments: Sequence[str]) -> list[str]:
    """The command line with its global options in front, wherever they stood before ``--``."""
    first: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*first, *rest, word, *left]
        if word in _SWITCHES or word.partition("=")[0] in _WITH_VALUE:
            first.append(word)
            if word in _WITH_VALUE and left:
                first.append(left.pop(0))
        else:
            rest.append(word)
    return [*first, *rest]


def run(arguments: Sequence[str]) -> int:
    """Perform a command line; its exit code (domain.md §17)."""
    ordered = global_first(arguments)
    json = "--json" in ordered[: ordered.index("--")] if "--" in ordered else "--json" in ordered
    command = typer.main.get_command(app)
    try:
        ended = command.main(args=ordered, prog_name="cockpit", standalone_mode=False)
    except CockpitError as error:
        tell(error, json=json)
        return exit_code(error)
    except typer.TyperException as error:
        usage = _usage(error)
        tell(usage, json=json)
        return exit_code(usage) if error.exit_code == exit_code(usage) else error.exit_code
    except typer.Abort:
        return FAILED
    return ended if isinstance(ended, int) else 0


def _usage(error: typer.TyperException) -> CockpitError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "cockpit"
    return Refused("USAGE", error.format_message(), recovery=f"See '{path} --help'.")


def _told_as_json(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A bug: the traceback for us, and still one object for who reads it."""
    sys.__excepthook__(kind, error, trace)
    tell(Broken(f"A bug: {kind.__name__}. The traceback is on standard error."), json=True)


def main() -> NoReturn:
    """The console script ``cockpit``."""
    if "--json" in sys.argv:
        sys.excepthook = _told_as_json
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
