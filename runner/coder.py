"""The coder on the host: the Claude CLI in a worktree, under a guard (domain.md §7).

Only for rehearsals and for repositories whose policy allows the host in so many words: on the host
a coder can read what the operator can read.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from core.context import RunId
from core.errors import Unavailable
from core.missions.coder import CoderCall, Where
from core.planning.planner import AgentResult
from core.private_files import write_private
from runner.agents.claude import CODER_TOOLS, REHEARSAL, CliCall, Credential, find_cli
from runner.agents.stream import parse, read_lines, result_of
from runner.planner import read_errors
from runner.process import Exit, GuardedProcess, Start, read_exit
from runner.tail import Tail

_GRACE = 5.0


@dataclass(slots=True)
class HostCoder:
    """Runs one CLI process a run."""

    cli: Path | None
    credential: Callable[[], Credential]
    _running: dict[str, GuardedProcess] = field(default_factory=dict)
    _stalled: set[str] = field(default_factory=set)

    @property
    def where(self) -> Where:
        """On the host."""
        return "host"

    async def run(self, call: CoderCall, on_stall: Callable[[float], None]) -> AgentResult:
        """Run to the end; ``on_stall`` hears once that nothing was printed for so long."""
        try:
            cli = await asyncio.to_thread(find_cli, self.cli)
        except Unavailable as missing:
            return AgentResult(end="cli_missing", error=missing.sentence)
        credential = REHEARSAL if call.rehearsal else await asyncio.to_thread(self.credential)
        cli_call = _cli_call(cli, call, credential)
        await asyncio.to_thread(_prepare, cli_call, call)
        argv = await asyncio.to_thread(cli_call.argv)
        process = await GuardedProcess.start(
            Start(
                argv=argv,
                cwd=call.worktree,
                env=cli_call.environment(),
                stdout=_stream(call),
                stderr=_errors(call),
                state=call.folder / "guard",
                stdin=call.prompt.encode("utf-8", errors="replace"),
                timeout=call.timeout_seconds,
                grace=_GRACE,
            )
        )
        self._running[call.run] = process
        try:
            watch = _Silence(self, call, process, on_stall)
            async with Tail(_stream(call), lambda _: None, on_silence=watch.heard):
                ended = await process.wait()
        finally:
            self._running.pop(call.run, None)
        result = await asyncio.to_thread(_result, call, ended, credential)
        if call.run in self._stalled:
            self._stalled.discard(call.run)
            result = replace(result, end="stalled", error="No output for too long.")
        return result

    async def find(self, call: CoderCall) -> AgentResult | None:
        """The result of a run that had ended by itself before we went down."""
        ended = await asyncio.to_thread(read_exit, call.folder / "guard")
        if ended is None or ended.ended_by in ("owner_gone", "stop"):
            return None
        credential = REHEARSAL if call.rehearsal else await asyncio.to_thread(self.credential)
        return await asyncio.to_thread(_result, call, ended, credential)

    async def pause(self, run: RunId) -> None:
        """Freeze the process tree."""
        if run in self._running:
            self._running[run].pause()

    async def resume(self, run: RunId) -> None:
        """Let a frozen process tree go on."""
        if run in self._running:
            self._running[run].resume()

    async def stop(self, run: RunId) -> None:
        """End the process tree within 2 s."""
        if run in self._running:
            await self._running[run].stop()

    def end_stalled(self, run: RunId, process: GuardedProcess) -> None:
        """End a run that has printed nothing for the longest silence."""
        self._stalled.add(run)
        process.tell_stop()


class _Silence:
    """Turns the silence of a run into its mark and, later, its end."""

    def __init__(
        self,
        coder: HostCoder,
        call: CoderCall,
        process: GuardedProcess,
        on_stall: Callable[[float], None],
    ):
        self._coder = coder
        self._call = call
        self._process = process
        self._on_stall = on_stall
        self._marked = False

    def heard(self, seconds: float) -> None:
        if self._process.paused:
            return
        if seconds >= self._call.stall_mark_seconds and not self._marked:
            self._marked = True
            self._on_stall(seconds)
        if seconds >= self._call.stall_hold_seconds:
            self._coder.end_stalled(self._call.run, self._process)


def _cli_call(cli: Path, call: CoderCall, credential: Credential) -> CliCall:
    mode = "acceptEdits"
    variables = {
        "CLAUDE_ROLE": "coder",
        "CLAUDE_MODEL": call.model,
        "CLAUDE_PERMISSION_MODE": mode,
        "CLAUDE_ALLOWED_TOOLS": ",".join(CODER_TOOLS),
        "TASK_ID": call.task,
        "RUN_ID": call.run,
    }
    role = call.folder / "in" / "role.md"
    return CliCall(
        cli=cli,
        folder=call.folder,
        checkout=call.worktree,
        model=call.model,
        credential=credential,
        tools=CODER_TOOLS,
        permission_mode=mode,
        base_url=call.base_url,
        extra=("--append-system-prompt-file", str(role)),
        variables=variables,
    )


def _prepare(cli_call: CliCall, call: CoderCall) -> None:
    cli_call.prepare()
    write_private(call.folder / "in" / "prompt.txt", call.prompt.encode("utf-8", "replace"))
    write_private(call.folder / "in" / "role.md", call.role.encode("utf-8", "replace"))
    _result_file(call).unlink(missing_ok=True)


def _stream(call: CoderCall) -> Path:
    return call.folder / "out" / "stream.jsonl"


def _errors(call: CoderCall) -> Path:
    return call.folder / "out" / "stderr.txt"


def _result_file(call: CoderCall) -> Path:
    return call.folder / "out" / "result.json"


def _result(call: CoderCall, ended: Exit, credential: Credential) -> AgentResult:
    """Derive ``cli-envelope.json`` and ``result.json`` from what the process printed (§7)."""
    stream = parse(read_lines(_stream(call)))
    stderr = read_errors(_errors(call), credential)
    result = result_of(stream, ended, call_id=call.run, stderr=stderr)
    envelope = call.folder / "out" / "cli-envelope.json"
    write_private(envelope, orjson.dumps(stream.result or {}))
    write_private(_result_file(call), orjson.dumps(_plain(result)))
    return result


def _plain(result: AgentResult) -> dict[str, Any]:
    facts = asdict(result)
    facts["usage"] = [
        {**each, "cost_usd": None if each["cost_usd"] is None else str(each["cost_usd"])}
        for each in facts["usage"]
    ]
    return facts
