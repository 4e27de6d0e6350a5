"""The Workshop port on real git: one mirror a repository, one folder of worktrees beside it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from core.errors import Invalid
from core.folders import Folders
from core.judgement.changes import PathChange
from core.missions.workshop import Commit, Joined, Patch, RepoRef
from runner.git.added import added_lines
from runner.git.changes import changes, write_patch
from runner.git.commit import CommitText, commit_all
from runner.git.door import GitDoor
from runner.git.export import export_branch
from runner.git.inspect import inspect
from runner.git.merge import merge
from runner.git.mirror import Mirror
from runner.git.remote import Connection, Credential, Remote
from runner.git.removal import remove_folder
from runner.git.tree import list_tree, read_file
from runner.git.worktree import (
    Worktree,
    add_worktree,
    checkout_clean,
    remove_worktree,
    worktree_in,
)

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class GitWorkshop:
    """Everything the product does with git but pushing, which is the remote writer's."""

    def __init__(
        self,
        door: GitDoor,
        folders: Folders,
        *,
        now: Callable[[], datetime],
        credential: Callable[[str], Credential | None] | None = None,
    ):
        """Keep the places; nothing is made.

        Args:
            now: the clock, for the date of new commits.
            credential: what a remote's URL may be asked with; may block.
        """
        self._door = door
        self._folders = folders
        self._now = now
        self._credential = credential

    def mirror(self, repo: RepoRef) -> Mirror:
        """The mirror of a registered repository.

        Raises:
            Invalid: its name cannot be that of a folder.
        """
        if not _REPO.fullmatch(repo.name) or repo.name.endswith(".lock"):
            raise Invalid("repo", f"A repository cannot be called {repo.name!r}.")
        return Mirror(self._door, self._folders.mirrors / f"{repo.name}.git")

    async def inspect(self, path: Path, base_branch: str | None) -> Mapping[str, Any]:
        """Facts about an operator's repository, as plain values."""
        facts = await inspect(self._door, path, base_branch, checkouts=self._folders.worktrees)
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(facts).items()
        }

    async def base(self, repo: RepoRef) -> str:
        """Bring the mirror up to date; the committed tip of the base branch."""
        return await self.mirror(repo).create_or_update(repo.path, repo.base_branch)

    async def checkout(self, repo: RepoRef, name: str, commit: str, *, keep: bool = True) -> Path:
        """A worktree called ``name`` at ``commit``; an existing one is kept or laid anew."""
        worktree = self._worktree(repo, name)
        laid = await add_worktree(worktree.mirror, commit, worktree.folder, keep=keep)
        return laid.folder

    async def discard(self, repo: RepoRef, name: str) -> None:
        """Remove a worktree and what it holds; unknown names are ignored."""
        worktree = self._worktree(repo, name)
        if await asyncio.to_thread(worktree.mirror.folder.exists):
            await remove_worktree(worktree)

    async def commit(
        self, repo: RepoRef, name: str, *, base: str, message: str, trailers: Mapping[str, str]
    ) -> Commit:
        """Turn all that worktree ``name`` holds into one commit on ``base`` (repeatable)."""
        text = CommitText(message, self._now(), trailers)
        return await commit_all(self._worktree(repo, name), base, text)

    async def join(self, repo: RepoRef, branch: str, commit: str, *, start: str) -> Joined:
        """Merge ``commit`` into ``branch``, which begins at ``start`` (repeatable)."""
        return await merge(self.mirror(repo), branch, commit, start=start)

    async def changes(self, repo: RepoRef, base: str, head: str) -> tuple[PathChange, ...]:
        """Every changed path between two commits."""
        return await changes(self._door, self.mirror(repo).site, base, head)

    async def write_patch(self, repo: RepoRef, base: str, head: str, file: Path) -> Patch:
        """The whole diff, streamed to ``file``."""
        return await write_patch(self._door, self.mirror(repo).site, base, head, file)

    async def added_lines(
        self, repo: RepoRef, base: str, head: str
    ) -> AsyncIterator[tuple[str, int, str]]:
        """Path, line number and text of every added line."""
        async for line in added_lines(self._door, self.mirror(repo).site, base, head):
            yield line

    async def clean_checkout(self, repo: RepoRef, commit: str, folder: Path) -> None:
        """A fresh checkout of ``commit`` in ``folder``, for the repo's commands."""
        await checkout_clean(self.mirror(repo), commit, folder)

    async def drop_checkout(self, folder: Path) -> None:
        """Remove a folder made by ``clean_checkout``, whatever was written into it."""
        await asyncio.to_thread(remove_folder, folder)

    async def read_text(self, repo: RepoRef, commit: str, path: str, limit: int) -> str | None:
        """A file of a commit as text, cut at ``limit`` bytes; None if it is no regular file."""
        site = self.mirror(repo).site
        content = await read_file(self._door, site, commit, path, limit=limit)
        return None if content is None else content.decode("utf-8", "replace")

    async def paths(self, repo: RepoRef, commit: str) -> frozenset[str]:
        """All paths of a commit, folders included."""
        site = self.mirror(repo).site
        entries = await list_tree(self._door, site, commit, folders=True)
        return frozenset(entry.path for entry in entries)

    async def is_on_remote(self, repo: RepoRef, commit: str, url: str, branch: str) -> bool:
        """Whether ``commit`` is an ancestor of the remote's ``branch`` (one fetch)."""
        mirror = self.mirror(repo)
        tip = await (await self.remote(repo, url)).fetch(branch)
        return await mirror.is_ancestor(commit, tip)

    async def bring(self, repo: RepoRef, branch: str, commit: str) -> None:
        """Create ``branch`` in the operator's repository as a new ref, on request only."""
        await export_branch(self.mirror(repo), repo.path, branch, commit)

    async def remote(self, repo: RepoRef, url: str) -> Remote:
        """One remote of a repository, with the credential it asks for where there is one."""
        credential = None
        if self._credential is not None:
            credential = await asyncio.to_thread(self._credential, url)
        return Remote(
            self.mirror(repo), url, credential=credential, connection=Connection.of_operator()
        )

    def _worktree(self, repo: RepoRef, name: str) -> Worktree:
        if Path(name).name != name or not name:
            raise Invalid("worktree", f"A worktree cannot be called {name!r}.")
        return worktree_in(self.mirror(repo), self._folders.worktrees / name)
