"""The port behind which an agent CLI reads a repository and answers with structured output.

It has reading tools only and works on a checkout that is not the operator's (domain.md §5).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from core.ledger.model_usage import ModelUsage

AgentEnd = Literal[
    "finished",  # the process ended well and its result envelope says so
    "failed",  # it ended badly for a reason of its own
    "timed_out",
    "stalled",  # no output for the policy's longest silence
    "stopped",  # we ended it
    "rate_limited",
    "auth_failed",
    "cli_missing",
    "lost",  # the infrastructure went away: retried, not charged to the agent
]


UNKNOWN_RESET = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class AgentResult:
    """How one process of an agent CLI ended, derived by the harness from its output.

    Attributes:
        exit_code: of the process; None when it never started or was lost.
        structured: what the CLI returned for the JSON schema, unvalidated; None without one.
        text: the agent's last words: narration, never evidence.
        usage: from the envelope's ``modelUsage``, one entry a model.
        resets_at: when a rate limit ends, as the provider stated it.
        error: one line about a failure, with secrets removed.
    """

    end: AgentEnd
    exit_code: int | None = None
    structured: Any = None
    text: str = ""
    usage: tuple[ModelUsage, ...] = ()
    resets_at: datetime | None = None
    error: str = ""
    duration_ms: int = 0
    turns: int = 0


def resumes_at(stated: datetime | None, now: datetime) -> datetime:
    """When to try again after a rate limit: what was stated, else in five minutes.

    A time that has passed already was no help, and is not tried in a loop.
    """
    return stated if stated is not None and stated > now else now + UNKNOWN_RESET


@dataclass(frozen=True, slots=True)
class PlannerCall:
    """One turn of the planner.

    Attributes:
        call_id: names the process and its folder; ``r-…``.
        checkout: a read-only worktree of the mirror.
        folder: where the call's input and output files go; made by the adapter, 0700.
        prompt: the whole prompt, its first line the call header.
        schema: JSON schema of the structured output.
        base_url: of the provider; None for the provider's own.
        rehearsal: use a throw-away credential and configuration folder.
    """

    call_id: str
    checkout: Path
    folder: Path
    prompt: str
    schema: Mapping[str, Any]
    model: str
    timeout_seconds: float
    base_url: str | None = None
    rehearsal: bool = False


class Planner(Protocol):
    """An agent CLI with reading tools."""

    async def ask(self, call: PlannerCall, on_text: Callable[[str], None]) -> AgentResult:
        """Run one turn to its end; ``on_text`` hears the prose as it streams."""
        ...

    async def stop(self, call_id: str) -> None:
        """End the process tree of that call within 2 s; unknown ids are ignored."""
        ...
