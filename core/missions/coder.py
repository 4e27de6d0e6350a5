"""The port behind which an agent CLI changes a worktree: on the host, or sealed in a container."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from core.context import MissionId, RunId, TaskId
from core.planning.planner import AgentResult

Where = Literal["host", "docker"]


@dataclass(frozen=True, slots=True)
class CoderCall:
    """One run of a coder (domain.md §7).

    Attributes:
        worktree: the task's worktree, the only folder the coder may write.
        folder: the run's folder; the adapter makes ``in/`` and ``out/`` there.
        prompt: the whole prompt, its first line the call header.
        role: the text of ``role.md``.
        timeout_seconds: TERM after that, KILL 5 s later.
        base_url: of the provider; None for the provider's own.
        rehearsal: use a throw-away credential and configuration folder.
    """

    run: RunId
    mission: MissionId
    task: TaskId
    worktree: Path
    folder: Path
    prompt: str
    role: str
    model: str
    timeout_seconds: float
    stall_mark_seconds: float = 90.0
    stall_hold_seconds: float = 1800.0
    base_url: str | None = None
    rehearsal: bool = False


class Coder(Protocol):
    """Starts, freezes, ends and finds again the process tree of a run."""

    @property
    def where(self) -> Where:
        """Shown on every record of a run."""
        ...

    async def run(self, call: CoderCall, on_stall: Callable[[float], None]) -> AgentResult:
        """Run to the end. ``on_stall`` hears once that nothing was printed for so many seconds."""
        ...

    async def find(self, call: CoderCall) -> AgentResult | None:
        """After a restart: the result of a run that ended or is re-adopted, else None.

        Never starts the run again. A run on the host is never re-adopted, but one that had
        ended before the crash is told from its files.
        """
        ...

    async def pause(self, run: RunId) -> None:
        """Freeze the process tree; unknown ids are ignored."""
        ...

    async def resume(self, run: RunId) -> None:
        """Let a frozen process tree go on."""
        ...

    async def stop(self, run: RunId) -> None:
        """End the process tree within 2 s; its result says ``stopped``."""
        ...
