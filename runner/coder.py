"""The coder on the host: the Claude CLI in a worktree, under a guard (domain.md §7).

Only for rehearsals and for repositories whose policy allows the host in so many words: on the host
a coder can read what the operator can read.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.context import RunId
from core.errors import Broken, Unavailable
from core.missions.coder import CoderCall, Where
from core.planning.planner import AgentResult
from core.private_files import write_private
from core.tasks import spawn
from runner.agents.claude import CODER_TOOLS, REHEARSAL, CliCall, Credential, find_cli
from runner.agents.result_files import derive, errors_file, forget, stream_file
from runner.agents.running import AgentProcess, Running
from runner.process import Start, end_abandoned
from runner.tail import Tail

_GRACE = 5.0
_MODE = "acceptEdits"
_PROMPT_MISSING = AgentResult(end="failed", exit_code=2, error="The prompt is missing.")
_ROLE_MISSING = AgentResult(end="failed", exit_code=3, error="The role is missing.")


@dataclass(slots=True)
class HostCoder:
    """Runs one CLI process a run."""

    cli: Path | None
    credential: Callable[[], Credential]
    _running: Running = field(default_factory=Running)

    @property
    def where(self) -> Where:
        """On the host."""
        return "host"

    async def run(self, call: CoderCall, on_stall: Callable[[float], None]) -> AgentResult:
        """Run to the end; ``on_stall`` hears once that nothing was printed for so long.

        Raises:
            Broken: this run is under way already.
        """
        with self._running.begin(call.run) as process:
            if not (call.prompt.strip() and call.role.strip()):
                return _ROLE_MISSING if call.prompt.strip() else _PROMPT_MISSING
            try:
                cli = await asyncio.to_thread(find_cli, self.cli)
                credential = await self._credential(call)
                start = await asyncio.to_thread(_prepare, _cli_call(cli, call, credential), call)
            except Unavailable as missing:
                return AgentResult(end="cli_missing", error=missing.sentence)
            if not await process.start(start):
                return AgentResult(end="stopped")
            watch = _Silence(call, process, on_stall)
            async with Tail(stream_file(call.folder), _unheard, on_silence=watch.heard) as tail:
                watch.tail = tail
                ended = await process.wait()
            result = await asyncio.to_thread(
                derive, call.folder, ended, call_id=call.run, secret=credential.hidden
            )
            if process.stalled:
                return replace(result, end="stalled", error="No output for too long.")
            return result

    async def find(self, call: CoderCall) -> AgentResult | None:
        """The result of a run that had ended by itself before we went down.

        Whatever is left of one that had not is ended first; such a run has no result.

        Raises:
            Broken: this run is under way in this process.
        """
        if self._running.find(call.run) is not None:
            raise Broken("A run that is under way was looked for.", data={"run": call.run})
        ended = await asyncio.to_thread(end_abandoned, call.folder / "guard")
        if ended is None or ended.ended_by in ("owner_gone", "stop"):
            return None
        credential = await self._credential(call)
        return await asyncio.to_thread(
            derive, call.folder, ended, call_id=call.run, secret=credential.hidden
        )

    async def pause(self, run: RunId) -> None:
        """Freeze the process tree; unknown ids are ignored."""
        process = self._running.find(run)
        if process is not None:
            await process.pause()

    async def resume(self, run: RunId) -> None:
        """Let a frozen process tree go on."""
        process = self._running.find(run)
        if process is not None:
            await process.resume()

    async def stop(self, run: RunId) -> None:
        """End the process tree within 2 s; its result says ``stopped``."""
        await self._running.stop(run)

    async def _credential(self, call: CoderCall) -> Credential:
        return REHEARSAL if call.rehearsal else await asyncio.to_thread(self.credential)


class _Silence:
    """Turns the silence of a run into its mark and, later, its end."""

    def __init__(self, call: CoderCall, process: AgentProcess, on_stall: Callable[[float], None]):
        self._call = call
        self._process = process
        self._on_stall = on_stall
        self._marked = False
        self.tail: Tail | None = None

    def heard(self, seconds: float) -> None:
        if self._process.paused:
            if self.tail is not None:
                self.tail.forget_silence()
            return
        if seconds >= self._call.stall_mark_seconds and not self._marked:
            self._marked = True
            self._on_stall(seconds)
        if seconds >= self._call.stall_hold_seconds and not self._process.stalled:
            self._process.stalled = True
            spawn(self._process.stop(), name=f"stalled {self._call.run}")


def _unheard(line: bytes) -> None:
    """Who wants to see the output reads the file."""


def _cli_call(cli: Path, call: CoderCall, credential: Credential) -> CliCall:
    return CliCall(
        cli=cli,
        folder=call.folder,
        checkout=call.worktree,
        model=call.model,
        credential=credential,
        tools=CODER_TOOLS,
        permission_mode=_MODE,
        base_url=call.base_url,
        extra=("--append-system-prompt-file", str(_role_file(call))),
        variables={
            "CLAUDE_ROLE": "coder",
            "CLAUDE_MODEL": call.model,
            "CLAUDE_PERMISSION_MODE": _MODE,
            "CLAUDE_ALLOWED_TOOLS": ",".join(CODER_TOOLS),
            "TASK_ID": call.task,
            "RUN_ID": call.run,
        },
    )


def _prepare(cli_call: CliCall, call: CoderCall) -> Start:
    cli_call.prepare()
    prompt = call.prompt.encode("utf-8", errors="replace")
    write_private(call.folder / "in" / "prompt.txt", prompt)
    write_private(_role_file(call), call.role.encode("utf-8", errors="replace"))
    forget(call.folder)
    return Start(
        argv=cli_call.argv(),
        cwd=call.worktree,
        env=cli_call.environment(),
        stdout=stream_file(call.folder),
        stderr=errors_file(call.folder),
        state=call.folder / "guard",
        stdin=prompt,
        timeout=call.timeout_seconds,
        grace=_GRACE,
    )


def _role_file(call: CoderCall) -> Path:
    return call.folder / "in" / "role.md"
