"""The port that runs a repo's own commands on a checkout and tells how they ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

CommandName = Literal["setup", "test", "lint", "build", "ui"]
CommandEnd = Literal["passed", "failed", "not_runnable", "timed_out", "stopped"]


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a repo, as the operator confirmed it; a line for ``sh -c``."""

    name: CommandName
    line: str
    timeout_seconds: float = 1200.0


@dataclass(frozen=True, slots=True)
class CommandRun:
    """How a command ended on one checkout (domain.md §8).

    Attributes:
        end: ``not_runnable`` for exit codes 126 and 127 and for what could not be started.
        counts: passed, failed, skipped, errors, where the end of the output tells them.
        log: the whole output; ``log_sha256`` its digest.
    """

    name: CommandName
    line: str
    end: CommandEnd
    exit_code: int | None
    duration_ms: int
    log: Path
    log_sha256: str
    counts: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


class Harness(Protocol):
    """Runs commands without network where it can, and says where it could not."""

    async def run(
        self, key: str, commands: Sequence[Command], checkout: Path, logs: Path
    ) -> tuple[CommandRun, ...]:
        """Run ``commands`` one after the other in ``checkout``; every one is run.

        Args:
            key: names the process trees, for ``stop``.
            logs: folder for one log file a command.
        """
        ...

    async def stop(self, key: str) -> None:
        """End the process trees of ``key`` within 2 s; unknown keys are ignored."""
        ...
