"""Worktrees of tasks and clean checkouts for the harness: laid whole or not at all.

What lies in one afterwards is never trusted: its git folder is the one inside the mirror.
"""

import asyncio
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from core.errors import Invalid
from core.private_files import make_folder
from runner.git.door import GitFailed, Leave, Site
from runner.git.mirror import Mirror, place_of
from runner.git.removal import remove_folder
from runner.git.tree import check_sha

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_READY = "cockpit-ready"
_ATTEMPTS = 3
_CHECKOUT_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Worktree:
    """A task's files, and the git folder inside the mirror that belongs to them."""

    mirror: Mirror
    folder: Path

    @property
    def admin(self) -> Path:
        """Where git keeps this worktree's HEAD and index; no coder can write there."""
        return self.mirror.folder / "worktrees" / self.folder.name

    @property
    def site(self) -> Site:
        """The worktree as git is told of it."""
        return Site(self.admin, self.folder)

    def laid_at(self) -> str | None:
        """The commit it was laid at, None if that did not come to its end."""
        try:
            return (self.admin / _READY).read_text("ascii").strip()
        except FileNotFoundError:
            return None

    def is_whole_at(self, commit: str) -> bool:
        """Whether it was laid to its end at ``commit`` and its folder is there."""
        there = self.folder.is_dir() and not self.folder.is_symlink()
        return there and self.laid_at() == commit


def worktree_in(mirror: Mirror, folder: Path) -> Worktree:
    """The worktree that ``folder`` is or will be.

    Raises:
        Invalid: the folder's name cannot be that of a worktree.
    """
    if not _NAME.fullmatch(folder.name) or folder.name.endswith(".lock"):
        raise Invalid(
            "folder",
            f"A worktree cannot be called {folder.name!r}.",
            recovery="Use letters, digits, '.', '_' and '-'.",
        )
    return Worktree(mirror, folder)


async def add_worktree(
    mirror: Mirror, commit: str, folder: Path, *, keep: bool = False
) -> Worktree:
    """Lay a worktree at ``commit``, detached.

    Args:
        folder: its name is the worktree's; what lies there is replaced.
        keep: leave one that was laid whole at this commit as it is.

    Raises:
        GitFailed: objects are missing, or names cannot be checked out.
    """
    check_sha(commit)
    worktree = worktree_in(mirror, folder)
    if keep and worktree.is_whole_at(commit):
        return worktree
    await asyncio.to_thread(make_folder, folder.parent)
    async with mirror.laying(folder.name) as laying:
        await _remove(worktree)
        async with mirror.locked() as leave:
            await _register(worktree, commit, leave)
        args = ["read-tree", "--reset", "-u", commit]
        site = worktree.site
        await mirror.door.run(args, site, seconds=_CHECKOUT_SECONDS, leave=laying)
        (worktree.admin / _READY).write_text(commit, "ascii")
    return worktree


async def _register(worktree: Worktree, commit: str, leave: Leave) -> None:
    mirror = worktree.mirror
    args = ["worktree", "add", "--quiet", "--force", "--detach", "--no-checkout"]
    for attempt in range(_ATTEMPTS):
        try:
            await mirror.door.run([*args, worktree.folder, commit], mirror.site, leave=leave)
        except GitFailed:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            break
        await asyncio.to_thread(remove_folder, worktree.folder)
        await asyncio.to_thread(remove_folder, worktree.admin)
    if (worktree.folder / ".git").read_text("utf-8") != f"gitdir: {worktree.admin}\n":
        raise GitFailed("worktree", exit_code=0, stderr="it was registered under another name")


async def remove_worktree(worktree: Worktree) -> None:
    """Remove a worktree and what it holds; nothing if there is none. Repeatable.

    Raises:
        OSError: a file of another user is in the way.
    """
    async with worktree.mirror.laying(worktree.folder.name):
        await _remove(worktree)


async def _remove(worktree: Worktree) -> None:
    trash = worktree.folder.with_name(f".trash-{worktree.folder.name}")
    await asyncio.to_thread(remove_folder, trash)
    async with worktree.mirror.locked():
        (worktree.admin / _READY).unlink(missing_ok=True)
        if worktree.folder.is_symlink() or worktree.folder.exists():
            worktree.folder.rename(trash)
        await asyncio.to_thread(remove_folder, worktree.admin)
    await asyncio.to_thread(remove_folder, trash)


async def checkout_clean(mirror: Mirror, commit: str, folder: Path) -> None:
    """The files of ``commit`` in ``folder``, without any git folder; what lay there is replaced.

    No filter runs: LFS pointers stay pointers and submodules empty folders.

    Raises:
        GitFailed: objects are missing, or names cannot be checked out.
    """
    check_sha(commit)
    await asyncio.to_thread(make_folder, folder.parent)
    async with mirror.laying(f"checkout-{place_of(str(folder))}") as leave:
        new = folder.with_name(f".laying-{folder.name}")
        await asyncio.to_thread(remove_folder, new)
        new.mkdir(mode=0o700)
        try:
            await _fill(mirror, commit, new, leave)
            await asyncio.to_thread(remove_folder, folder)
            new.rename(folder)
        finally:
            await asyncio.to_thread(remove_folder, new)


async def _fill(mirror: Mirror, commit: str, folder: Path, leave: Leave) -> None:
    with tempfile.TemporaryDirectory(dir=mirror.door.scratch) as scratch:
        site = Site(mirror.folder, folder, Path(scratch) / "index")
        args = ["read-tree", "--reset", "-u", commit]
        await mirror.door.run(args, site, seconds=_CHECKOUT_SECONDS, leave=leave)
