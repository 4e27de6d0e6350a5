"""The Claude CLI's ``stream-json`` output: from lines of any kind to how the call ended.

Total: whatever a process printed, the answer is a result. The truth is the ``result`` event alone;
its ``subtype`` says success even when it failed, and assistant events are never summed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from core.ledger.model_usage import ModelUsage
from core.planning.planner import AgentEnd, AgentResult
from runner.process import Exit

MAX_LINE = 32 << 20
_NOT_LOGGED_IN = ("not logged in", "please run /login", "invalid api key")
_TIMED_OUT = 124
_MOST_TEXT = 200_000
_MOST_ERROR = 500
_MOST_DEPTH = 100
_LAST_SECOND = 253_402_300_799


@dataclass(slots=True)
class Stream:
    """What was read so far.

    Attributes:
        result: the last ``result`` event.
        rejected: whether a rate limit refused the call.
        resets_at: when that limit ends, where it was said.
        broken: lines that are no events.
    """

    result: dict[str, Any] | None = None
    rejected: bool = False
    resets_at: datetime | None = None
    lines: int = 0
    broken: int = 0


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
        event = _leniently(line)
    return event if isinstance(event, dict) and _fits(event, _MOST_DEPTH) else None


def _fits(value: Any, depth: int) -> bool:
    """Whether what is nested in ``value`` is no deeper than anyone needs."""
    if isinstance(value, dict):
        return depth > 0 and all(_fits(each, depth - 1) for each in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_fits(each, depth - 1) for each in value)
    return True


def _leniently(line: bytes) -> Any:
    """A line with half characters, which a CLI that cuts its text prints now and then."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        text = line.decode("utf-8", errors="replace")
        return _whole(json.loads(text, strict=False, parse_constant=lambda _: None))
    except (ValueError, RecursionError):
        return None


def _whole(value: Any) -> Any:
    """``value`` with every half of a surrogate pair replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(each) for key, each in value.items()}
    return value


def text_of(event: Mapping[str, Any]) -> str:
    """The prose that a partial-message event adds; empty for anything else."""
    inner = event.get("event")
    if event.get("type") != "stream_event" or not isinstance(inner, dict):
        return ""
    delta = inner.get("delta")
    if not isinstance(delta, dict) or delta.get("type") != "text_delta":
        return ""
    return _text(delta.get("text"))


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
        resets_at=stream.resets_at if end == "rate_limited" else None,
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
    if result is not None and result.get("is_error") is False and ended.exit_code == 0:
        return "finished"
    return _failure(result or {}, stream, stderr)


def _failure(result: Mapping[str, Any], stream: Stream, stderr: str) -> AgentEnd:
    status = result.get("api_error_status")
    if stream.rejected and status in (429, None):
        return "rate_limited"
    if status in (401, 403):
        return "auth_failed"
    said = f"{_text(result.get('result'))[:_MOST_ERROR]}\n{stderr}".lower()
    if status is None and any(words in said for words in _NOT_LOGGED_IN):
        return "auth_failed"
    return "failed"


def usage_of(result: Mapping[str, Any], call_id: str) -> Iterator[ModelUsage]:
    """One entry for each model, from ``modelUsage`` only (domain.md §14)."""
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


def _number(value: object) -> float | int | None:
    """A finite number of zero or more; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < float("inf") else None


def _count(value: object) -> int:
    return int(min(_number(value) or 0, 10**15))


def _money(value: object) -> Decimal | None:
    """The stated cost; what is no amount is unknown, never 0."""
    amount = _number(value)
    return None if amount is None or amount > 10**9 else Decimal(str(amount))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _rate_limit(found: Stream, event: Mapping[str, Any]) -> None:
    info = event.get("rate_limit_info")
    if not isinstance(info, dict) or info.get("status") != "rejected":
        return
    found.rejected = True
    resets = _number(info.get("resetsAt"))
    if resets is not None and 0 < resets <= _LAST_SECOND:
        found.resets_at = datetime.fromtimestamp(resets, UTC)


def _error(result: Mapping[str, Any], stderr: str, ended: Exit) -> str:
    said = _text(result.get("result")) or stderr.strip()
    line = " ".join(said[: 20 * _MOST_ERROR].split())[:_MOST_ERROR]
    return line or f"The process ended with exit code {ended.exit_code}."
