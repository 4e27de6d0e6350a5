"""The bounds of one judgement, whatever an attempt does."""

import asyncio

import pytest

from core.judgement.judge import JudgeCall
from core.ledger.model_usage import ModelUsage
from runner.judges.attempts import Answer, ask, longest
from runner.waiting import Pace

pytestmark = pytest.mark.asyncio
QUICK = Pace(first_wait=0.0, jitter=0.0, longest_wait=0.01)


def call(retries: int = 2, timeout: float = 5.0) -> JudgeCall:
    return JudgeCall(b"{}", "", {}, "gpt-5", timeout_seconds=timeout, retries=retries)


def row(number: int) -> ModelUsage:
    return ModelUsage(f"openai:{number}", "openai", "gpt-5", 1, 1)


@pytest.mark.parametrize("retries", [0, 1, 4])
async def test_it_attempts_once_more_than_it_may_repeat(retries: int) -> None:
    made: list[int] = []

    async def attempt() -> Answer:
        made.append(1)
        return Answer(failure="http_error", status=503)

    reply = await ask(call(retries), attempt, QUICK)
    assert len(made) == reply.attempts == retries + 1
    assert (reply.failure, reply.text, reply.status) == ("http_error", None, 503)


async def test_rows_of_every_answered_attempt_are_kept_with_their_duration() -> None:
    answers = [
        Answer(failure="malformed", status=503, usage=row(1)),
        Answer(text="said", status=200, usage=row(2)),
    ]

    async def attempt() -> Answer:
        return answers.pop(0)

    reply = await ask(call(), attempt, QUICK)
    assert [usage.call_id for usage in reply.usage] == ["openai:1", "openai:2"]
    assert all(usage.duration_ms >= 0 for usage in reply.usage)
    assert (reply.text, reply.failure) == ("said", None)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_another_attempt_cannot_mend_is_not_repeated(status: int) -> None:
    async def attempt() -> Answer:
        return Answer(failure="http_error", status=status)

    assert (await ask(call(), attempt, QUICK)).attempts == 1


async def test_an_attempt_that_hangs_is_ended_and_counted() -> None:
    async def attempt() -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    reply = await ask(call(1, timeout=0.05), attempt, QUICK)
    assert (reply.failure, reply.attempts) == ("timed_out", 2)


@pytest.mark.slow
async def test_the_whole_has_an_end_even_if_an_attempt_resists() -> None:
    """An attempt that swallows its own time-out may not keep the mission waiting."""

    async def attempt() -> Answer:
        for _ in range(2):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                continue
        return Answer(failure="timed_out")

    asked = call(0, timeout=0.05)
    began = asyncio.get_running_loop().time()
    reply = await ask(asked, attempt, QUICK)
    assert asyncio.get_running_loop().time() - began < longest(asked, QUICK) + 1.0
    assert (reply.failure, reply.attempts) == ("timed_out", 1)


async def test_a_cancelled_judgement_is_cancelled() -> None:
    started = asyncio.Event()

    async def attempt() -> Answer:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    asking = asyncio.ensure_future(ask(call(), attempt, QUICK))  # noqa: TID251
    await started.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
