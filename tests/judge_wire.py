"""A server that speaks both providers' formats and plays faults: odd frames, silence, floods."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

Family = Literal["openai", "gemini"]
Then = Literal["close", "hang", "cut", "flood"]
FAMILIES: tuple[Family, ...] = ("openai", "gemini")
KEY = "sk-proj-canary-0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Play:
    """One answer.

    Attributes:
        then: ``hang`` says nothing, ``cut`` ends in the middle, ``flood`` never stops sending.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    then: Then = "close"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    at: float


VERDICT = {
    "verdict": "pass",
    "confidence": 0.9,
    "summary": "The tests show it.",
    "criteria": [{"id": "C1", "status": "pass", "where": "diff"}],
    "blocking_issues": [],
    "non_blocking_issues": [],
    "evidence_gaps": [],
}


def openai_answer(
    text: Any = None,
    *,
    ended: str | None = "stop",
    refusal: str | None = None,
    usage: Any = "usual",
    answer_id: str | None = "chatcmpl-7",
) -> dict[str, Any]:
    """A chat completion. ``text`` None is a good verdict."""
    usual = {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "total_tokens": 1050,
        "prompt_tokens_details": {"cached_tokens": 300},
    }
    said = json.dumps(VERDICT) if text is None else text
    message = {"role": "assistant", "content": said, "refusal": refusal}
    return {
        **({"id": answer_id} if answer_id else {}),
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-5",
        "choices": [{"index": 0, "message": message, "finish_reason": ended, "logprobs": None}],
        "usage": usual if usage == "usual" else usage,
    }


def gemini_answer(
    text: Any = None,
    *,
    ended: str | None = "STOP",
    refusal: str | None = None,
    usage: Any = "usual",
    answer_id: str | None = "gem-7",
) -> dict[str, Any]:
    """A generateContent reply; a refusal blocks the prompt."""
    usual = {
        "promptTokenCount": 1000,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 30,
        "totalTokenCount": 1050,
        "cachedContentTokenCount": 300,
    }
    said = json.dumps(VERDICT) if text is None else text
    thought = {"text": '{"verdict": "fail"}', "thought": True}
    content = {"role": "model", "parts": [thought, {"text": said}]}
    candidate = {"content": content, "index": 0, **({"finishReason": ended} if ended else {})}
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}} if refusal else None
    found = usual if usage == "usual" else usage
    return {
        **(blocked or {"candidates": [candidate]}),
        **({"usageMetadata": found} if found is not None else {}),
        **({"responseId": answer_id} if answer_id else {}),
        "modelVersion": "gemini-2.5-pro",
    }


ANSWERS: dict[Family, Callable[..., dict[str, Any]]] = {
    "openai": openai_answer,
    "gemini": gemini_answer,
}


def answer(family: Family, text: Any = None, **more: Any) -> Play:
    """A whole answer of the family."""
    headers = {"x-request-id": more.pop("request_id")} if "request_id" in more else {}
    return Play(body=json.dumps(ANSWERS[family](text, **more)).encode(), headers=headers)


def error(status: int, **headers: str) -> Play:
    """An HTTP error with a body that both families understand, and that names the key."""
    told = {"code": status, "message": f"Not with {KEY}", "status": "X", "type": "x"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Play(status, json.dumps({"error": told}).encode(), named)


class JudgeWire:
    """Plays one answer after the other; the last one again and again."""

    def __init__(self, plays: Sequence[Play], *, port: int = 0):
        self.plays = list(plays)
        self._port = port
        self.asked: list[Asked] = []
        self.sent = 0
        self.hung_up = asyncio.Event()
        self._open: list[asyncio.StreamWriter] = []
        self._turns: list[asyncio.Task[None] | None] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        trouble: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*filter(None, self._turns), return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)
        self._turns.append(asyncio.current_task())
        try:
            while await self._turn(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in head[1:] if line]
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        now = asyncio.get_running_loop().time()
        method, path, _ = head[0].split()
        self.asked.append(Asked(method, path, headers, json.loads(body or b"null"), now))
        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        await self._play(play, reader, writer)
        return play.then == "close"

    async def _play(
        self, play: Play, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if play.then == "hang":
            await reader.read()
            self.hung_up.set()
            return
        given = {"content-type": "application/json", **play.headers}
        length = {"content-length": str(len(play.body))}
        if play.then == "flood":
            length = {"content-length": str(100 << 20)}
        lines = [f"{name}: {value}" for name, value in {**given, **length}.items()]
        writer.write(f"HTTP/1.1 {play.status} Played\r\n".encode())
        writer.write("\r\n".join([*lines, "", ""]).encode())
        if play.then == "flood":
            await self._flood(writer)
        writer.write(play.body[: len(play.body) // 2] if play.then == "cut" else play.body)
        await writer.drain()

    async def _flood(self, writer: asyncio.StreamWriter) -> None:
        """100 MB, or until the other side has had enough."""
        piece = b"[" * (64 << 10)
        while self.sent < 100 << 20:
            writer.write(piece)
            await writer.drain()
            self.sent += len(piece)
