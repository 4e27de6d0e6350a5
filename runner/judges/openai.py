"""The OpenAI family behind the Judge port, by the real SDK with structured output."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx2

from core.judgement.judge import JudgeCall, JudgeReply
from core.ledger.model_usage import ModelUsage
from runner.http_client import JSON, BodyRefusedError, client
from runner.judges.answered import Seen, count, request_id, usage_row
from runner.judges.attempts import PACE, Answer, ask, failure_of
from runner.judges.keys import REHEARSAL_KEY, checked_key
from runner.waiting import Pace

if TYPE_CHECKING:
    import openai

_PROVIDER_URL = "https://api.openai.com"


class OpenaiJudge:
    """One key; it keeps nothing between two judgements."""

    family = "openai"

    def __init__(self, key: Callable[[], str | None], pace: Pace = PACE):
        """Take the key from ``key`` when it is needed; it may block."""
        self._key = key
        self._pace = pace

    async def judge(self, call: JudgeCall) -> JudgeReply:
        """Ask once, with retries.

        Raises:
            Unavailable: ``HOLD-VALIDATOR-CONFIG`` without a key.
        """
        found = REHEARSAL_KEY if call.rehearsal else await asyncio.to_thread(self._key)
        key = checked_key(found, family=self.family, secret="openai_api_key")  # noqa: S106
        seen = Seen()
        try:
            sdk = await asyncio.to_thread(_sdk, call, key, seen)
        except (ValueError, TypeError, OSError, httpx2.InvalidURL) as error:
            return JudgeReply(call.model, None, "unreachable", error=type(error).__name__)
        async with sdk:
            return await ask(call, lambda: _attempt(call, sdk, seen), self._pace)


def _sdk(call: JudgeCall, key: str, seen: Seen) -> "openai.AsyncOpenAI":
    """The SDK with nothing left for it to look up in the shell; importing it takes seconds."""
    import openai

    http = client(call.timeout_seconds, {"authorization": f"Bearer {key}", **JSON})
    http.event_hooks["response"].append(seen.note)
    return openai.AsyncOpenAI(
        api_key=key,
        admin_api_key="",
        organization="",
        project="",
        webhook_secret="",
        base_url=f"{(call.base_url or _PROVIDER_URL).rstrip('/')}/v1",
        max_retries=0,
        timeout=call.timeout_seconds,
        http_client=http,
    )


async def _attempt(call: JudgeCall, sdk: "openai.AsyncOpenAI", seen: Seen) -> Answer:
    import openai

    seen.forget()
    try:
        return _answer(call, seen, await _ask(call, sdk))
    except openai.APITimeoutError:
        return Answer(failure="timed_out", error="The provider did not answer in time.")
    except openai.APIStatusError as error:
        return Answer(
            failure=failure_of(error.status_code),
            status=error.status_code,
            retry_after=error.response.headers.get("retry-after"),
            request_id=error.request_id,
            error=f"HTTP {error.status_code}",
        )
    except openai.APIConnectionError as error:
        if isinstance(error.__cause__, BodyRefusedError):
            return _unreadable(call, seen, error.__cause__)
        return Answer(failure="unreachable", error=_kind(error))
    except (openai.OpenAIError, ValueError, TypeError, RecursionError, LookupError) as error:
        return _unreadable(call, seen, error)


async def _ask(call: JudgeCall, sdk: "openai.AsyncOpenAI") -> Any:
    return await sdk.chat.completions.create(
        model=call.model,
        messages=[
            {"role": "system", "content": call.instructions},
            {"role": "user", "content": call.evidence.decode("utf-8")},
        ],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "verdict", "strict": True, "schema": dict(call.schema)},
        },
    )


def _unreadable(call: JudgeCall, seen: Seen, error: BaseException) -> Answer:
    """Something came that is no answer; an answered attempt has its row all the same."""
    usage, answer_id = None, None
    if seen.status == 200:
        answer_id = request_id(call, seen, seen.header("x-request-id"))
        usage = _usage(call, None, answer_id)
    return Answer(
        failure="malformed",
        usage=usage,
        request_id=answer_id,
        status=seen.status or None,
        error=_kind(error),
    )


def _kind(error: BaseException) -> str:
    """The kind of a failure without its text, which may hold what was sent."""
    cause = error.__cause__
    return type(error).__name__ + (f" ({type(cause).__name__})" if cause else "")


def _answer(call: JudgeCall, seen: Seen, parsed: Any) -> Answer:
    given = getattr(parsed, "id", None)
    answer_id = request_id(call, seen, seen.header("x-request-id"), given)
    text, failure, error = _reading(parsed)
    return Answer(
        text=None if failure else text,
        failure=failure,
        usage=_usage(call, getattr(parsed, "usage", None), answer_id),
        request_id=answer_id,
        status=200,
        error=error,
    )


def _reading(parsed: Any) -> tuple[str | None, Any, str]:
    """Text, failure and why. Only a whole answer that ended of itself counts."""
    choices = getattr(parsed, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(choice, "message", None)
    reason = getattr(choice, "finish_reason", None)
    text = getattr(message, "content", None)
    if getattr(message, "refusal", None) or reason == "content_filter":
        return None, "refusal", "refused"
    if reason != "stop" or not isinstance(text, str) or not text.strip():
        return None, "malformed", "empty" if reason == "stop" else f"ended by {reason!s:.40}"
    return text, None, ""


def _usage(call: JudgeCall, found: Any, answer_id: str) -> ModelUsage:
    details = getattr(found, "prompt_tokens_details", None)
    return usage_row(
        call,
        "openai",
        answer_id,
        prompt=getattr(found, "prompt_tokens", None),
        cached=getattr(details, "cached_tokens", None),
        output=count(getattr(found, "completion_tokens", None)),
    )
