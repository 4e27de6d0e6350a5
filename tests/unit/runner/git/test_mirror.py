"""Mirrors: every kind of repository, kept private, brought up to date, safe across processes."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import Refused
from runner.git import locks
from runner.git.door import GitDoor
from runner.git.mirror import Mirror, place_of
from runner.git.tree import list_tree
from runner.git.worktree import add_worktree
from tests import zoo


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        zoo.plain,
        zoo.packed,
        zoo.shallow,
        zoo.partial,
        zoo.sparse,
        zoo.submodules,
        zoo.lfs,
        zoo.sha256,
        zoo.linked,
        zoo.strange_names,
        zoo.symlinks,
        zoo.dirty,
        zoo.split_index,
    ],
)
async def test_the_zoo_is_mirrored_checked_out_and_left_alone(
    mirror: Mirror, tmp_path: Path, build: Callable[[Path], Path]
) -> None:
    folder = build(tmp_path / "zoo" / "repo")
    branch = zoo.git("symbolic-ref", "--short", "HEAD", cwd=folder)
    before = zoo.snapshot(tmp_path / "zoo")

    base = await mirror.create_or_update(folder, branch)
    worktree = await add_worktree(mirror, base, tmp_path / "worktrees" / "t1")
    again = await mirror.create_or_update(folder, branch)

    assert base == again == zoo.git("rev-parse", "HEAD", cwd=folder)
    assert zoo.snapshot(tmp_path / "zoo") == before
    assert zoo.git("status", "--porcelain", "--ignored", cwd=worktree.folder) == ""
    for entry in await list_tree(mirror.door, mirror.site, base):
        there = worktree.folder / entry.path
        assert there.is_symlink() == (entry.mode == "120000")
        assert there.is_symlink() or there.exists()


@pytest.mark.asyncio
async def test_an_lfs_pointer_stays_one(mirror: Mirror, tmp_path: Path) -> None:
    base = await mirror.create_or_update(zoo.lfs(tmp_path / "repo"), "main")
    worktree = await add_worktree(mirror, base, tmp_path / "worktrees" / "t1")

    assert (worktree.folder / "big.bin").read_text() == zoo.LFS_POINTER


@pytest.mark.asyncio
async def test_it_follows_the_base_even_when_that_is_rewritten(
    mirror: Mirror, tmp_path: Path
) -> None:
    folder = zoo.plain(tmp_path / "repo")
    first = await mirror.create_or_update(folder, "main")
    (folder / "more").write_text("more")
    second = zoo.commit(folder)

    assert await mirror.create_or_update(folder, "main") == second
    zoo.git("reset", "-q", "--hard", "HEAD~2", cwd=folder)
    third = await mirror.create_or_update(folder, "main")

    assert third == zoo.git("rev-parse", "HEAD", cwd=folder)
    assert await mirror.is_ancestor(first, second)
    assert await mirror.has_commit(second)


@pytest.mark.asyncio
async def test_only_the_base_branch_is_taken(mirror: Mirror, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    zoo.git("checkout", "-q", "-b", "secret", cwd=folder)
    (folder / "secret").write_text("secret")
    secret = zoo.commit(folder)

    await mirror.create_or_update(folder, "main")

    assert not await mirror.has_commit(secret)
    assert not (mirror.folder / "hooks").exists()


@pytest.mark.asyncio
async def test_a_missing_base_makes_nothing(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "absent")

    assert refused.value.data["reason"] == "base_missing"
    assert not mirror.folder.exists()


@pytest.mark.asyncio
async def test_large_packs_are_copied_and_stay_apart(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.git.objects._LARGE", 1)
    folder = zoo.packed(tmp_path / "repo")
    before = zoo.snapshot(folder)

    base = await mirror.create_or_update(folder, "main")

    (pack,) = (folder / ".git" / "objects" / "pack").glob("*.pack")
    copy = mirror.folder / "objects" / "pack" / pack.name
    assert copy.read_bytes() == pack.read_bytes()
    assert not copy.samefile(pack)
    assert await mirror.has_commit(base)
    assert zoo.snapshot(folder) == before


@pytest.mark.asyncio
async def test_objects_borrowed_from_elsewhere_come_along(mirror: Mirror, tmp_path: Path) -> None:
    source = zoo.plain(tmp_path / "source")
    zoo.git("clone", "-q", "--shared", source, tmp_path / "repo", cwd=source)

    base = await mirror.create_or_update(tmp_path / "repo", "main")

    assert not (mirror.folder / "objects" / "info" / "alternates").exists()
    zoo.git("fsck", "--strict", cwd=mirror.folder)
    assert await mirror.has_commit(base)


@pytest.mark.asyncio
async def test_what_a_killed_git_left_is_cleared(mirror: Mirror, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    base = await mirror.create_or_update(folder, "main")
    (folder / "more").write_text("more")
    tip = zoo.commit(folder)
    stale = [
        mirror.folder / "refs" / "cockpit" / "base" / f"{place_of('main')}.lock",
        mirror.folder / "packed-refs.lock",
        mirror.folder / "shallow.lock",
        mirror.folder / "objects" / "pack" / "tmp_pack_abc",
    ]
    for file in stale:
        file.parent.mkdir(exist_ok=True, parents=True)
        file.touch()
    os.utime(stale[-1], (0, 0))
    fresh = mirror.folder / "objects" / "pack" / "tmp_pack_of_somebody_else"
    fresh.touch()
    (mirror.folder.parent / "harbour.git.lock").write_text("busy")

    assert await mirror.create_or_update(folder, "main") == tip != base
    assert not any(file.exists() for file in stale)
    assert fresh.exists()


@pytest.mark.asyncio
async def test_base_branches_may_be_named_below_each_other(mirror: Mirror, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    zoo.git("branch", "-m", "release", cwd=folder)
    first = await mirror.create_or_update(folder, "release")
    zoo.git("branch", "-m", "release/two", cwd=folder)

    assert await mirror.create_or_update(folder, "release/two") == first


@pytest.mark.asyncio
async def test_the_lock_is_one_at_a_time(tmp_path: Path) -> None:
    inside = 0
    most = 0

    async def work() -> None:
        nonlocal inside, most
        async with locks.held(tmp_path / "m.git"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(work())

    assert most == 1


def _add_eight(root: str, base: str, first: int) -> None:
    async def run() -> None:
        mirror = Mirror(GitDoor(Path(root) / "git"), Path(root) / "mirrors" / "harbour.git")
        async with asyncio.TaskGroup() as group:
            for number in range(first, first + 8):
                folder = Path(root) / "worktrees" / f"t{number}"
                group.create_task(add_worktree(mirror, base, folder))

    asyncio.run(run())


@pytest.mark.asyncio
@pytest.mark.slow
async def test_sixteen_worktrees_at_once_from_two_processes(mirror: Mirror, tmp_path: Path) -> None:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_add_eight, args=(str(tmp_path), base, first)) for first in (0, 8)
    ]

    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join)

    assert [process.exitcode for process in processes] == [0, 0]
    folders = list((tmp_path / "worktrees").iterdir())
    assert len(folders) == 16
    for folder in folders:
        assert (folder / "README.md").read_text() == "# Harbour\n"
    for process in processes:
        process.close()
