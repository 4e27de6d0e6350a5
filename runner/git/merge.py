"""Joins a task's commit to its mission's branch, without a checkout where git can."""

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime

from core.missions.workshop import Joined
from runner.git.commit import CommitText
from runner.git.door import GitDoor, GitFailed, Leave, Site
from runner.git.mirror import Mirror
from runner.git.removal import remove_folder
from runner.git.tree import check_branch, check_sha

_TREE_MERGES = (2, 38, 0)


@dataclass(frozen=True, slots=True)
class _Merged:
    tree: str
    conflicts: tuple[str, ...] = ()


async def merge(mirror: Mirror, branch: str, commit: str, *, start: str) -> Joined:
    """Let ``commit`` join ``branch``: fast-forward where possible, else a merge commit.

    The same answer when repeated, for the merge commit is made of the two alone.

    Args:
        branch: made at ``start`` if there is none yet.

    Raises:
        Invalid: no branch can have that name.
        GitFailed: an object is missing; the branch stands where it stood.
    """
    await check_branch(mirror.door, branch)
    check_sha(commit)
    ref = f"refs/heads/{branch}"
    async with mirror.locked() as leave:
        existing = await mirror.branch_tip(branch)
        tip = existing or check_sha(start, "start")
        old = existing or "0" * len(tip)
        if existing and await mirror.is_ancestor(commit, tip):
            return Joined(tip)
        if await mirror.is_ancestor(tip, commit):
            await mirror.set_ref(ref, commit, old=old, leave=leave)
            return Joined(commit)
        merged = await _merge_trees(mirror, tip, commit, leave)
        if merged.conflicts:
            return Joined(None, merged.conflicts)
        new = await _commit(mirror, merged.tree, (tip, commit), branch)
        await mirror.set_ref(ref, new, old=old, leave=leave)
    return Joined(new)


async def _merge_trees(mirror: Mirror, ours: str, theirs: str, leave: Leave) -> _Merged:
    if await mirror.door.version() < _TREE_MERGES:
        return await merge_in_worktree(mirror, ours, theirs, leave)
    args = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs]
    output = await mirror.door.run(args, mirror.site, ok=(0, 1))
    tree, *names = output.stdout.split(b"\0")[:-1]
    if output.code == 0:
        return _Merged(check_sha(tree.decode("ascii"), "tree"))
    paths = tuple(dict.fromkeys(os.fsdecode(name) for name in names if name))
    return _Merged("", paths or ("?",))


async def merge_in_worktree(mirror: Mirror, ours: str, theirs: str, leave: Leave) -> _Merged:
    """The same for git before 2.38: in a worktree of our own that no coder sees."""
    name = f"cockpit-merge-{os.getpid()}"
    folder, admin = mirror.door.scratch / name, mirror.folder / "worktrees" / name
    site = Site(admin, folder)
    try:
        args = ["worktree", "add", "--quiet", "--force", "--detach", str(folder), ours]
        await mirror.door.run(args, mirror.site, leave=leave)
        args = ["merge", "--quiet", "--no-ff", "--no-commit", "--no-verify", theirs]
        output = await mirror.door.run(args, site, ok=(0, 1))
        if output.code == 0:
            tree = await mirror.door.run(["write-tree"], site)
            return _Merged(check_sha(tree.text, "tree"))
        return _Merged("", await _unmerged(mirror.door, site, output.stderr))
    finally:
        await asyncio.to_thread(remove_folder, folder)
        await asyncio.to_thread(remove_folder, admin)


async def _unmerged(door: GitDoor, site: Site, stderr: str) -> tuple[str, ...]:
    output = await door.run(["diff", "--name-only", "--diff-filter=U", "-z", "--no-ext-diff"], site)
    names = output.stdout.split(b"\0")[:-1]
    if not names:
        raise GitFailed("merge", exit_code=1, stderr=stderr)
    return tuple(dict.fromkeys(os.fsdecode(name) for name in names))


async def _commit(mirror: Mirror, tree: str, parents: tuple[str, str], branch: str) -> str:
    args = ["show", "--no-patch", "--no-show-signature", "--format=%ct", *parents]
    output = await mirror.door.run(args, mirror.site)
    newest = max(int(line) for line in output.text.split("\n") if line)
    text = CommitText(f"Merge {parents[1][:12]} into {branch}", datetime.fromtimestamp(newest, UTC))
    args = ["commit-tree", tree, "-p", parents[0], "-p", parents[1]]
    made = await mirror.door.run(
        args, mirror.site, stdin=text.as_bytes(), leave=Leave(variables=text.variables())
    )
    return check_sha(made.text)
