"""A rehearsal of the whole way on the sample repository: no account, no network, nothing leaves.

With ``local_remote`` a bare repository and a forge on this machine stand ready; whether anything
is pushed there is the gate's decision as for any other mission.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cockpit.mission_run import Client, MissionRun, Wanted
from core.folders import Folders
from runner.git.door import GitDoor
from runner.rehearsal import scripts
from runner.rehearsal.forge import LocalForge
from runner.rehearsal.sample import SAMPLE_MARKER, is_sample
from runner.rehearsal.sample_repository import make_bare, make_repository

SAMPLE_NAME = "harbor"
ANY_REPOSITORY = "any_repository"
DEFAULT = "happy"


@dataclass(frozen=True, slots=True)
class Sample:
    """The sample repository of a profile, and its remote on this machine, if there is one."""

    repository: Path
    remote: Path


def choose_script(repository: Path, wanted: str = "") -> str:
    """The script for a repository: the one named, else by whether it is the sample."""
    if wanted:
        return wanted
    marker = repository / SAMPLE_MARKER
    sample = marker.is_file() and is_sample(marker.read_bytes())
    return DEFAULT if sample else ANY_REPOSITORY


async def make_sample(folders: Folders) -> Sample:
    """The profile's sample repository; made with git when it is not there yet."""
    sample = Sample(folders.data / "sample" / SAMPLE_NAME, folders.data / "sample" / "remote")
    if not await asyncio.to_thread((sample.repository / ".git").is_dir):
        await make_repository(GitDoor(folders.data / "git"), sample.repository)
    return sample


@asynccontextmanager
async def local_remote(folders: Folders, sample: Sample) -> AsyncIterator[tuple[Path, str]]:
    """A bare clone of the sample and a forge beside it: the push URL and the REST root."""
    bare = sample.remote / f"{SAMPLE_NAME}.git"
    if not await asyncio.to_thread(bare.is_dir):
        await asyncio.to_thread(lambda: sample.remote.mkdir(mode=0o700, parents=True))
        await make_bare(GitDoor(folders.data / "git"), sample.repository, bare)
    name = f"{sample.remote.name}/{SAMPLE_NAME}"
    kept = sample.remote / "port"
    async with LocalForge({name: bare}, sample.remote / "forge", port=_port(kept)) as forge:
        await asyncio.to_thread(kept.write_text, str(forge.port))
        yield bare, forge.url


def _port(kept: Path) -> int:
    """The port of the time before, so that a mission finds its forge again; 0 for any."""
    try:
        port = int(kept.read_text())
        with socket.create_server(("127.0.0.1", port)):
            return port
    except (OSError, ValueError):
        return 0


async def connect_remote(client: Client, push_url: Path, forge_url: str) -> None:
    """Register the remote for the sample; that lists nothing and allows nothing."""
    for key, value in (("remote.url", str(push_url)), ("remote.forge_url", forge_url)):
        await client.call("repo.set", {"repo": SAMPLE_NAME, "key": key, "value": value})


async def register(client: Client, sample: Sample) -> None:
    """Put the sample into the registry, once."""
    known = (await client.call("repo.list", {}))["repos"]
    if all(repo["name"] != SAMPLE_NAME for repo in known):
        path = str(sample.repository)
        await client.call("repo.add", {"path": path, "name": SAMPLE_NAME, "confirm": True})


async def rehearse(
    client: Client, sample: Sample, script: str, report: Callable[[dict[str, Any]], None]
) -> tuple[int, dict[str, Any]]:
    """Walk the script's mission: exit code and result."""
    played = scripts.load(script)
    wanted = Wanted(
        repo=sample.repository,
        goal=played.goal,
        criteria=played.criteria,
        title=played.title,
        approve=True,
        confirm_criteria=True,
        rehearsal=script,
        goal_attempted=played.goal_attempted,
        run_commands_on_host=True,
    )
    return await MissionRun(client, wanted, report).run()
