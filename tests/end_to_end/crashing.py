"""A rehearsal with a local remote that kills itself with SIGKILL at one point of one step.

Run as ``python -m tests.end_to_end.crashing FOLDER [STEP POINT]``; without a point it takes up what
an earlier process left and brings it to its end. Prints one JSON object.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import structlog

from cockpit import rehearsal
from cockpit.client import InProcessClient
from cockpit.compose import open_core
from cockpit.mission_run import MissionRun, Wanted
from core.folders import Folders
from core.missions.steps import Step
from core.settings import Settings
from core.settings.model import System
from runner.rehearsal import scripts

SETTINGS = Settings(system=System(allow_remote_writes=True, remote_write_repos=("harbor",)))


async def main(folder: Path, wanted_step: str, wanted_point: str) -> dict[str, Any]:
    """Walk the happy script, or what is left of it."""
    folders = Folders("test", folder / "data", folder / "config", folder / "run").make()

    def at_point(point: str, step: Step) -> None:
        if (step.name, point) == (wanted_step, wanted_point):
            os.kill(os.getpid(), signal.SIGKILL)

    sample = await rehearsal.make_sample(folders)
    async with (
        rehearsal.local_remote(folders, sample) as (push_url, forge_url),
        open_core(folders, SETTINGS, at_point=at_point) as core,
    ):
        client = InProcessClient(core.desk)
        await rehearsal.register(client, sample)
        await rehearsal.connect_remote(client, push_url, forge_url)
        known = (await client.call("mission.list", {}))["missions"]
        if known:
            code, result, holds = await _go_on(client, known[0]["id"])
        else:
            code, result = await rehearsal.rehearse(client, sample, "happy", lambda _: None)
            holds = []
        usage = (await client.call("usage.list", {}))["calls"]
        log = (await client.call("event.list", {"limit": 5000}))["events"]
        verified = core.desk.journal.verify().ok
        return {
            "code": code,
            "result": result,
            "holds": holds,
            "usage": [row["id"] for row in usage],
            "pushes": sum(event["kind"] == "branch.pushed" for event in log),
            "verified": verified,
        }


async def _go_on(client: Any, mission: str) -> tuple[int, dict[str, Any], list[str]]:
    """Wait for the mission; recover what the crash held; deliver."""
    played = scripts.load("happy")
    wanted = Wanted(repo=Path(), goal=played.goal, rehearsal="happy")
    holds: list[str] = []
    code, result = await MissionRun(client, wanted).wait(mission)
    while result.get("hold"):
        holds.append(result["hold"]["code"])
        await client.call("hold.recover", {"hold": result["hold"]["id"]})
        code, result = await MissionRun(client, wanted).wait(mission)
    code, result = await MissionRun(client, wanted).deliver(mission)
    return code, result, holds


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    words = [*sys.argv[2:], "", ""]
    found = asyncio.run(main(Path(sys.argv[1]), words[0], words[1]))
    sys.stdout.write(json.dumps(found) + "\n")
