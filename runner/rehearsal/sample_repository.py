"""The sample's files as a git repository, and a bare clone of it as a remote on this machine."""

import asyncio
from pathlib import Path

from core.errors import Refused
from runner.git.door import GitDoor, Leave, Site
from runner.rehearsal.sample import write_sample

_DATE = "@1700000000 +0000"


async def make_repository(door: GitDoor, folder: Path) -> None:
    """Write the sample into ``folder`` and commit it once; the commit is the same everywhere.

    Raises:
        Invalid: the folder is not empty.
        Refused: ``SAMPLE_NOT_MADE`` when it is a repository already.
    """
    git_dir = folder / ".git"
    if await asyncio.to_thread(git_dir.exists):
        raise Refused("SAMPLE_NOT_MADE", f"{folder} is a git repository already.")
    await asyncio.to_thread(write_sample, folder)
    site = Site(git_dir, folder)
    who = {"NAME": "Harbor", "EMAIL": "harbor@example.invalid", "DATE": _DATE}
    people = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in who.items()
    }
    await door.run(["init", "--quiet", "--initial-branch=main", folder], Site(None))
    await door.run(["add", "--all"], site)
    args = ["commit", "--quiet", "--no-verify", "-m", "Begin the harbor library"]
    await door.run(args, site, leave=Leave(variables=people))


async def make_bare(door: GitDoor, source: Path, folder: Path) -> None:
    """Clone a repository of ours without a checkout."""
    args: list[str | Path] = ["clone", "--quiet", "--bare", "--end-of-options", source, folder]
    await door.run(args, Site(None), leave=Leave(protocols=("file",)))
