"""A core is killed at every point of every step, and a fresh one brings the mission to its end."""

import asyncio
import multiprocessing
import signal
from itertools import product
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, cast

import pytest

from cockpit.compose import actions
from core.delivery.capability import CapabilityOffice
from core.delivery.gate import Gate
from core.missions.machine import STAGE_OF_STEP
from tests.crashes import Kill, is_intact, result, run, stage_at, to_the_end, usage_twice
from tests.missions import Stage

STEPS = tuple(actions(Gate(cast("Any", None), CapabilityOffice(b"key"))))
KILLS: list[Kill] = [
    *((point, step) for step, point in product(STEPS, ("act", "outcome", "end"))),
    *(("intent", step) for step in STEPS if step in STAGE_OF_STEP),
    *product(("ask", "asked"), ("converse", "plan")),
]


@pytest.fixture(scope="module")
def children() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crashes"])
    return context


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same mission when nothing happens to the core."""
    folder = tmp_path_factory.mktemp("undisturbed")

    async def whole() -> dict[str, Any]:
        stage = stage_at(folder)
        async with stage.core() as core:
            await to_the_end(core, folder)
            assert is_intact(core)
            return result(core, stage)

    return asyncio.run(whole())


def test_the_undisturbed_mission_passes_every_step(undisturbed: dict[str, Any]) -> None:
    assert undisturbed["state"] == ("done", "delivered", "delivered")
    assert {name: state for name, (state, _) in undisturbed["tasks"].items()} == dict.fromkeys(
        ("T1", "T2", "T3"), "done"
    )
    assert (undisturbed["pushes"], undisturbed["opened"]) == (1, 1)
    assert undisturbed["task_commits"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("kill", KILLS, ids="-".join)
def test_a_killed_core_is_brought_to_the_same_end(
    kill: Kill, tmp_path: Path, children: ForkServerContext, undisturbed: dict[str, Any]
) -> None:
    child = children.Process(target=run, args=(str(tmp_path), kill))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL, "the point was never passed"
    stage = stage_at(tmp_path)
    asyncio.run(finish(stage, tmp_path, undisturbed))


async def finish(stage: Stage, folder: Path, undisturbed: dict[str, Any]) -> None:
    async with stage.core() as core:
        await to_the_end(core, folder)
        assert result(core, stage) == undisturbed
        assert usage_twice(core) == []
        assert is_intact(core)
