"""What every command shares: the global options, the way to the Desk, and how answers are shown."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import orjson
import typer

from cockpit.cli.declared import listed
from cockpit.cli.exit_codes import exit_code
from cockpit.visible import visible

if TYPE_CHECKING:
    from cockpit.client import Client
    from cockpit.hosting import OpenCore
    from cockpit.profile import Profile
    from core.errors import CockpitError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Surface:
    """The global options of one command line.

    Attributes:
        overrides: ``--set key=value``, by key.
        open_core: opens the core where no owner runs; None for the real one.
    """

    json: bool = False
    plain: bool = False
    profile: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    in_process: bool = False
    verbose: bool = False
    open_core: "OpenCore | None" = None

    @contextmanager
    def opened(self) -> "Iterator[Profile]":
        """The chosen profile.

        Raises:
            Invalid: a name that is none.
        """
        from cockpit.log_file import log_to_stderr
        from cockpit.profile import open_profile

        log_to_stderr(verbose=self.verbose)
        with open_profile(self.profile, os.environ, self.overrides) as profile:
            yield profile

    def arguments(self) -> list[str]:
        """The options that decide which core is meant, for a child process."""
        chosen = ["--profile", self.profile] if self.profile else []
        for key, value in self.overrides.items():
            chosen += ["--set", f"{key}={value}"]
        return [*chosen, *(["--verbose"] if self.verbose else [])]

    def perform(self, name: str, params: Mapping[str, Any]) -> None:
        """Perform one operation and show its answer."""
        declared = listed().get(name)
        reads = declared is not None and declared.scope == "read"
        self.show(self.with_client(lambda client: client.call(name, params), reads=reads))

    def with_client(self, work: "Callable[[Client], Awaitable[_T]]", *, reads: bool = False) -> _T:
        """Do ``work`` with the Desk: the running owner's, or one opened for the duration.

        Args:
            reads: the work only looks, so that a core opened here drives nothing.
        """
        from cockpit.hosting import attached, reading_core, real_core

        async def run(profile: "Profile") -> _T:
            async with attached(
                profile,
                in_process=self.in_process,
                open_core=self.open_core or (reading_core if reads else real_core),
            ) as client:
                return await work(client)

        with self.opened() as profile:
            return asyncio.run(run(profile))

    def show(self, view: Mapping[str, Any]) -> None:
        """Write an answer to standard output, as the options ask for it."""
        if self.json:
            _write(orjson.dumps(dict(view), default=str) + b"\n")
            return
        from cockpit.cli.rendering import plain, show

        if self.plain:
            _write("".join(line + "\n" for line in plain(view)).encode())
        else:
            show(view)

    def refuse(self, error: "CockpitError", code: int | None = None) -> NoReturn:
        """Tell of a refusal and end the command.

        Raises:
            typer.Exit: with ``code``, else the table's.
        """
        tell(error, json=self.json)
        raise typer.Exit(exit_code(error) if code is None else code)


def tell(error: "CockpitError", *, json: bool) -> None:
    """Write a refusal: one object to standard output, or sentences to standard error."""
    if json:
        from cockpit.rpc.errors import facts_of

        _write(orjson.dumps(facts_of(error), default=str) + b"\n")
        return
    lines = [f"{error.sentence} [{error.code}]", *error.recovery.splitlines()]
    sys.stderr.write("".join(visible(line) + "\n" for line in lines))


def _write(data: bytes) -> None:
    """Bytes as they are, whatever the locale; a text stream without bytes below gets the text."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(data.decode())
        return
    sys.stdout.flush()
    buffer.write(data)
    buffer.flush()


def surface_of(context: typer.Context) -> Surface:
    """The global options of the command line that ``context`` belongs to."""
    found = context.find_object(Surface)
    assert found is not None
    return found
