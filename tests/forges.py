"""A bare repository to open pull requests on, and a wire before a forge that loses and refuses."""

import asyncio
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from tests.judge_wire import JudgeWire, Play

MISSION = "m-4T9K2QX0ZB"
HEAD = f"cockpit/{MISSION}"
FORWARD = Play(status=0)
LOST = Play(status=1)
"""The forge gets the request, and its answer never arrives."""


def bare_repository(folder: Path, *branches: str) -> dict[str, str]:
    """A bare repository with one commit for each branch on top of ``main``: branch → commit."""
    _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(folder))
    tree = _git(folder, "mktree", given="")
    root = _git(folder, "commit-tree", tree, "-m", "root")
    commits = {"main": root}
    for branch in branches:
        commits[branch] = _git(folder, "commit-tree", tree, "-p", root, "-m", branch)
    for branch, commit in commits.items():
        _git(folder, "update-ref", f"refs/heads/{branch}", commit)
    return commits


def move(folder: Path, branch: str) -> str:
    """One more commit on ``branch``."""
    tip = _git(folder, "rev-parse", f"refs/heads/{branch}")
    tree = _git(folder, "rev-parse", f"{tip}^{{tree}}")
    commit = _git(folder, "commit-tree", tree, "-p", tip, "-m", "more")
    _git(folder, "update-ref", f"refs/heads/{branch}", commit)
    return commit


def pack(folder: Path) -> None:
    """All refs into one file, as git does now and then."""
    _git(folder, "pack-refs", "--all")


def _git(folder: Path, *arguments: str, given: str | None = None) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    person = {
        f"GIT_{who}_{what}": "t@example.com"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        input=given,
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **person},
    )
    return done.stdout.strip()


def refusing(status: int, message: str = "No", **headers: str) -> Play:
    """An error as GitHub words it."""
    told = {"message": message, "documentation_url": ""}
    return Play(
        status, json.dumps(told).encode(), {n.replace("_", "-"): v for n, v in headers.items()}
    )


class ForgeWire(JudgeWire):
    """Passes requests on to a forge, unless a play says otherwise; afterwards all are passed on."""

    def __init__(self, upstream: str, plays: Sequence[Play], *, port: int = 0):
        super().__init__([*plays, FORWARD], port=port)
        self._upstream = upstream

    @property
    def methods(self) -> list[str]:
        """The methods asked, in order."""
        return [asked.method for asked in self.asked]

    async def _play(
        self, play: Play, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if play.status > 1:
            await super()._play(play, reader, writer)
            return
        asked = self.asked[-1]
        body: Any = json.dumps(asked.body).encode() if asked.body is not None else b""
        async with httpx2.AsyncClient(trust_env=False) as http:
            got = await http.request(
                asked.method,
                self._upstream + asked.path,
                content=body,
                headers={"authorization": asked.headers["authorization"]},
            )
        if play is LOST:
            writer.transport.abort()
            return
        await super()._play(Play(got.status_code, got.content), reader, writer)
