"""The port to git: mirrors, worktrees, commits, diffs. The operator's repository is only read."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.judgement.changes import PathChange


@dataclass(frozen=True, slots=True)
class RepoRef:
    """A registered repository: its name, the operator's folder and the base branch."""

    name: str
    path: Path
    base_branch: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What a worktree held. ``sha`` is None when nothing was changed.

    Attributes:
        findings: what came back and could not be committed (nested repositories, FIFOs, ignored
            files, …), each with a ``kind`` and a ``path``.
    """

    sha: str | None
    findings: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Joined:
    """The answer to a merge: the branch's new tip, or the paths that conflict."""

    tip: str | None
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch on disk: its size in bytes and its SHA-256."""

    size: int
    sha256: str


class Workshop(Protocol):
    """Everything the product does with git.

    Raises:
        Refused: ``HOLD-TARGET-REPO-UNAVAILABLE`` for a repository that can't be used (§6).
        Unavailable: ``HOLD-EVIDENCE-INCOMPLETE`` when git fails; ``HOLD-DISK-SPACE``.
    """

    async def inspect(self, path: Path, base_branch: str | None) -> Mapping[str, Any]:
        """Facts about an operator's repository, ``base_branch`` and ``head`` among them."""
        ...

    async def base(self, repo: RepoRef) -> str:
        """Bring the mirror up to date; the committed tip of the base branch."""
        ...

    async def checkout(self, repo: RepoRef, name: str, commit: str, *, keep: bool = True) -> Path:
        """A worktree called ``name`` at ``commit``; an existing one is kept or laid anew."""
        ...

    async def discard(self, repo: RepoRef, name: str) -> None:
        """Remove a worktree and what it holds; unknown names are ignored."""
        ...

    async def commit(
        self, repo: RepoRef, name: str, *, base: str, message: str, trailers: Mapping[str, str]
    ) -> Commit:
        """Turn all that worktree ``name`` holds into one commit on ``base`` (repeatable)."""
        ...

    async def join(self, repo: RepoRef, branch: str, commit: str, *, start: str) -> Joined:
        """Merge ``commit`` into ``branch``, which begins at ``start`` (repeatable)."""
        ...

    async def changes(self, repo: RepoRef, base: str, head: str) -> tuple[PathChange, ...]:
        """Every changed path between two commits."""
        ...

    async def write_patch(self, repo: RepoRef, base: str, head: str, file: Path) -> Patch:
        """The whole diff, streamed to ``file``."""
        ...

    def added_lines(
        self, repo: RepoRef, base: str, head: str
    ) -> AsyncIterator[tuple[str, int, str]]:
        """Path, line number and text of every added line."""
        ...

    async def clean_checkout(self, repo: RepoRef, commit: str, folder: Path) -> None:
        """A fresh checkout of ``commit`` in ``folder``, for the repo's commands."""
        ...

    async def drop_checkout(self, folder: Path) -> None:
        """Remove a folder made by ``clean_checkout``, whatever was written into it."""
        ...

    async def read_text(self, repo: RepoRef, commit: str, path: str, limit: int) -> str | None:
        """A file of a commit as text, cut at ``limit`` bytes; None if it is no regular file."""
        ...

    async def paths(self, repo: RepoRef, commit: str) -> frozenset[str]:
        """All paths of a commit, folders included."""
        ...

    async def is_on_remote(self, repo: RepoRef, commit: str, url: str, branch: str) -> bool:
        """Whether ``commit`` is an ancestor of the remote's ``branch`` (one fetch)."""
        ...

    async def bring(self, repo: RepoRef, branch: str, commit: str) -> None:
        """Create ``branch`` in the operator's repository as a new ref, on request only."""
        ...
