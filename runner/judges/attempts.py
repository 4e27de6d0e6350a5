"""One way to ask a provider: time-out for each attempt, back-off, Retry-After, and an honest end.

What a provider or a model does never raises: it becomes a reply with a failure.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from core.judgement.judge import JudgeCall, JudgeFailure, JudgeReply
from core.ledger.model_usage import ModelUsage

LONGEST_WAIT = 60.0
_FIRST_WAIT = 0.5
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt brought.

    Attributes:
        retry_after: the header, verbatim.
    """

    text: str | None = None
    failure: JudgeFailure | None = None
    usage: ModelUsage | None = None
    request_id: str | None = None
    status: int | None = None
    retry_after: str | None = None
    error: str = ""

    @property
    def worth_repeating(self) -> bool:
        """Whether another attempt could end otherwise."""
        if self.failure in ("timed_out", "unreachable"):
            return True
        return self.status in _AGAIN


async def ask(call: JudgeCall, attempt: Callable[[], Awaitable[Answer]]) -> JudgeReply:
    """Attempt, and attempt again where it may help; the last answer counts."""
    began = time.monotonic()
    usage: list[ModelUsage] = []
    answer = Answer(failure="unreachable")
    number = 0
    while number <= call.retries:
        number += 1
        answer = await _once(call, attempt)
        if answer.usage is not None:
            usage.append(answer.usage)
        if not answer.worth_repeating or number > call.retries:
            break
        await asyncio.sleep(_wait(answer, number))
    return JudgeReply(
        model=call.model,
        text=answer.text,
        failure=answer.failure,
        usage=tuple(usage),
        request_id=answer.request_id,
        status=answer.status,
        attempts=number,
        duration_ms=int((time.monotonic() - began) * 1000),
        error=answer.error,
    )


async def _once(call: JudgeCall, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    try:
        async with asyncio.timeout(call.timeout_seconds):
            return await attempt()
    except TimeoutError:
        return Answer(failure="timed_out", error=f"No answer in {call.timeout_seconds:g} s.")


def _wait(answer: Answer, number: int) -> float:
    asked = seconds_of(answer.retry_after)
    if asked is not None:
        return min(asked, LONGEST_WAIT)
    return min(LONGEST_WAIT, _FIRST_WAIT * 2.0**number * random.uniform(0.5, 1.0))  # noqa: S311


def seconds_of(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds: a number, or a date; None for anything else."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        return _until(retry_after)
    return seconds if 0 <= seconds < 1e9 else None


def _until(date: str) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def failure_of(status: int) -> JudgeFailure:
    """What an HTTP status means."""
    if status in (401, 403):
        return "unauthorised"
    return "rate_limited" if status == 429 else "http_error"
