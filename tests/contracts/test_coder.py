"""What every coder keeps to: the stand-in always, the real CLI on the host where there is one."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from core.context import MissionId, RunId, TaskId
from core.errors import Unavailable
from core.missions.coder import Coder, CoderCall
from core.planning.planner import AgentResult
from core.tasks import spawn
from runner.agents.claude import Credential, find_cli
from runner.coder import HostCoder
from tests.fakes import FakeCoder
from tests.wire import Turn, Wire, done, tool, until
from tests.world import World

RUN = RunId("r-1")
pytestmark = pytest.mark.asyncio


def unheard(seconds: float) -> None:
    """Stalls do not matter here."""


class Rig(ABC):
    """A coder that writes ``hello.txt``, and a way to hold it up before that."""

    coder: Coder

    def __init__(self, folder: Path) -> None:
        self.open = AsyncExitStack()
        self.folder = folder
        self.worktree = folder / "worktree"
        self.worktree.mkdir()

    @abstractmethod
    async def play(self, *, waits: bool = False) -> None:
        """Make the coder ready; with ``waits`` it writes nothing before :meth:`release`."""

    @abstractmethod
    async def under_way(self) -> None:
        """Return once the coder waits."""

    @abstractmethod
    def release(self) -> None:
        """Let it go on."""

    @abstractmethod
    def again(self) -> Coder:
        """The coder of a later process over the same files."""

    def call(self, run: RunId = RUN, **more: Any) -> CoderCall:
        header = {"role": "coder", "task": "T1", "attempt": 1, "cwd": str(self.worktree)}
        facts: dict[str, Any] = {
            "run": run,
            "mission": MissionId("m-1"),
            "task": TaskId("T1"),
            "worktree": self.worktree,
            "folder": self.folder / run,
            "prompt": f"cockpit-call: {json.dumps(header)}\nWrite the greeting.\n",
            "role": "You are the coder of one task.",
            "model": "claude-sonnet-4-5",
            "timeout_seconds": 60.0,
            "rehearsal": True,
        }
        return CoderCall(**{**facts, **more})

    @property
    def written(self) -> bool:
        return (self.worktree / "hello.txt").exists()

    async def close(self) -> None:
        await self.open.aclose()


class FakeRig(Rig):
    async def play(self, *, waits: bool = False) -> None:
        self.gate = asyncio.Event() if waits else None
        self.coder = self._fake = FakeCoder(World(self.folder / "world"), wait=self.gate)

    async def under_way(self) -> None:
        await self._fake.started.wait()

    def release(self) -> None:
        assert self.gate is not None
        self.gate.set()

    def again(self) -> Coder:
        return FakeCoder(World(self.folder / "world"))


class RealRig(Rig):
    async def play(self, *, waits: bool = False) -> None:
        wait = f"touch {self.folder}/waits; until [ -e {self.folder}/go ]; do sleep 0.02; done"
        held: list[Turn] = [tool("Bash", command=wait)] if waits else []
        write = tool("Write", file_path=f"{self.worktree}/hello.txt", content="hello\n")
        self.wire = await self.open.enter_async_context(Wire(*held, write, done()))
        self.coder = self.again()

    async def under_way(self) -> None:
        await until((self.folder / "waits").exists)

    def release(self) -> None:
        (self.folder / "go").touch()

    def again(self) -> Coder:
        return HostCoder(None, lambda: Credential("login"))

    def call(self, run: RunId = RUN, **more: Any) -> CoderCall:
        return replace(super().call(run, **more), base_url=self.wire.url)

    async def close(self) -> None:
        await self.open.aclose()


def real_cli() -> None:
    try:
        find_cli(None)
    except Unavailable:
        pytest.skip("there is no Claude CLI")


@pytest_asyncio.fixture(
    params=[
        pytest.param(FakeRig, id="fake"),
        pytest.param(RealRig, id="host", marks=[pytest.mark.real_cli, pytest.mark.slow]),
    ]
)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    if request.param is RealRig:
        real_cli()
    made: Rig = request.param(tmp_path)
    yield made
    await made.close()


@asynccontextmanager
async def running(
    rig: Rig, heard: Callable[[float], None] = unheard
) -> AsyncIterator["asyncio.Task[AgentResult]"]:
    """A run that has come to where it waits."""
    await rig.play(waits=True)
    task = spawn(rig.coder.run(rig.call(), heard), name="run")
    async with asyncio.timeout(60):
        await rig.under_way()
        yield task
        await task


class TestARun:
    async def test_it_changes_the_worktree_and_says_so(self, rig: Rig) -> None:
        await rig.play()
        result = await rig.coder.run(rig.call(), unheard)
        assert (result.end, result.exit_code, result.error) == ("finished", 0, "")
        assert (rig.worktree / "hello.txt").read_text() == "hello\n"
        assert result.turns >= 1

    async def test_its_usage_is_named_after_it(self, rig: Rig) -> None:
        await rig.play()
        result = await rig.coder.run(rig.call(), unheard)
        assert result.usage
        for usage in result.usage:
            assert usage.call_id.startswith(f"{RUN}:")
            assert usage.provider == "anthropic"
            assert usage.input_tokens > 0

    @pytest.mark.parametrize(("missing", "code"), [("prompt", 2), ("role", 3)])
    async def test_without_prompt_or_role_nothing_starts(
        self, rig: Rig, missing: str, code: int
    ) -> None:
        await rig.play()
        blank: Any = {missing: " \n"}
        result = await rig.coder.run(replace(rig.call(), **blank), unheard)
        assert (result.end, result.exit_code) == ("failed", code)
        assert missing in result.error
        assert not rig.written

    async def test_it_says_where_it_runs(self, rig: Rig) -> None:
        await rig.play()
        assert rig.coder.where in ("host", "docker")

    async def test_two_run_side_by_side_and_are_stopped_apart(self, rig: Rig) -> None:
        async with running(rig) as first:
            second = spawn(rig.coder.run(rig.call(RunId("r-2")), unheard), name="second")
            await asyncio.sleep(0)
            await rig.coder.stop(RunId("r-2"))
            assert (await second).end == "stopped"
            assert not first.done()
            rig.release()
            assert (await first).end == "finished"


class TestOrders:
    async def test_a_stop_ends_it_within_two_seconds(self, rig: Rig) -> None:
        async with running(rig) as run:
            before = time.monotonic()
            await rig.coder.stop(RUN)
            assert (await run).end == "stopped"
            assert time.monotonic() - before < 2.0
        assert not rig.written

    async def test_a_frozen_run_goes_on_where_it_was(self, rig: Rig) -> None:
        async with running(rig) as run:
            await rig.coder.pause(RUN)
            await rig.coder.resume(RUN)
            rig.release()
            assert (await run).end == "finished"
        assert rig.written

    async def test_a_frozen_run_does_nothing(self, rig: Rig) -> None:
        async with running(rig) as run:
            await rig.coder.pause(RUN)
            rig.release()
            await asyncio.sleep(0.5)  # nothing can be waited for: it must not happen
            assert not rig.written
            assert not run.done()
            await rig.coder.resume(RUN)
            assert (await run).end == "finished"

    async def test_a_pause_before_the_process_is_there_is_not_forgotten(self, rig: Rig) -> None:
        await rig.play()
        run = spawn(rig.coder.run(rig.call(), unheard), name="run")
        await asyncio.sleep(0)
        await rig.coder.pause(RUN)
        await asyncio.sleep(0.5)  # nothing can be waited for: it must not happen
        assert not rig.written
        await rig.coder.resume(RUN)
        async with asyncio.timeout(60):
            assert (await run).end == "finished"
        assert rig.written

    async def test_a_frozen_run_can_be_stopped(self, rig: Rig) -> None:
        async with running(rig) as run:
            await rig.coder.pause(RUN)
            await rig.coder.stop(RUN)
            assert (await run).end == "stopped"

    async def test_orders_to_unknown_runs_are_ignored(self, rig: Rig) -> None:
        await rig.play()
        for order in (rig.coder.pause, rig.coder.resume, rig.coder.stop):
            await order(RunId("r-unknown"))

    async def test_a_run_that_ended_hears_nothing(self, rig: Rig) -> None:
        await rig.play()
        await rig.coder.run(rig.call(), unheard)
        for order in (rig.coder.pause, rig.coder.resume, rig.coder.stop):
            await order(RUN)


class TestAfterARestart:
    async def test_an_ended_run_is_told_again(self, rig: Rig) -> None:
        await rig.play()
        ended = await rig.coder.run(rig.call(), unheard)
        assert await rig.again().find(rig.call()) == ended

    async def test_a_run_that_never_was_is_not_found(self, rig: Rig) -> None:
        await rig.play()
        assert await rig.again().find(rig.call(RunId("r-9"))) is None
        assert not rig.written

    async def test_a_run_that_was_stopped_is_not_found(self, rig: Rig) -> None:
        async with running(rig) as run:
            await rig.coder.stop(RUN)
            await run
        assert await rig.again().find(rig.call()) is None
