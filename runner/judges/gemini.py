"""The Gemini family behind the Judge port, by the real SDK with structured output."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

from core.judgement.judge import JudgeCall, JudgeReply
from core.ledger.model_usage import ModelUsage
from runner.judges.attempts import Answer, ask, failure_of
from runner.judges.bounded import client
from runner.judges.openai import REHEARSAL_KEY, no_key

_PROVIDER_URL = "https://generativelanguage.googleapis.com"
_REFUSALS = frozenset(
    {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"}
)


class GeminiJudge:
    """One key, one call at a time for each judgement."""

    family = "gemini"

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
            raise no_key("gemini", "gemini_api_key")
        return await ask(call, lambda: _attempt(call, key))


async def _attempt(call: JudgeCall, key: str) -> Answer:
    import httpx2
    import pydantic
    from google import genai
    from google.genai import errors, types

    async with client(call.timeout_seconds) as http:
        options = types.HttpOptions(
            base_url=call.base_url or _PROVIDER_URL,
            api_version="v1beta",
            timeout=int(call.timeout_seconds * 1000),
            httpx_async_client=http,
        )
        sdk = genai.Client(vertexai=False, api_key=key, http_options=options)
        try:
            found = await sdk.aio.models.generate_content(
                model=call.model,
                contents=call.evidence.decode("utf-8"),
                config=types.GenerateContentConfig(
                    system_instruction=call.instructions,
                    response_mime_type="application/json",
                    response_json_schema=dict(call.schema),
                ),
            )
        except errors.APIError as error:
            return _failed(error)
        except httpx2.TimeoutException:
            return Answer(failure="timed_out", error="The provider did not answer in time.")
        except httpx2.HTTPError as error:
            return Answer(failure="unreachable", error=type(error).__name__)
        except (pydantic.ValidationError, ValueError, TypeError, AttributeError, KeyError) as error:
            return Answer(failure="malformed", error=type(error).__name__)
        finally:
            sdk.close()
        return _answer(call, found)


def _failed(error: Any) -> Answer:
    status = error.code if isinstance(error.code, int) else 0
    headers = getattr(error.response, "headers", None) or {}
    return Answer(
        failure=failure_of(status) if status else "malformed",
        status=status or None,
        retry_after=headers.get("retry-after"),
        error=f"HTTP {status}",
    )


def _answer(call: JudgeCall, found: Any) -> Answer:
    text = _text(found)
    request_id = found.response_id or _stable_id(call, found)
    usage = _usage(call, found, request_id)
    candidate = found.candidates[0] if found.candidates else None
    reason = str(getattr(candidate, "finish_reason", None) or "").rpartition(".")[2]
    if candidate is None or reason in _REFUSALS:
        return Answer(failure="refusal", usage=usage, request_id=request_id, error=reason)
    if reason == "MAX_TOKENS" or not text.strip():
        return Answer(failure="malformed", usage=usage, request_id=request_id, error="incomplete")
    return Answer(text=text, usage=usage, request_id=request_id, status=200)


def _text(found: Any) -> str:
    """The parts of the first candidate; thoughts are not the answer."""
    candidate = found.candidates[0] if found.candidates else None
    parts = getattr(getattr(candidate, "content", None), "parts", None) or []
    return "".join(p.text for p in parts if isinstance(p.text, str) and not p.thought)


def _stable_id(call: JudgeCall, found: Any) -> str:
    """For an answer without an id: the same for the same answer to the same question."""
    answer = found.model_dump_json(exclude={"sdk_http_response"}).encode()
    return hashlib.sha256(call.evidence + answer).hexdigest()[:32]


def _usage(call: JudgeCall, found: Any, request_id: str) -> ModelUsage | None:
    usage = found.usage_metadata
    if usage is None:
        return None
    cached = usage.cached_content_token_count or 0
    out = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return ModelUsage(
        call_id=f"google:{request_id}",
        provider="google",
        model=call.model,
        input_tokens=max(0, (usage.prompt_token_count or 0) - cached),
        output_tokens=max(0, out),
        cache_read_tokens=max(0, cached),
    )
