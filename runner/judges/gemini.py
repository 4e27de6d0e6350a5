"""The Gemini family behind the Judge port, by the real SDK with structured output."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
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
    from google import genai

_PROVIDER_URL = "https://generativelanguage.googleapis.com"
_REFUSALS = frozenset(
    {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"}
)


class GeminiJudge:
    """One key; it keeps nothing between two judgements."""

    family = "gemini"

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
        key = checked_key(found, family=self.family, secret="gemini_api_key")  # noqa: S106
        seen = Seen()
        try:
            http, sdk = await asyncio.to_thread(_sdk, call, key, seen)
        except (ValueError, TypeError, OSError, ImportError, httpx2.InvalidURL) as error:
            return JudgeReply(call.model, None, "unreachable", error=type(error).__name__)
        async with http:
            try:
                return await ask(call, lambda: _attempt(call, sdk, seen), self._pace)
            finally:
                sdk.close()


def _sdk(call: JudgeCall, key: str, seen: Seen) -> "tuple[httpx2.AsyncClient, genai.Client]":
    """The SDK with nothing left for it to look up in the shell; importing it takes seconds.

    Left alone it would take a base URL, a project, certificates, and even recorded answers in
    place of the provider's (``GOOGLE_GENAI_CLIENT_MODE``) out of the environment.
    """
    from google import genai
    from google.genai import client as genai_client
    from google.genai import types

    http = client(call.timeout_seconds, {"x-goog-api-key": key, **JSON})
    http.event_hooks["response"].append(seen.note)
    options = types.HttpOptions(
        base_url=call.base_url or _PROVIDER_URL,
        api_version="v1beta",
        timeout=int(call.timeout_seconds * 1000),
        httpx_async_client=http,
        httpx_client=httpx2.Client(transport=httpx2.MockTransport(_no_other_way)),
        async_client_args={"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
    )
    replays = genai_client.DebugConfig(client_mode="", replays_directory="", replay_id="")
    return http, genai.Client(
        vertexai=False, api_key=key, http_options=options, debug_config=replays
    )


def _no_other_way(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.UnsupportedProtocol("Only the bounded client asks.", request=request)


async def _attempt(call: JudgeCall, sdk: "genai.Client", seen: Seen) -> Answer:
    from google.genai import errors

    seen.forget()
    try:
        return _answer(call, seen, await _ask(call, sdk))
    except errors.APIError as error:
        return _failed(call, seen, error)
    except httpx2.TimeoutException:
        return Answer(failure="timed_out", error="The provider did not answer in time.")
    except BodyRefusedError as error:
        return _unreadable(call, seen, error)
    except httpx2.HTTPError as error:
        return Answer(failure="unreachable", error=type(error).__name__)
    except (ValueError, TypeError, AttributeError, RecursionError, LookupError) as error:
        return _unreadable(call, seen, error)


async def _ask(call: JudgeCall, sdk: "genai.Client") -> Any:
    from google.genai import types

    return await sdk.aio.models.generate_content(
        model=call.model,
        contents=call.evidence.decode("utf-8"),
        config=types.GenerateContentConfig(
            system_instruction=call.instructions,
            response_mime_type="application/json",
            response_json_schema=dict(call.schema),
        ),
    )


def _failed(call: JudgeCall, seen: Seen, error: Any) -> Answer:
    if seen.status in (0, 200):
        return _unreadable(call, seen, error)
    return Answer(
        failure=failure_of(seen.status),
        status=seen.status,
        retry_after=seen.header("retry-after") or _asked_delay(error.details),
        error=f"HTTP {seen.status}",
    )


def _asked_delay(details: Any) -> str | None:
    """The provider's own way to say Retry-After: ``retryDelay`` such as ``34s`` in the body."""
    inner = details.get("error") if isinstance(details, Mapping) else None
    found = inner.get("details") if isinstance(inner, Mapping) else None
    for each in found if isinstance(found, list) else ():
        delay = each.get("retryDelay") if isinstance(each, Mapping) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return delay.removesuffix("s")
    return None


def _unreadable(call: JudgeCall, seen: Seen, error: BaseException) -> Answer:
    """Something came that is no answer; an answered attempt has its row all the same."""
    usage, answer_id = None, None
    if seen.status == 200:
        answer_id = request_id(call, seen)
        usage = _usage(call, None, answer_id)
    return Answer(
        failure="malformed",
        usage=usage,
        request_id=answer_id,
        status=seen.status or None,
        error=type(error).__name__,
    )


def _answer(call: JudgeCall, seen: Seen, found: Any) -> Answer:
    answer_id = request_id(call, seen, found.response_id)
    text, failure, error = _reading(found)
    return Answer(
        text=None if failure else text,
        failure=failure,
        usage=_usage(call, found.usage_metadata, answer_id),
        request_id=answer_id,
        status=200,
        error=error,
    )


def _reading(found: Any) -> tuple[str | None, Any, str]:
    """Text, failure and why. Only a whole answer that ended of itself counts."""
    candidate = found.candidates[0] if found.candidates else None
    reason = str(getattr(candidate, "finish_reason", None) or "").rpartition(".")[2]
    if getattr(found.prompt_feedback, "block_reason", None) or reason in _REFUSALS:
        return None, "refusal", reason or "the prompt was blocked"
    text = _text(candidate)
    if reason != "STOP" or not text.strip():
        return None, "malformed", "empty" if reason == "STOP" else f"ended by {reason:.40}"
    return text, None, ""


def _text(candidate: Any) -> str:
    """The parts of the candidate; thoughts are not the answer."""
    parts = getattr(getattr(candidate, "content", None), "parts", None) or []
    return "".join(p.text for p in parts if isinstance(p.text, str) and not p.thought)


def _usage(call: JudgeCall, found: Any, answer_id: str) -> ModelUsage:
    def reported(name: str) -> int:
        return count(getattr(found, name, None))

    return usage_row(
        call,
        "google",
        answer_id,
        prompt=reported("prompt_token_count") + reported("tool_use_prompt_token_count"),
        cached=reported("cached_content_token_count"),
        output=reported("candidates_token_count") + reported("thoughts_token_count"),
    )
