"""The rehearsal's model server, and all that reached it: what leaves a process is read here."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from runner.rehearsal.scripts import Script
from runner.rehearsal.server import RehearsalServer

SCRIPT = "script"
_ROUND = 0.02
Turn = dict[str, Any]


async def until(met: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for something that another process does; its value."""
    async with asyncio.timeout(seconds):
        while not (found := met()):  # noqa: ASYNC110 - no event reaches us from there
            await asyncio.sleep(_ROUND)
    return found


def tool(name: str, **given: Any) -> Turn:
    """A turn that uses one tool."""
    return {"tools": [{"name": name, "input": given}]}


def done(text: str = "Done.") -> Turn:
    """A turn that ends the call."""
    return {"text": text}


def structured(**given: Any) -> Turn:
    """A turn that hands structured output over."""
    return {"structured": given}


def script(turns: Sequence[Turn]) -> Script:
    """The same turns for a coder, a planner that converses and one that plans."""
    return Script.model_validate(
        {
            "title": "a test",
            "description": "turns of a test",
            "goal": "a goal",
            "criteria": ["a criterion"],
            "goal_attempted": True,
            "planner": [{"step": step, "turns": turns} for step in ("plan", "converse")],
            "coder": [{"turns": turns}],
        }
    )


class Wire(RehearsalServer):
    """Plays turns and keeps every body and header it was sent."""

    def __init__(self, *turns: Turn) -> None:
        super().__init__({SCRIPT: script(turns)})
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        """Where the CLI finds it."""
        return self.base_url(SCRIPT)

    @property
    def sent(self) -> str:
        """All that reached it, one text."""
        return b"\n".join(self.bodies).decode("utf-8", "replace")

    @property
    def credentials(self) -> set[str]:
        """What callers proved themselves with."""
        found = {h.get("authorization", "") or h.get("x-api-key", "") for h in self.headers}
        return found - {""}

    def results(self) -> list[tuple[bool, str]]:
        """What the tools returned, in order, as the last request tells it: refused, text."""
        messages = json.loads(self.bodies[-1])["messages"]
        blocks = [b for m in messages if isinstance(m["content"], list) for b in m["content"]]
        return [
            (bool(b.get("is_error")), json.dumps(b["content"], ensure_ascii=False))
            for b in blocks
            if b["type"] == "tool_result"
        ]

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()

        async def read() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        self.headers.append({k.decode(): v.decode("latin-1") for k, v in scope["headers"]})
        try:
            await super()._app(scope, read, send)
        finally:
            if scope["path"].endswith("/messages"):
                self.bodies.append(bytes(body))
