"""The OpenAI family behind the Judge port, by the real SDK with structured output."""

import asyncio
from collections.abc import Callable
from typing import Any

from core.errors import Unavailable
from core.judgement.judge import JudgeCall, JudgeReply
from core.ledger.model_usage import ModelUsage
from runner.judges.attempts import Answer, ask, failure_of
from runner.judges.bounded import client

REHEARSAL_KEY = "rehearsal"
_PROVIDER_URL = "https://api.openai.com"


class OpenaiJudge:
    """One key, one call at a time for each judgement."""

    family = "openai"

    def __init__(self, key: Callable[[], str | None]):
        """Take the key from ``key`` when it is needed; it may block."""
        self._key = key

    async def judge(self, call: JudgeCall) -> JudgeReply:
        """Ask once, with retries.

        Raises:
            Unavailable: ``HOLD-VALIDATOR-CONFIG`` without a key.
        """
        key = REHEARSAL_KEY if call.rehearsal else await asyncio.to_thread(self._key)
        if not key:
            raise no_key("openai", "openai_api_key")
        return await ask(call, lambda: _attempt(call, key))


def no_key(family: str, secret: str) -> Unavailable:
    """The hold of a family that has no key."""
    return Unavailable(
        "HOLD-VALIDATOR-CONFIG",
        f"The validator family {family} has no key.",
        recovery=f"Store it: cockpit secret set {secret}",
        data={"family": family, "secret": secret},
    )


async def _attempt(call: JudgeCall, key: str) -> Answer:
    import openai

    async with client(call.timeout_seconds) as http:
        sdk = openai.AsyncOpenAI(
            api_key=key,
            base_url=f"{call.base_url or _PROVIDER_URL}/v1",
            organization="",
            project="",
            max_retries=0,
            timeout=call.timeout_seconds,
            http_client=http,
        )
        try:
            raw = await sdk.chat.completions.with_raw_response.create(
                model=call.model,
                messages=[
                    {"role": "system", "content": call.instructions},
                    {"role": "user", "content": call.evidence.decode("utf-8")},
                ],
                response_format={
                    "type": "json_schema",
                    "json_schema": {
                        "name": "verdict",
                        "strict": True,
                        "schema": dict(call.schema),
                    },
                },
            )
            request_id = raw.headers.get("x-request-id")
            parsed = raw.parse()
            return _answer(call, parsed, request_id or getattr(parsed, "id", None))
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
            return Answer(failure="unreachable", error=_kind(error))
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            return Answer(failure="malformed", error=_kind(error))


def _kind(error: BaseException) -> str:
    """The kind of a failure without its text, which may hold what was sent."""
    cause = error.__cause__
    return type(error).__name__ + (f" ({type(cause).__name__})" if cause else "")


def _answer(call: JudgeCall, parsed: Any, request_id: str | None) -> Answer:
    usage = _usage(call, parsed, request_id)
    choice = parsed.choices[0] if parsed.choices else None
    if choice is None:
        return Answer(failure="malformed", usage=usage, request_id=request_id, error="no choice")
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Answer(failure="refusal", usage=usage, request_id=request_id, error="refused")
    text = choice.message.content
    if choice.finish_reason == "length" or not isinstance(text, str) or not text.strip():
        return Answer(failure="malformed", usage=usage, request_id=request_id, error="incomplete")
    return Answer(text=text, usage=usage, request_id=request_id, status=200)


def _usage(call: JudgeCall, parsed: Any, request_id: str | None) -> ModelUsage | None:
    found = parsed.usage
    if found is None or not request_id:
        return None
    details = found.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    return ModelUsage(
        call_id=f"openai:{request_id}",
        provider="openai",
        model=call.model,
        input_tokens=max(0, (found.prompt_tokens or 0) - cached),
        output_tokens=max(0, found.completion_tokens or 0),
        cache_read_tokens=max(0, cached),
    )
