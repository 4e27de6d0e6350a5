"""The planner on the host: the Claude CLI with reading tools, in a checkout of the mirror."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from core.errors import Unavailable
from core.planning.planner import AgentResult, PlannerCall
from runner.agents.claude import PLANNER_TOOLS, REHEARSAL, CliCall, Credential, find_cli
from runner.agents.stream import event_of, parse, read_lines, result_of, text_of
from runner.process import GuardedProcess, Start
from runner.tail import Tail

_MOST_ERRORS = 20_000


@dataclass(slots=True)
class ClaudePlanner:
    """Runs one CLI process a turn."""

    cli: Path | None
    credential: Callable[[], Credential]
    _running: dict[str, GuardedProcess] = field(default_factory=dict)

    async def ask(self, call: PlannerCall, on_text: Callable[[str], None]) -> AgentResult:
        """Run one turn to its end; ``on_text`` hears the prose as it streams."""
        try:
            cli = await asyncio.to_thread(find_cli, self.cli)
        except Unavailable as missing:
            return AgentResult(end="cli_missing", error=missing.sentence)
        credential = REHEARSAL if call.rehearsal else await asyncio.to_thread(self.credential)
        cli_call = CliCall(
            cli=cli,
            folder=call.folder,
            checkout=call.checkout,
            model=call.model,
            credential=credential,
            tools=PLANNER_TOOLS,
            permission_mode="dontAsk",
            base_url=call.base_url,
            extra=(
                *("--json-schema", orjson.dumps(call.schema).decode()),
                "--include-partial-messages",
            ),
        )
        await asyncio.to_thread(cli_call.prepare)
        argv = await asyncio.to_thread(cli_call.argv)
        out = call.folder / "out"
        process = await GuardedProcess.start(
            Start(
                argv=argv,
                cwd=call.checkout,
                env=cli_call.environment(),
                stdout=out / "stream.jsonl",
                stderr=out / "stderr.txt",
                state=call.folder / "guard",
                stdin=call.prompt.encode("utf-8", errors="replace"),
                timeout=call.timeout_seconds,
                grace=5.0,
            )
        )
        self._running[call.call_id] = process
        try:
            async with Tail(out / "stream.jsonl", lambda line: _heard(line, on_text)):
                ended = await process.wait()
        finally:
            self._running.pop(call.call_id, None)
        return await asyncio.to_thread(
            lambda: result_of(
                parse(read_lines(out / "stream.jsonl")),
                ended,
                call_id=call.call_id,
                stderr=read_errors(out / "stderr.txt", credential),
            )
        )

    async def stop(self, call_id: str) -> None:
        """End the process tree of that call; unknown ids are ignored."""
        process = self._running.get(call_id)
        if process is not None:
            await process.stop()


def _heard(line: bytes, on_text: Callable[[str], None]) -> None:
    event = event_of(line)
    text = text_of(event) if event else ""
    if text:
        on_text(text)


def read_errors(path: Path, credential: Credential) -> str:
    """The end of a process' stderr, without its credential."""
    try:
        text = path.read_bytes()[-_MOST_ERRORS:].decode("utf-8", errors="replace")
    except OSError:
        return ""
    return text.replace(credential.secret, "[redacted]") if credential.secret else text
