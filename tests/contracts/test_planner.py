"""What every planner keeps to: the stand-in always, the real CLI where there is one."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from core.errors import Unavailable
from core.planning.planner import Planner, PlannerCall
from core.tasks import spawn
from runner.agents.claude import Credential, find_cli
from runner.planner import ClaudePlanner
from tests.fakes import FakePlanner
from tests.wire import Wire, structured, until
from tests.world import World

pytestmark = pytest.mark.asyncio
ANSWER = {"message": "Understood.", "confidence": 0.9}
SCHEMA = {
    "type": "object",
    "properties": {"message": {"type": "string"}, "confidence": {"type": "number"}},
    "required": ["message"],
}


class Rig(ABC):
    """A planner that reads, says so, and answers ``ANSWER``."""

    planner: Planner

    def __init__(self, folder: Path) -> None:
        self.open = AsyncExitStack()
        self.folder = folder
        self.checkout = folder / "checkout"
        self.checkout.mkdir()

    @abstractmethod
    async def play(self, *, hangs: bool = False) -> None:
        """Make the planner ready; with ``hangs`` it never answers."""

    @abstractmethod
    async def under_way(self) -> None:
        """Return once it hangs."""

    def call(self, **more: Any) -> PlannerCall:
        header = {"role": "planner", "step": "converse", "attempt": 1, "cwd": str(self.checkout)}
        facts: dict[str, Any] = {
            "call_id": "r-7",
            "checkout": self.checkout,
            "folder": self.folder / "call",
            "prompt": f"cockpit-call: {json.dumps(header)}\nAnswer.\n",
            "schema": SCHEMA,
            "model": "claude-sonnet-4-5",
            "timeout_seconds": 60.0,
            "rehearsal": True,
        }
        return PlannerCall(**{**facts, **more})

    async def close(self) -> None:
        await self.open.aclose()


class FakeRig(Rig):
    async def play(self, *, hangs: bool = False) -> None:
        wait = asyncio.Event() if hangs else None
        self._fake = FakePlanner(World(self.folder / "world"), converse=ANSWER, wait=wait)
        self.planner = self._fake

    async def under_way(self) -> None:
        await until(lambda: self._fake.asked)


class RealRig(Rig):
    async def play(self, *, hangs: bool = False) -> None:
        turn = {"fault": {"hang": True}} if hangs else {"text": "Reading.", **structured(**ANSWER)}
        self.wire = await self.open.enter_async_context(Wire(turn, {"text": "Done."}))
        self.planner = ClaudePlanner(None, lambda: Credential("login"))

    async def under_way(self) -> None:
        await until(lambda: self.wire.requests)

    def call(self, **more: Any) -> PlannerCall:
        return replace(super().call(**more), base_url=self.wire.url)


@pytest_asyncio.fixture(
    params=[
        pytest.param(FakeRig, id="fake"),
        pytest.param(RealRig, id="claude", marks=[pytest.mark.real_cli, pytest.mark.slow]),
    ]
)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    if request.param is RealRig:
        try:
            find_cli(None)
        except Unavailable:
            pytest.skip("there is no Claude CLI")
    made: Rig = request.param(tmp_path)
    yield made
    await made.close()


async def test_the_answer_has_the_asked_structure(rig: Rig) -> None:
    await rig.play()
    result = await rig.planner.ask(rig.call(), lambda _: None)
    assert (result.end, result.exit_code, result.error) == ("finished", 0, "")
    assert result.structured == ANSWER


async def test_its_prose_is_heard(rig: Rig) -> None:
    await rig.play()
    heard: list[str] = []
    await rig.planner.ask(rig.call(), heard.append)
    assert "".join(heard).startswith("Reading.")


async def test_its_usage_is_named_after_the_call(rig: Rig) -> None:
    await rig.play()
    result = await rig.planner.ask(rig.call(), lambda _: None)
    assert result.usage
    assert {usage.call_id.partition(":")[0] for usage in result.usage} == {"r-7"}


async def test_without_a_prompt_nothing_starts(rig: Rig) -> None:
    await rig.play()
    result = await rig.planner.ask(rig.call(prompt=" \n"), lambda _: None)
    assert (result.end, result.exit_code) == ("failed", 2)


async def test_a_stop_ends_it_within_two_seconds(rig: Rig) -> None:
    await rig.play(hangs=True)
    asking = spawn(rig.planner.ask(rig.call(), lambda _: None), name="ask")
    async with asyncio.timeout(60):
        await rig.under_way()
        before = time.monotonic()
        await rig.planner.stop("r-7")
        assert (await asking).end == "stopped"
    assert time.monotonic() - before < 2.0


async def test_a_stop_before_the_process_is_there_is_not_forgotten(rig: Rig) -> None:
    await rig.play(hangs=True)
    asking = spawn(rig.planner.ask(rig.call(), lambda _: None), name="ask")
    await asyncio.sleep(0)
    await rig.planner.stop("r-7")
    async with asyncio.timeout(10):
        assert (await asking).end == "stopped"


async def test_a_stop_of_an_unknown_call_is_ignored(rig: Rig) -> None:
    await rig.play()
    await rig.planner.stop("r-unknown")
