"""Facts about an operator's repository, and whether missions can run on it (domain.md §6).

It only reads: no index is refreshed, no hook runs, no configuration of the repository acts.
"""

import asyncio
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.git.door import GitDoor, GitFailed, Site
from runner.git.source import Source, find_source, shadow, unusable
from runner.git.survey import is_git_name
from runner.git.tree import TreeEntry, check_branch, list_tree, read_blob, resolve

_LONGEST_NAME = 255
_LONGEST_PATH = 4000
_ATTRIBUTES_READ = 100
_ATTRIBUTES_LIMIT = 1024 * 1024
_LFS = re.compile(rb"\bfilter=lfs\b")
_REMOTE = re.compile(r"remote\.(.+)\.(url|pushurl)")
_ORIGIN = "refs/remotes/origin/"
_HEADS = "refs/heads/"


@dataclass(frozen=True, slots=True)
class RepoFacts:
    """What was found out about a repository.

    Attributes:
        folder: its checkout; ``common`` the git folder shared by all its worktrees.
        head: the commit checked out, None before the first on that branch.
        branch: the current branch, None if detached.
        base: the committed tip of ``base_branch``.
        origin_head: the branch that ``origin/HEAD`` names, None if unknown.
        dirty: tracked files differ from the commit; ``untracked``: there are new files.
        remotes: fetch URL by name, as configured, nothing rewritten; ``push_urls`` alike.
        submodules: their paths in the base commit.
    """

    folder: Path
    common: Path
    head: str | None
    branch: str | None
    base_branch: str
    base: str
    origin_head: str | None
    object_format: str
    shallow: bool
    partial: bool
    sparse: bool
    linked_worktree: bool
    dirty: bool
    untracked: bool
    lfs: bool
    submodules: tuple[str, ...]
    remotes: Mapping[str, str]
    push_urls: Mapping[str, str]


async def inspect(
    door: GitDoor, folder: Path, base_branch: str | None = None, *, checkouts: Path | None = None
) -> RepoFacts:
    """Look at the repository whose checkout is ``folder``.

    Args:
        base_branch: the registered one; None to find it: what ``origin/HEAD`` names, else the
            current branch.
        checkouts: where worktrees will lie, to know which names clash there.

    Raises:
        Refused: ``HOLD-TARGET-REPO-UNAVAILABLE`` with reason missing, not_git, bare, no_commits,
            detached_needs_base, base_missing, name_clash or objects_missing.
    """
    source = await find_source(door, folder)
    async with shadow(door, source, index=True) as site:
        branch = await _symbolic(door, site, "HEAD", _HEADS)
        head = await resolve(door, site, "HEAD")
        origin = await _symbolic(door, site, f"{_ORIGIN}HEAD", _ORIGIN)
        name, base = await _base(door, site, source, (base_branch, origin, branch))
        entries = await _entries(door, site, base)
        await check_names(entries, checkouts or door.scratch)
        dirty, untracked = await _status(door, site)
        lfs = await _uses_lfs(door, site, entries)
    return RepoFacts(
        folder=source.folder,
        common=source.common,
        head=head,
        branch=branch,
        base_branch=name,
        base=base,
        origin_head=origin,
        object_format=source.object_format,
        shallow=source.is_shallow,
        partial=source.is_partial,
        sparse=source.is_on("core.sparsecheckout"),
        linked_worktree=source.git_dir != source.common,
        dirty=dirty,
        untracked=untracked,
        lfs=lfs,
        submodules=tuple(entry.path for entry in entries if entry.kind == "commit"),
        remotes=_urls(source, "url"),
        push_urls=_urls(source, "pushurl"),
    )


async def _symbolic(door: GitDoor, site: Site, name: str, prefix: str) -> str | None:
    output = await door.run(["symbolic-ref", "--quiet", name], site, ok=(0, 1, 128))
    return output.text.removeprefix(prefix) if output.text.startswith(prefix) else None


async def _base(
    door: GitDoor, site: Site, source: Source, names: tuple[str | None, str | None, str | None]
) -> tuple[str, str]:
    chosen, origin, current = names
    if chosen is not None:
        await check_branch(door, chosen, "base_branch")
    heads = await door.run(["for-each-ref", "--count=1", "--format=%(refname)", _HEADS], site)
    if not heads.stdout and await resolve(door, site, "HEAD") is None:
        raise unusable(
            "no_commits",
            f"The repository {source.folder} has no commit yet.",
            "Make a first commit.",
        )
    wanted = [chosen] if chosen is not None else [origin, current]
    for name in wanted:
        if name is not None and (tip := await resolve(door, site, f"{_HEADS}{name}")):
            return name, tip
    if chosen is None and current is None:
        raise unusable(
            "detached_needs_base",
            f"The checkout {source.folder} is on no branch.",
            "Say which branch missions start from.",
        )
    missing = chosen or current
    raise unusable(
        "base_missing",
        f"The repository has no commit on branch {missing!r}.",
        "Create the branch or choose another base branch.",
        base_branch=missing,
    )


async def _entries(door: GitDoor, site: Site, base: str) -> tuple[TreeEntry, ...]:
    try:
        return await list_tree(door, site, base, folders=True)
    except GitFailed as error:
        raise unusable(
            "objects_missing",
            "The base commit cannot be read: objects are missing or damaged.",
            "Run 'git fsck', or fetch what is missing.",
            stderr=error.stderr,
        ) from None


async def check_names(entries: Iterable[TreeEntry], folder: Path) -> None:
    """Find names that ``folder``'s file system cannot hold beside each other, or at all.

    Raises:
        Refused: ``HOLD-TARGET-REPO-UNAVAILABLE``, reason name_clash, with some of the names.
    """
    fold = await asyncio.to_thread(folds_names, folder)
    clashing = await asyncio.to_thread(find_clashes, [e.path for e in entries], fold=fold)
    if clashing:
        raise unusable(
            "name_clash",
            "The repository holds names that cannot be checked out on this file system.",
            "Rename them, or keep the cockpit's data on another file system.",
            paths=[os.fsencode(path).decode("utf-8", "backslashreplace") for path in clashing[:50]],
        )


def folds_names(folder: Path) -> bool:
    """Whether names that differ in case only are one file in ``folder``, found by trying."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix="CaseProbe") as probe:
        path = Path(probe.name)
        return path.with_name(path.name.swapcase()).exists()


def find_clashes(paths: Iterable[str], *, fold: bool) -> list[str]:
    """The names that cannot be checked out: too long, git's own, or one file when folded."""
    clashing: list[str] = []
    seen: dict[str, str] = {}
    for path in paths:
        parts = [os.fsencode(part) for part in path.split("/")]
        too_long = max(map(len, parts)) > _LONGEST_NAME or len(path) > _LONGEST_PATH
        if too_long or any(part in (b"", b".", b"..") or is_git_name(part) for part in parts):
            clashing.append(path)
        if fold:
            other = seen.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
            if other != path:
                clashing += [other, path]
    return list(dict.fromkeys(clashing))


async def _status(door: GitDoor, site: Site) -> tuple[bool, bool]:
    args = ["status", "--porcelain=v1", "-z", "--untracked-files=normal", "--no-renames"]
    args += ["--ignore-submodules=all", "--no-ahead-behind"]
    output = await door.run(args, site)
    letters = [record[:2] for record in output.stdout.split(b"\0")[:-1]]
    return any(each != b"??" for each in letters), b"??" in letters


async def _uses_lfs(door: GitDoor, site: Site, entries: Iterable[TreeEntry]) -> bool:
    files = [e for e in entries if e.kind == "blob" and e.path.split("/")[-1] == ".gitattributes"]
    for entry in files[:_ATTRIBUTES_READ]:
        try:
            content = await read_blob(door, site, entry.sha, limit=_ATTRIBUTES_LIMIT)
        except GitFailed:
            continue  # a partial clone need not have it
        if _LFS.search(content):
            return True
    return False


def _urls(source: Source, kind: str) -> dict[str, str]:
    urls = {}
    for key, values in source.config.items():
        found = _REMOTE.fullmatch(key)
        if found is not None and found[2] == kind and values[0]:
            urls[found[1]] = values[0]
    return urls
