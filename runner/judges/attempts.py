"""One way to ask a provider: time-out for each attempt, back-off, Retry-After, and an honest end.

What a provider or a model does never raises: it becomes a reply with a failure.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import stamina

from core.judgement.judge import JudgeCall, JudgeFailure, JudgeReply
from core.ledger.model_usage import ModelUsage
from runner.waiting import Pace, seconds_of

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


PACE = Pace()


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
        return self.failure is not None and self.status in _AGAIN


class _AgainError(Exception):
    """Another attempt may help; its text is safe to log."""

    def __init__(self, answer: Answer):
        super().__init__(answer.failure, answer.status)
        self.answer = answer


async def ask(
    call: JudgeCall, attempt: Callable[[], Awaitable[Answer]], pace: Pace = PACE
) -> JudgeReply:
    """Attempt, and attempt again where it may help; the last answer counts (domain.md §11)."""
    began = time.monotonic()
    answers: list[Answer] = []
    try:
        async with asyncio.timeout(longest(call, pace)):
            await _attempts(call, attempt, pace, answers)
    except TimeoutError:
        answers.append(_too_late(call))
    last = answers[-1]
    return JudgeReply(
        model=call.model,
        text=last.text,
        failure=last.failure,
        usage=tuple(answer.usage for answer in answers if answer.usage is not None),
        request_id=last.request_id,
        status=last.status,
        attempts=min(len(answers), call.retries + 1),
        duration_ms=_milliseconds(began),
        error=last.error,
    )


def longest(call: JudgeCall, pace: Pace = PACE) -> float:
    """Seconds after which a judgement has ended, whatever the provider does."""
    return (call.retries + 1) * call.timeout_seconds + call.retries * pace.longest_wait + 1.0


async def _attempts(
    call: JudgeCall,
    attempt: Callable[[], Awaitable[Answer]],
    pace: Pace,
    answers: list[Answer],
) -> None:
    def wait(error: Exception) -> float | bool:
        if not isinstance(error, _AgainError):
            return False
        asked = seconds_of(error.answer.retry_after)
        return True if asked is None else min(asked, pace.longest_wait)

    rounds = stamina.retry_context(
        on=wait,
        attempts=call.retries + 1,
        timeout=None,
        wait_initial=pace.first_wait,
        wait_max=pace.longest_wait,
        wait_jitter=pace.jitter,
    ).with_name("judge", (), {"model": call.model})
    try:
        async for each in rounds:
            answers.append(await _once(call, attempt))
            with each:
                if answers[-1].worth_repeating:
                    raise _AgainError(answers[-1])
    except _AgainError:
        return


async def _once(call: JudgeCall, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    began = time.monotonic()
    try:
        async with asyncio.timeout(call.timeout_seconds):
            answer = await attempt()
    except TimeoutError:
        return _too_late(call)
    if answer.usage is None:
        return answer
    return replace(answer, usage=replace(answer.usage, duration_ms=_milliseconds(began)))


def _too_late(call: JudgeCall) -> Answer:
    return Answer(failure="timed_out", error=f"No answer in {call.timeout_seconds:g} s.")


def _milliseconds(began: float) -> int:
    return int((time.monotonic() - began) * 1000)


def failure_of(status: int) -> JudgeFailure:
    """What an HTTP status means."""
    if status in (401, 403):
        return "unauthorised"
    return "rate_limited" if status == 429 else "http_error"
