"""Killed at any moment, the same calls made again come to the same end."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.missions.workshop import Joined
from runner.git.commit import CommitText, commit_all
from runner.git.door import GitDoor
from runner.git.merge import merge
from runner.git.mirror import Mirror
from runner.git.worktree import add_worktree
from tests import zoo

BRANCH = "cockpit/harbour-m-4T9K2QX0ZB"
FILES = 1500


async def whole(root: Path) -> Joined:
    """Mirror, worktree, commit and merge, as a mission does them."""
    mirror = Mirror(GitDoor(root / "git"), root / "mirrors" / "r.git")
    base = await mirror.create_or_update(root / "repo", "main")
    worktree = await add_worktree(mirror, base, root / "worktrees" / "t1", keep=True)
    for number in range(FILES):
        (worktree.folder / f"new-{number}").write_text(f"new {number}\n")
    text = CommitText("T1", datetime(2024, 5, 1, tzinfo=UTC))
    done = await commit_all(worktree, base, text)
    assert done.sha is not None
    return await merge(mirror, BRANCH, done.sha, start=base)


def _run(root: str) -> None:
    asyncio.run(whole(Path(root)))


def _begun(root: Path) -> bool:
    return (root / "mirrors" / "r.git.lock").exists()


def _made(root: Path) -> bool:
    return (root / "mirrors" / "r.git" / "config").exists()


def _brought(root: Path) -> bool:
    return (root / "mirrors" / "r.git" / "refs" / "cockpit").exists()


def _registered(root: Path) -> bool:
    return (root / "worktrees" / "t1" / ".git").exists()


def _checking_out(root: Path) -> bool:
    return (root / "mirrors" / "r.git" / "worktrees" / "t1" / "index.lock").exists()


def _laid(root: Path) -> bool:
    return (root / "mirrors" / "r.git" / "worktrees" / "t1" / "cockpit-ready").exists()


def _staging(root: Path) -> bool:
    return any((root / "git" / "scratch").glob("*/index*"))


def _committed(root: Path) -> bool:
    return (root / "mirrors" / "r.git" / "refs" / "cockpit" / "work").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [_begun, _made, _brought, _registered, _checking_out, _laid, _staging, _committed],
    ids=lambda moment: moment.__name__.strip("_"),
)
def test_killed_and_done_again(tmp_path: Path, moment: Callable[[Path], bool]) -> None:
    repo = zoo.plain(tmp_path / "repo")
    for number in range(FILES):
        (repo / f"file-{number}").write_text(f"{number}\n")
    zoo.commit(repo)
    before = zoo.snapshot(repo)
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(str(tmp_path),))
    process.start()
    assert process.pid is not None
    while process.is_alive() and not moment(tmp_path):
        os.sched_yield()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    process.close()

    joined = asyncio.run(whole(tmp_path))

    assert joined.tip is not None
    mirror = tmp_path / "mirrors" / "r.git"
    names = zoo.git("ls-tree", "--name-only", BRANCH, cwd=mirror).split("\n")
    assert len([name for name in names if name.startswith("new-")]) == FILES
    assert len([name for name in names if name.startswith("file-")]) == FILES
    zoo.git("fsck", "--connectivity-only", cwd=mirror)
    assert zoo.snapshot(repo) == before
