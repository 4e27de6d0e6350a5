"""The port behind which a validator family judges an evidence package, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.ledger.model_usage import ModelUsage

JudgeFailure = Literal[
    "http_error", "rate_limited", "unauthorised", "timed_out", "unreachable", "refusal", "malformed"
]


@dataclass(frozen=True, slots=True)
class JudgeCall:
    """One judgement (domain.md §11).

    Attributes:
        evidence: the exact bytes of ``judge-input.json``; identical for every family.
        timeout_seconds: of one attempt.
        retries: further attempts after the first, with back-off and Retry-After.
    """

    evidence: bytes
    instructions: str
    schema: Mapping[str, Any]
    model: str
    timeout_seconds: float = 60.0
    retries: int = 2
    base_url: str | None = None
    rehearsal: bool = False


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """What came back. ``text`` is unvalidated model output; None together with a ``failure``.

    Attributes:
        usage: one entry for each answered attempt.
        status: the last HTTP status, if there was one.
    """

    model: str
    text: str | None
    failure: JudgeFailure | None
    usage: tuple[ModelUsage, ...] = ()
    request_id: str | None = None
    status: int | None = None
    attempts: int = 1
    duration_ms: int = 0
    error: str = ""


class Judge(Protocol):
    """One validator family."""

    @property
    def family(self) -> str:
        """``openai`` or ``gemini`` (or ``claude`` beside a coder of the OpenAI family)."""
        ...

    async def judge(self, call: JudgeCall) -> JudgeReply:
        """Ask once, with retries. Never raises for what a provider or a model does.

        Raises:
            Unavailable: ``HOLD-VALIDATOR-CONFIG`` when the family has no key;
                ``HOLD-VAULT-LOCKED`` when the key cannot be read.
        """
        ...
