"""Worktrees and clean checkouts: whole or not at all, removed whatever is in them."""

import os
import socket
from pathlib import Path

import pytest

from core.errors import Invalid
from runner.git.door import GitFailed
from runner.git.mirror import Mirror
from runner.git.removal import remove_folder
from runner.git.worktree import add_worktree, checkout_clean, remove_worktree, worktree_in
from tests import zoo


@pytest.mark.asyncio
async def test_it_is_kept_or_laid_anew(mirror: Mirror, tmp_path: Path) -> None:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    folder = tmp_path / "worktrees" / "t1"
    await add_worktree(mirror, base, folder)
    (folder / "work").write_text("of a coder")

    await add_worktree(mirror, base, folder, keep=True)
    assert (folder / "work").exists()

    await add_worktree(mirror, base, folder)
    assert not (folder / "work").exists()


@pytest.mark.asyncio
async def test_one_that_was_half_made_is_never_kept(mirror: Mirror, tmp_path: Path) -> None:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    folder = tmp_path / "worktrees" / "t1"
    worktree = await add_worktree(mirror, base, folder)
    (worktree.admin / "cockpit-ready").unlink()
    (worktree.admin / "index.lock").touch()
    (folder / "README.md").unlink()

    await add_worktree(mirror, base, folder, keep=True)

    assert (folder / "README.md").exists()
    assert worktree.laid_at() == base


@pytest.mark.asyncio
async def test_without_its_admin_folder_it_is_laid_anew(mirror: Mirror, tmp_path: Path) -> None:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    folder = tmp_path / "worktrees" / "t1"
    worktree = await add_worktree(mirror, base, folder)
    remove_folder(worktree.admin)

    assert (await add_worktree(mirror, base, folder, keep=True)).laid_at() == base


@pytest.mark.asyncio
async def test_a_commit_that_is_not_there_leaves_no_worktree_behind(
    mirror: Mirror, tmp_path: Path
) -> None:
    await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    folder = tmp_path / "worktrees" / "t1"

    with pytest.raises(GitFailed):
        await add_worktree(mirror, "1" * 40, folder)

    assert worktree_in(mirror, folder).laid_at() is None
    await remove_worktree(worktree_in(mirror, folder))
    assert not any(folder.parent.iterdir())


@pytest.mark.asyncio
async def test_removal_is_repeatable_and_follows_no_link(mirror: Mirror, tmp_path: Path) -> None:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    worktree = await add_worktree(mirror, base, tmp_path / "worktrees" / "t1")
    (worktree.folder / "out").symlink_to(outside)
    remove_folder(worktree.folder / "src")
    (worktree.folder / "src").symlink_to(outside)

    await remove_worktree(worktree)
    await remove_worktree(worktree)

    assert (outside / "precious").exists()
    assert not any((tmp_path / "worktrees").iterdir())
    assert zoo.git("worktree", "list", "--porcelain", cwd=mirror.folder).count("worktree ") == 1


@pytest.mark.asyncio
async def test_a_worktree_folder_that_became_a_link_takes_only_the_link(
    mirror: Mirror, tmp_path: Path
) -> None:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    worktree = await add_worktree(mirror, base, tmp_path / "worktrees" / "t1")
    (tmp_path / "outside").mkdir()
    remove_folder(worktree.folder)
    worktree.folder.symlink_to(tmp_path / "outside")

    await add_worktree(mirror, base, worktree.folder, keep=True)

    assert not worktree.folder.is_symlink()
    assert not any((tmp_path / "outside").iterdir())


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["-x", ".hidden", "a b", "x.lock", "é", "a\nb"])
async def test_names_that_git_would_misread_are_refused(
    mirror: Mirror, tmp_path: Path, name: str
) -> None:
    with pytest.raises(Invalid):
        await add_worktree(mirror, "1" * 40, tmp_path / "worktrees" / name)


@pytest.mark.asyncio
async def test_a_clean_checkout_has_the_files_and_no_git(mirror: Mirror, tmp_path: Path) -> None:
    source = zoo.submodules(tmp_path / "repo")
    base = await mirror.create_or_update(source, "main")
    folder = tmp_path / "checkouts" / "c1"
    folder.mkdir(parents=True)
    (folder / "old").write_text("left from before")

    await checkout_clean(mirror, base, folder)

    names = {path.name for path in folder.iterdir()}
    assert names == {".gitignore", ".gitmodules", "README.md", "lib", "link", "run.sh", "src"}
    assert not any((folder / "lib").iterdir())
    assert (folder / "run.sh").stat().st_mode & 0o111
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.asyncio
async def test_a_failed_checkout_leaves_what_was_there(mirror: Mirror, tmp_path: Path) -> None:
    await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    folder = tmp_path / "checkouts" / "c1"
    folder.mkdir(parents=True)

    with pytest.raises(GitFailed):
        await checkout_clean(mirror, "1" * 40, folder)

    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.slow
def test_nothing_a_coder_can_make_stops_a_removal(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    (folder / "closed").mkdir()
    (folder / "closed" / "file").write_text("x")
    (folder / "closed").chmod(0)
    (folder / ".removed-1-1").mkdir()
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(3000):  # deeper than a path can be named, or recursion can go
        os.mkdir("down", dir_fd=handle)
        below = os.open("down", os.O_RDONLY | os.O_DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)

    remove_folder(folder)

    assert not any(tmp_path.iterdir())
    remove_folder(folder)
