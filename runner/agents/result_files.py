"""What a CLI process printed, turned into ``cli-envelope.json`` and ``result.json`` (domain.md §7).

The process is not believed about itself: both files are derived on this side, without secrets.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from core.planning.planner import AgentResult
from core.private_files import write_private
from runner.agents.stream import parse, read_lines, result_of
from runner.process import Exit

_MOST_ERRORS = 20_000
_REDACTED = "[redacted]"


def stream_file(folder: Path) -> Path:
    """Where the process of a call's ``folder`` prints its events."""
    return folder / "out" / "stream.jsonl"


def errors_file(folder: Path) -> Path:
    """Where it prints everything else."""
    return folder / "out" / "stderr.txt"


def derive(folder: Path, ended: Exit, *, call_id: str, secret: str) -> AgentResult:
    """The result of an ended process, also written to ``out/``; blocks.

    Args:
        secret: the call's credential, taken out of everything that is derived.
    """
    stream = parse(read_lines(stream_file(folder)))
    stderr = _end_of(errors_file(folder))
    result = result_of(stream, ended, call_id=call_id, stderr=stderr)
    if secret:
        stream.result = _without(stream.result, secret)
        result = replace(
            result,
            text=result.text.replace(secret, _REDACTED),
            error=result.error.replace(secret, _REDACTED),
            structured=_without(result.structured, secret),
        )
    write_private(folder / "out" / "cli-envelope.json", _json(stream.result or {}))
    write_private(folder / "out" / "result.json", _json(asdict(result)))
    return result


def forget(folder: Path) -> None:
    """Remove what an earlier process of the same folder left; blocks."""
    for name in ("stream.jsonl", "stderr.txt", "cli-envelope.json", "result.json"):
        (folder / "out" / name).unlink(missing_ok=True)


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MOST_ERRORS))
            return file.read(_MOST_ERRORS).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _without(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        return value.replace(secret, _REDACTED)
    if isinstance(value, list):
        return [_without(each, secret) for each in value]
    if isinstance(value, dict):
        return {_without(key, secret): _without(each, secret) for key, each in value.items()}
    return value


def _json(value: Any) -> bytes:
    return json.dumps(value, default=str, ensure_ascii=True).encode("ascii")
