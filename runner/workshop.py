"""The Workshop port over the git door: which mirror, worktree or remote an order means."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from core.errors import Refused, Unavailable
from core.folders import Folders
from core.judgement.changes import PathChange
from core.missions.workshop import Commit, Joined, Patch, RepoRef
from runner.git import changes as diffs
from runner.git.added import added_lines
from runner.git.commit import CommitText, commit_all
from runner.git.door import GitDoor, Leave, Site
from runner.git.export import export_branch
from runner.git.inspect import inspect
from runner.git.merge import merge
from runner.git.mirror import Mirror
from runner.git.remote import Connection, Credential, Remote
from runner.git.removal import remove_folder
from runner.git.tree import list_tree, read_file
from runner.git.worktree import add_worktree, checkout_clean, remove_worktree, worktree_in

_SAMPLE_DATE = "@1700000000 +0000"


class GitWorkshop:
    """Everything the product does with git, by the registry's names."""

    def __init__(self, folders: Folders):
        """Keep mirrors and worktrees in the profile's folders."""
        self._folders = folders
        self._door = GitDoor(folders.data / "git")

    def _mirror(self, name: str) -> Mirror:
        return Mirror(self._door, self._folders.mirrors / f"{name}.git")

    async def inspect(self, path: Path, base_branch: str | None) -> Mapping[str, Any]:
        """Facts about an operator's repository, ``base_branch`` and ``head`` among them."""
        facts = await inspect(self._door, path, base_branch, checkouts=self._folders.worktrees)
        return {
            "base_branch": facts.base_branch,
            "head": facts.head,
            "base": facts.base,
            "branch": facts.branch,
            "object_format": facts.object_format,
            "shallow": facts.shallow,
            "partial": facts.partial,
            "sparse": facts.sparse,
            "linked_worktree": facts.linked_worktree,
            "dirty": facts.dirty,
            "untracked": facts.untracked,
            "lfs": facts.lfs,
            "submodules": list(facts.submodules),
            "remotes": dict(facts.remotes),
        }

    async def base(self, repo: RepoRef) -> str:
        """Bring the mirror up to date; the committed tip of the base branch."""
        return await self._mirror(repo.name).create_or_update(repo.path, repo.base_branch)

    async def checkout(self, repo: RepoRef, name: str, commit: str, *, keep: bool = True) -> Path:
        """A worktree called ``name`` at ``commit``; an existing one is kept or laid anew."""
        folder = self._folders.worktrees / name
        await add_worktree(self._mirror(repo.name), commit, folder, keep=keep)
        return folder

    async def discard(self, repo: RepoRef, name: str) -> None:
        """Remove a worktree and what it holds; unknown names are ignored."""
        folder = self._folders.worktrees / name
        await remove_worktree(worktree_in(self._mirror(repo.name), folder))

    async def commit(
        self, repo: RepoRef, name: str, *, base: str, message: str, trailers: Mapping[str, str]
    ) -> Commit:
        """Turn all that worktree ``name`` holds into one commit on ``base`` (repeatable)."""
        worktree = worktree_in(self._mirror(repo.name), self._folders.worktrees / name)
        text = CommitText(message, datetime.now(UTC), trailers)
        return await commit_all(worktree, base, text)

    async def join(self, repo: RepoRef, branch: str, commit: str, *, start: str) -> Joined:
        """Merge ``commit`` into ``branch``, which begins at ``start`` (repeatable)."""
        return await merge(self._mirror(repo.name), branch, commit, start=start)

    async def changes(self, repo: RepoRef, base: str, head: str) -> tuple[PathChange, ...]:
        """Every changed path between two commits."""
        return await diffs.changes(self._door, self._mirror(repo.name).site, base, head)

    async def write_patch(self, repo: RepoRef, base: str, head: str, file: Path) -> Patch:
        """The whole diff, streamed to ``file``."""
        return await diffs.write_patch(self._door, self._mirror(repo.name).site, base, head, file)

    async def added_lines(
        self, repo: RepoRef, base: str, head: str
    ) -> AsyncIterator[tuple[str, int, str]]:
        """Path, line number and text of every added line."""
        async for line in added_lines(self._door, self._mirror(repo.name).site, base, head):
            yield line.path, line.number, line.text

    async def clean_checkout(self, repo: RepoRef, commit: str, folder: Path) -> None:
        """A fresh checkout of ``commit`` in ``folder``, for the repo's commands."""
        await checkout_clean(self._mirror(repo.name), commit, folder)

    async def drop_checkout(self, folder: Path) -> None:
        """Remove a folder made by ``clean_checkout``, whatever was written into it."""
        await asyncio.to_thread(remove_folder, folder)

    async def read_text(self, repo: RepoRef, commit: str, path: str, limit: int) -> str | None:
        """A file of a commit as text, cut at ``limit`` bytes; None if it is no regular file."""
        site = self._mirror(repo.name).site
        content = await read_file(self._door, site, commit, path, limit=limit)
        return None if content is None else content.decode("utf-8", errors="replace")

    async def paths(self, repo: RepoRef, commit: str) -> frozenset[str]:
        """All paths of a commit, folders included."""
        site = self._mirror(repo.name).site
        entries = await list_tree(self._door, site, commit, folders=True)
        return frozenset(entry.path for entry in entries)

    async def is_on_remote(self, repo: RepoRef, commit: str, url: str, branch: str) -> bool:
        """Whether ``commit`` is an ancestor of the remote's ``branch`` (one fetch)."""
        mirror = self._mirror(repo.name)
        remote = Remote(mirror, url, connection=Connection.of_operator())
        return await mirror.is_ancestor(commit, await remote.fetch(branch))

    async def bring(self, repo: RepoRef, branch: str, commit: str) -> None:
        """Create ``branch`` in the operator's repository as a new ref, on request only."""
        await export_branch(self._mirror(repo.name), repo.path, branch, commit)

    async def push(
        self, mirror: str, url: str, *, branch: str, commit: str, token: str | None
    ) -> bool:
        """Push ``commit`` as ``branch``, never by force; False when the remote had it already.

        Raises:
            Unavailable: ``HOLD-GITHUB-AUTH``, ``HOLD-REMOTE-MOVED`` for a branch that is
                elsewhere, or ``REMOTE_UNAVAILABLE``.
        """
        credential = Credential(SecretStr(token)) if token else None
        remote = Remote(
            self._mirror(mirror), url, credential=credential, connection=Connection.of_operator()
        )
        if await remote.head(branch) == commit:
            return False
        pushed = await remote.push(commit, branch)
        if pushed.outcome in ("pushed", "already_there"):
            if await remote.head(branch) != commit:
                raise _moved(branch, "The remote does not show the pushed commit.")
            return pushed.outcome == "pushed"
        if pushed.outcome == "auth_required":
            raise Unavailable("HOLD-GITHUB-AUTH", "The remote refused the credential.")
        if pushed.outcome == "rejected":
            raise _moved(branch, pushed.reason)
        raise Unavailable("REMOTE_UNAVAILABLE", f"The push did not arrive: {pushed.reason}")

    async def make_repository(self, folder: Path) -> None:
        """Turn the files in ``folder`` into a git repository with one commit, for a sample.

        Raises:
            Refused: ``SAMPLE_NOT_MADE`` when it is one already.
        """
        if await asyncio.to_thread((folder / ".git").exists):
            raise Refused("SAMPLE_NOT_MADE", f"{folder} is a git repository already.")
        git_dir = folder / ".git"
        site = Site(git_dir, folder)
        people = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (
                ("NAME", "Harbor"),
                ("EMAIL", "harbor@example.invalid"),
                ("DATE", _SAMPLE_DATE),
            )
        }
        await self._door.run(["init", "--quiet", "--initial-branch=main", folder], Site(None))
        await self._door.run(["add", "--all"], site)
        args = ["commit", "--quiet", "--no-verify", "-m", "Begin the harbor library"]
        await self._door.run(args, site, leave=Leave(variables=people))

    async def make_bare(self, source: Path, folder: Path) -> None:
        """A bare clone of a repository of ours, as a remote on this machine."""
        args: list[str | Path] = ["clone", "--quiet", "--bare", "--end-of-options", source, folder]
        await self._door.run(args, Site(None), leave=Leave(protocols=("file",)))

    async def version(self) -> str:
        """Git's version; raises ``Unavailable`` ``GIT_UNAVAILABLE``."""
        return ".".join(map(str, await self._door.version()))


def _moved(branch: str, reason: str) -> Unavailable:
    return Unavailable(
        "HOLD-REMOTE-MOVED",
        f"The remote's branch {branch} is elsewhere: {reason}",
        recovery="Look at the branch on the remote; nothing was overwritten.",
    )
