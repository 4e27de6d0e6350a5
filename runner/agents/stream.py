"""The Claude CLI's ``stream-json`` output: from lines of any kind to how the call ended.

Total: whatever a process printed, the answer is a result. The truth is the ``result`` event alone;
its ``subtype`` says success even when it failed, and assistant events are never summed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import orjson

from core.ledger.model_usage import ModelUsage
from core.planning.planner import AgentEnd, AgentResult
from runner.process import Exit

MAX_LINE = 32 << 20
_NOT_LOGGED_IN = ("not logged in", "please run /login", "invalid api key", "oauth token")
_TIMED_OUT = 124
_MOST_TEXT = 200_000


@dataclass(slots=True)
class Stream:
    """What was read so far.

    Attributes:
        result: the last ``result`` event.
        resets_at: from a rate limit that rejected the call.
    """

    result: dict[str, Any] | None = None
    resets_at: datetime | None = None
    rejected: bool = False
    lines: int = 0
    broken: int = 0
    errors: list[str] = field(default_factory=list)


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, however long; the rest of one above 32 MiB is passed over."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        while line := file.readline(MAX_LINE):
            yield line
            while line and not line.endswith(b"\n") and len(line) == MAX_LINE:
                line = file.readline(MAX_LINE)


def parse(lines: Iterable[bytes]) -> Stream:
    """Read a whole stream; what is no event is counted and passed over."""
    found = Stream()
    for line in lines:
        found.lines += 1
        event = event_of(line)
        if event is None:
            found.broken += bool(line.strip())
        elif event.get("type") == "result":
            found.result = event
        elif event.get("type") == "rate_limit_event":
            _rate_limit(found, event)
    return found


def event_of(line: bytes) -> dict[str, Any] | None:
    """One line as an event, or None."""
    try:
        event = orjson.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def text_of(event: Mapping[str, Any]) -> str:
    """The prose that a partial-message event adds; empty for anything else."""
    inner = event.get("event")
    if event.get("type") != "stream_event" or not isinstance(inner, dict):
        return ""
    delta = inner.get("delta")
    if not isinstance(delta, dict) or delta.get("type") != "text_delta":
        return ""
    text = delta.get("text")
    return text if isinstance(text, str) else ""


def result_of(stream: Stream, ended: Exit, *, call_id: str, stderr: str) -> AgentResult:
    """How the call ended, from its result event, its exit code and who ended it."""
    result = stream.result or {}
    end = _end(stream, ended, stderr)
    return AgentResult(
        end=end,
        exit_code=ended.exit_code,
        structured=result.get("structured_output"),
        text=_text(result.get("result"))[:_MOST_TEXT],
        usage=tuple(usage_of(result, call_id)),
        resets_at=stream.resets_at,
        error="" if end == "finished" else _error(result, stderr, ended),
        duration_ms=_count(result.get("duration_ms")) or int(ended.seconds * 1000),
        turns=_count(result.get("num_turns")),
    )


def _end(stream: Stream, ended: Exit, stderr: str) -> AgentEnd:
    result = stream.result
    if ended.ended_by == "stop":
        return "stopped"
    if ended.ended_by == "owner_gone":
        return "lost"
    if ended.ended_by == "timeout" or ended.exit_code == _TIMED_OUT:
        return "timed_out"
    if result is None:
        return "auth_failed" if _says_login(stderr) else "failed"
    if result.get("is_error") is False and ended.exit_code == 0:
        return "finished"
    return _failure(result, stream, stderr)


def _failure(result: Mapping[str, Any], stream: Stream, stderr: str) -> AgentEnd:
    status = result.get("api_error_status")
    if status == 429 and stream.rejected:
        return "rate_limited"
    if status in (401, 403) or _says_login(_text(result.get("result")) + stderr):
        return "auth_failed"
    return "failed"


def _says_login(text: str) -> bool:
    lowered = text.lower()
    return any(words in lowered for words in _NOT_LOGGED_IN)


def usage_of(result: Mapping[str, Any], call_id: str) -> Iterator[ModelUsage]:
    """One entry for each model, from ``modelUsage`` only."""
    models = result.get("modelUsage")
    if not isinstance(models, dict):
        return
    for model, counts in models.items():
        if not isinstance(counts, dict):
            continue
        yield ModelUsage(
            call_id=f"{call_id}:{model}",
            provider="anthropic",
            model=str(model),
            input_tokens=_count(counts.get("inputTokens")),
            output_tokens=_count(counts.get("outputTokens")),
            cache_read_tokens=_count(counts.get("cacheReadInputTokens")),
            cache_write_tokens=_count(counts.get("cacheCreationInputTokens")),
            cost_usd=_money(counts.get("costUSD")),
            duration_ms=_count(result.get("duration_ms")),
        )


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return 0
    return max(0, int(min(value, 10**15)))


def _money(value: object) -> Decimal | None:
    """The stated cost; what is no amount is unknown, never 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _rate_limit(found: Stream, event: Mapping[str, Any]) -> None:
    info = event.get("rate_limit_info")
    if not isinstance(info, dict) or info.get("status") != "rejected":
        return
    resets = info.get("resetsAt")
    if isinstance(resets, int | float) and not isinstance(resets, bool) and 0 < resets < 2**40:
        found.rejected = True
        found.resets_at = datetime.fromtimestamp(resets, UTC)


def _error(result: Mapping[str, Any], stderr: str, ended: Exit) -> str:
    said = _text(result.get("result")) or stderr.strip()
    line = " ".join(said.split())[:500]
    return line or f"The process ended with exit code {ended.exit_code}."
