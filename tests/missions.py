"""Drives a mission through the Desk, over stand-ins or real parts."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from cockpit.compose import Core, Parts, open_with
from core.delivery.capability import CapabilityOffice
from core.folders import Folders
from core.ledger.model_usage import ModelUsage
from core.missions.conductor import Point, no_point
from core.missions.state import MissionState
from core.planning.sessions import SessionState
from core.ports import Ports
from core.settings import Settings
from tests.fakes import (
    FakeCoder,
    FakeForge,
    FakeHarness,
    FakeJudge,
    FakePlanner,
    FakeRemoteWriter,
    FakeWorkshop,
    World,
)

GOAL = "Add a greeting to hello.txt"
CRITERION = "Running `cat hello.txt` prints `hello`"


class NoPrices:
    """Nothing has a price, and nothing costs much."""

    def cost(self, usage: ModelUsage, at: Any) -> None:
        return None

    def ceiling(
        self, provider: str, model: str, *, input_tokens: int, output_tokens: int
    ) -> Decimal | None:
        return Decimal("0.01")


class NoEndpoints:
    """Stand-ins are reached without an address."""

    def base_url(self, provider: str, rehearsal: str) -> str | None:
        return None

    def model(self, provider: str) -> str:
        return f"{provider}-model"


@dataclass(slots=True)
class Stage:
    """Stand-ins for every port, over one world that outlives the core."""

    folder: Path
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.world = World(self.folder / "world")
        self.workshop = FakeWorkshop(self.world)
        self.planner = FakePlanner(self.world)
        self.coder = FakeCoder(self.world)
        self.harness = FakeHarness()
        self.judges = {n: FakeJudge(self.world, n) for n in ("openai", "gemini")}
        self.forge = FakeForge(self.world)
        self.writer = FakeRemoteWriter(self.world, self.forge)

    world: World = field(init=False)
    workshop: FakeWorkshop = field(init=False)
    planner: FakePlanner = field(init=False)
    coder: FakeCoder = field(init=False)
    harness: FakeHarness = field(init=False)
    judges: dict[str, FakeJudge] = field(init=False)
    forge: FakeForge = field(init=False)
    writer: FakeRemoteWriter = field(init=False)

    def folders(self) -> Folders:
        """A profile in the test's own folder."""
        home = self.folder / "home"
        return Folders("test", home / "data", home / "config", home / "run").make()

    def parts(self) -> Parts:
        """The stand-ins as parts of a core."""
        ports = Ports(
            workshop=self.workshop,
            planner=self.planner,
            coder=self.coder,
            harness=self.harness,
            judges=self.judges,
            forge=self.forge,
            prices=NoPrices(),
        )
        return Parts(ports, self.writer, NoEndpoints(), CapabilityOffice(b"key"))

    @asynccontextmanager
    async def core(self, *, at_point: Point = no_point) -> AsyncIterator[Core]:
        """A core over the stand-ins."""
        async with open_with(
            self.folders(), self.settings, self.parts(), at_point=at_point
        ) as core:
            yield core

    def allow_remote(self) -> None:
        """Settings under which the gate can open."""
        system = replace_model(
            self.settings.system, allow_remote_writes=True, remote_write_repos=("fake",)
        )
        self.settings = replace_model(self.settings, system=system)


def replace_model(model: Any, **changes: Any) -> Any:
    """A frozen model with other values."""
    return model.model_copy(update=changes)


def with_harness(stage: Stage, ends: Mapping[str, str]) -> None:
    """Let commands end otherwise."""
    stage.harness = FakeHarness(ends)


async def session_at(core: Core, session: str, *, idle: bool = True) -> SessionState:
    """Wait until the planner has nothing to do; the session's state then."""
    async for _ in core.desk.journal.follow(0):
        state = core.desk.session(session)
        if not (idle and state.asks) and core.desk.journal.head():
            return state
    raise AssertionError("the journal ended")


async def mission_until(core: Core, mission: str, *kinds: str) -> MissionState:
    """Wait for an event of one of these kinds in the mission's stream; its state then."""
    async for envelope in core.desk.journal.follow(0):
        if envelope.stream == f"mission:{mission}" and envelope.kind in kinds:
            return core.desk.mission(mission)
    raise AssertionError("the journal ended")


async def add_repo(core: Core, path: Path, **settings: str) -> None:
    """Register the repository ``fake`` with a test command."""
    await core.desk.call("repo.add", {"path": str(path), "name": "fake", "confirm": True})
    wanted = {"commands.test": "true", "runner.host": "true", **settings}
    for key, value in wanted.items():
        await core.desk.call("repo.set", {"repo": "fake", "key": key, "value": value})


async def plan(core: Core, **more: Any) -> str:
    """Brainstorm and plan; the mission waits for approval then."""
    asked = {"repo": "fake", "text": GOAL, "criteria": [CRITERION], **more}
    started: Any = await core.desk.call("session.start", asked)
    await session_at(core, started.id)
    await core.desk.call("session.generate", {"session": started.id})
    state = await session_at(core, started.id)
    return state.mission


async def start(core: Core, **more: Any) -> str:
    """Plan, approve and start a mission."""
    mission = await plan(core, **more)
    await core.desk.call("mission.approve", {"mission": mission})
    await core.desk.call("mission.start", {"mission": mission, "run_commands_on_host": True})
    return mission


__all__ = ["Stage", "add_repo", "mission_until", "plan", "session_at", "start"]
