"""The planner on the host: the Claude CLI with reading tools, in a checkout of the mirror."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from core.errors import Unavailable
from core.planning.planner import AgentResult, PlannerCall
from core.private_files import write_private
from runner.agents.claude import (
    PLANNER_TOOLS,
    REHEARSAL,
    CliCall,
    Credential,
    find_cli,
    outside,
)
from runner.agents.result_files import derive, errors_file, forget, stream_file
from runner.agents.running import Running
from runner.agents.stream import event_of, text_of
from runner.process import Start
from runner.tail import Tail

_GRACE = 5.0


@dataclass(slots=True)
class ClaudePlanner:
    """Runs one CLI process a turn."""

    cli: Path | None
    credential: Callable[[], Credential]
    _running: Running = field(default_factory=Running)

    async def ask(self, call: PlannerCall, on_text: Callable[[str], None]) -> AgentResult:
        """Run one turn to its end; ``on_text`` hears the prose as it streams."""
        with self._running.begin(call.call_id) as process:
            if not call.prompt.strip():
                return AgentResult(end="failed", exit_code=2, error="The prompt is missing.")
            try:
                cli = await asyncio.to_thread(find_cli, self.cli)
                credential = (
                    REHEARSAL if call.rehearsal else await asyncio.to_thread(self.credential)
                )
                start = await asyncio.to_thread(_prepare, _cli_call(cli, call, credential), call)
            except Unavailable as missing:
                return AgentResult(end="cli_missing", error=missing.sentence)
            if not await process.start(start):
                return AgentResult(end="stopped")
            stream = stream_file(call.folder)
            async with Tail(stream, lambda line: _heard(line, on_text)):
                ended = await process.wait()
            return await asyncio.to_thread(
                derive, call.folder, ended, call_id=call.call_id, secret=credential.hidden
            )

    async def stop(self, call_id: str) -> None:
        """End the process tree of that call within 2 s; unknown ids are ignored."""
        await self._running.stop(call_id)


def _cli_call(cli: Path, call: PlannerCall, credential: Credential) -> CliCall:
    return CliCall(
        cli=cli,
        folder=call.folder,
        checkout=call.checkout,
        model=call.model,
        credential=credential,
        tools=PLANNER_TOOLS,
        permission_mode="dontAsk",
        base_url=call.base_url,
        deny=outside(call.checkout),
        extra=(
            *("--json-schema", orjson.dumps(call.schema).decode()),
            "--include-partial-messages",
        ),
    )


def _prepare(cli_call: CliCall, call: PlannerCall) -> Start:
    cli_call.prepare()
    prompt = call.prompt.encode("utf-8", errors="replace")
    write_private(call.folder / "in" / "prompt.txt", prompt)
    forget(call.folder)
    return Start(
        argv=cli_call.argv(),
        cwd=call.checkout,
        env=cli_call.environment(),
        stdout=stream_file(call.folder),
        stderr=errors_file(call.folder),
        state=call.folder / "guard",
        stdin=prompt,
        timeout=call.timeout_seconds,
        grace=_GRACE,
    )


def _heard(line: bytes, on_text: Callable[[str], None]) -> None:
    event = event_of(line)
    text = text_of(event) if event else ""
    if text:
        on_text(text)
