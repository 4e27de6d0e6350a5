"""Drives a mission through the Desk, over stand-ins or real parts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import select

from cockpit.compose import Core, Parts, open_with
from core.context import Context
from core.delivery.capability import CapabilityOffice
from core.folders import Folders
from core.journal.projections import ReadTables
from core.ledger.model_usage import ModelUsage
from core.missions.conductor import Point, no_point
from core.missions.state import Hold, MissionState
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
)
from tests.world import World

GOAL = "Add a greeting to hello.txt"
PATIENCE = 20  # seconds; then a wait fails and says what there is
CRITERION = "Running `cat hello.txt` prints `hello`"


@dataclass(slots=True)
class NoPrices:
    """Nothing has a price, and nothing costs much; ``most`` is the worst case of a call."""

    most: Decimal | None = Decimal("0.01")

    def cost(self, usage: ModelUsage, at: Any) -> None:
        return None

    def ceiling(
        self, provider: str, model: str, *, input_tokens: int, output_tokens: int
    ) -> Decimal | None:
        return self.most


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
        self.prices = NoPrices()
        self.context = Context()

    world: World = field(init=False)
    workshop: FakeWorkshop = field(init=False)
    planner: FakePlanner = field(init=False)
    coder: FakeCoder = field(init=False)
    harness: FakeHarness = field(init=False)
    judges: dict[str, FakeJudge] = field(init=False)
    forge: FakeForge = field(init=False)
    writer: FakeRemoteWriter = field(init=False)
    prices: NoPrices = field(init=False)
    context: Context = field(init=False)

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
            prices=self.prices,
        )
        return Parts(ports, self.writer, NoEndpoints(), CapabilityOffice(b"key"))

    @asynccontextmanager
    async def core(self, *, at_point: Point = no_point) -> AsyncIterator[Core]:
        """A core over the stand-ins."""
        async with open_with(
            self.folders(),
            self.settings,
            self.parts(),
            context=self.context,
            at_point=at_point,
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


async def wait_for(core: Core, what: str, found: Callable[[], Any]) -> Any:
    """Look at every event until ``found`` gives something, and return that.

    Raises:
        AssertionError: it did not come in time; says what was recorded and what is held.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            head = core.desk.journal.head()
            if value := found():
                return value
            async for _ in core.desk.journal.follow(head):
                value = found()
                if value:
                    return value
    except TimeoutError:
        pass
    raise AssertionError(f"{what} did not come within {PATIENCE} s\n{report(core)}")


def report(core: Core) -> str:
    """What was recorded last, and what is held."""
    events = core.desk.journal.read(limit=None)
    lines = [f"{e.seq} {e.stream} {e.kind} {str(e.event)[:160]}" for e in events[-60:]]
    streams = {e.stream for e in events if e.stream.startswith(("mission:", "session:"))}
    for stream in sorted(streams):
        state = core.desk.journal.state(stream)[1]
        lines.append(f"{stream} is {state.state}, holds {[h.code for h in state.holds.values()]}")
    return "\n".join(lines)


async def session_at(core: Core, session: str) -> SessionState:
    """Wait until the planner has nothing to do; the session's state then."""

    def found() -> SessionState | None:
        state = core.desk.session(session)
        return None if state.asks else state

    state: SessionState = await wait_for(core, "the planner's answer", found)
    return state


async def mission_until(
    core: Core, mission: str, *kinds: str, times: int = 1, state: str = ""
) -> MissionState:
    """Wait until events of one of these kinds were recorded so often; the state then."""

    def found() -> MissionState | None:
        events = core.desk.journal.read(stream=f"mission:{mission}", limit=None)
        now = core.desk.mission(mission)
        enough = not kinds or sum(e.kind in kinds for e in events) >= times
        return now if enough and state in ("", now.state) else None

    reached: MissionState = await wait_for(core, f"{kinds} {state}", found)
    return reached


async def hold_of(core: Core, stream: str, code: str = "") -> Hold:
    """Wait for an active hold of ``mission:…`` or ``session:…``, and check its code."""

    def found() -> Hold | None:
        return next(iter(core.desk.journal.state(stream)[1].holds.values()), None)

    hold: Hold = await wait_for(core, f"{code or 'a hold'} of {stream}", found)
    assert code in ("", hold.code), f"{hold}\n{report(core)}"
    return hold


async def recover(core: Core, hold: Hold, action: str = "", text: str = "") -> None:
    """Answer a hold."""
    request = {"hold": hold.id, "action": action, "text": text}
    await core.desk.call("hold.recover", request)


async def add_repo(core: Core, path: Path, **settings: str) -> None:
    """Register the repository ``fake`` with a test command."""
    await core.desk.call("repo.add", {"path": str(path), "name": "fake", "confirm": True})
    wanted = {"commands.test": "true", "runner.host": "true", **settings}
    for key, value in wanted.items():
        await core.desk.call("repo.set", {"repo": "fake", "key": key, "value": value})


async def brainstorm(core: Core, **more: Any) -> SessionState:
    """Begin a session and wait for the planner's first words."""
    asked = {"repo": "fake", "text": GOAL, "criteria": [CRITERION], **more}
    started: Any = await core.desk.call("session.start", asked)
    return await session_at(core, started.id)


async def plan(core: Core, **more: Any) -> str:
    """Brainstorm and plan; the mission waits for approval then."""
    session = await brainstorm(core, **more)
    await core.desk.call("session.generate", {"session": session.id})
    return (await session_at(core, session.id)).mission


async def start(core: Core, **more: Any) -> str:
    """Plan, approve and start a mission."""
    mission = await plan(core, **more)
    await core.desk.call("mission.approve", {"mission": mission})
    await begin(core, mission)
    return mission


async def begin(core: Core, mission: str) -> None:
    """Start an approved mission."""
    await core.desk.call("mission.start", {"mission": mission, "run_commands_on_host": True})


def kinds_of(core: Core, stream: str) -> list[str]:
    """The kinds of all events of a stream, in order."""
    return [e.kind for e in core.desk.journal.read(stream=stream, limit=None)]


def rows_of(core: Core) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every read table."""
    with core.desk.journal.query() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in ReadTables.tables
        }
