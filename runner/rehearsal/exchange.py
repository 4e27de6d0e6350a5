"""One request and what is sent back: the path names the wire format, the script the answer."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from core.errors import Invalid
from runner.rehearsal import anthropic, gemini, openai
from runner.rehearsal.playback import Silence, Stream
from runner.rehearsal.replies import Asked, Reply, answer
from runner.rehearsal.scripts import Fault, Script
from runner.rehearsal.wires import Json, Wire

_MAX_BODY = 64 * 1024 * 1024
_GEMINI_PATH = re.compile(r"v1(?:beta)?/models/(?P<model>[^/:]+):(?P<method>\w+)")
_MESSAGES = anthropic.Messages()
_GEMINI = gemini.GenerateContent()
_WIRES: Mapping[str, Wire] = {
    "v1/messages": _MESSAGES,
    "v1/chat/completions": openai.ChatCompletions(),
    "v1/responses": openai.Responses(),
}
_GENERATE = frozenset({"generateContent", "streamGenerateContent"})


@dataclass(frozen=True, slots=True)
class Played:
    """What is sent back, and what the record says of it; ``role`` is empty where nobody said."""

    response: ASGIApp
    status: int
    provider: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """What an exchange needs of its server: the script, the time (Unix seconds), the end."""

    script: Script
    now: int
    closing: asyncio.Event


async def exchange(stage: Stage | None, path: str, request: Request) -> Played:
    """Answer one request.

    Args:
        stage: None where no script has this name.
        path: below the script's name, without a slash at the beginning.
        request: its body is read here, up to 64 MiB.
    """
    if request.method in ("GET", "HEAD"):
        return _probe(path, known=stage is not None)
    wire, parts = _wire(path)
    if stage is None or wire is None or request.method != "POST":
        return _failed(_MESSAGES, 404, f"Nothing is played at /{path}.")
    raw = await _body(request)
    if raw is None:
        return _failed(wire, 413, f"A request holds at most {_MAX_BODY} bytes.")
    counted = _counted(path, raw)
    if counted is not None:
        return Played(JSONResponse(counted), 200, wire.provider)
    try:
        asked = wire.read(_document(raw), raw, parts)
        reply = answer(stage.script, asked)
        return _played(wire, asked, reply, stage)
    except Invalid as error:
        return _failed(wire, 400, error.sentence)


def _probe(path: str, *, known: bool) -> Played:
    """Clients ask whether the address lives at all; their side calls find nothing here."""
    if known and path in ("", "api/hello"):
        return Played(Response(status_code=200), 200)
    return _failed(_MESSAGES, 404, f"Nothing is played at /{path}.")


def _wire(path: str) -> tuple[Wire | None, Mapping[str, str]]:
    found = _GEMINI_PATH.fullmatch(path)
    if found is not None:
        known = found["method"] in _GENERATE or found["method"] == "countTokens"
        return (_GEMINI if known else None), found.groupdict()
    return _WIRES.get(path.removesuffix("/count_tokens")), {}


def _counted(path: str, raw: bytes) -> Json | None:
    if path == "v1/messages/count_tokens":
        return anthropic.count_tokens(raw)
    if path.endswith(":countTokens"):
        return gemini.count_tokens(raw)
    return None


async def _body(request: Request) -> bytes | None:
    """The whole body; None for one that is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            return None
    return bytes(body)


def _document(raw: bytes) -> Json:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Invalid("body", f"body: not JSON: {error}", recovery="Send JSON.") from error
    if not isinstance(document, dict):
        raise Invalid("body", "body: a JSON object is required", recovery="Send an object.")
    return document


def _played(wire: Wire, asked: Asked, reply: Reply, stage: Stage) -> Played:
    if reply.tools and not wire.plays_tools:
        raise Invalid(
            "script",
            f"The rehearsal plays tools in the Anthropic wire format only, not {wire.provider}'s.",
            recovery="Use the Claude family for this role.",
        )
    fault = reply.fault
    if fault is not None and fault.hang:
        return Played(Silence(stage.closing), 200, wire.provider, reply.role)
    if fault is not None and fault.status is not None:
        return _failed(
            wire,
            fault.status,
            fault.message,
            kind=fault.body_type,
            headers=_fault_headers(fault, stage.now),
            role=reply.role,
        )
    if asked.stream:
        stream = Stream(
            wire.events(asked, reply, stage.now),
            closing=stage.closing,
            delay_ms=reply.chunk_delay_ms,
            cut_after=fault.cut_after_events if fault is not None else None,
        )
        return Played(stream, 200, wire.provider, reply.role)
    whole = wire.whole(asked, reply, stage.now)
    if fault is not None:
        cut = Stream(iter([orjson.dumps(whole)[:-1]]), closing=stage.closing, cut_after=1)
        return Played(cut, 200, wire.provider, reply.role)
    return Played(JSONResponse(whole), 200, wire.provider, reply.role)


def _fault_headers(fault: Fault, now: int) -> dict[str, str]:
    if fault.reset_in_seconds is None:
        return fault.headers
    seconds = fault.reset_in_seconds
    return {**anthropic.limit_headers(now + seconds, seconds), **fault.headers}


def _failed(
    wire: Wire,
    status: int,
    message: str,
    *,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
    role: str = "",
) -> Played:
    document = wire.error(status, kind, message)
    response = JSONResponse(document, status_code=status, headers=headers)
    return Played(response, status, wire.provider, role)
