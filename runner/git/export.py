"""Brings one branch into the operator's repository, on request only: a new ref, never checked out.

The only writing there: objects, and one ref that must not exist. No hook runs.
"""

from pathlib import Path

from core.errors import Refused
from runner.git.door import GitFailed, Leave
from runner.git.mirror import Mirror
from runner.git.source import find_source, shadow
from runner.git.tree import check_branch, check_sha, resolve


async def export_branch(mirror: Mirror, target: Path, branch: str, sha: str) -> None:
    """Create ``branch`` at ``sha`` in the repository of the checkout ``target``.

    Repeatable: a branch that is already there at ``sha`` is left as it is.

    Raises:
        Refused: ``BRANCH_EXISTS``, or ``HOLD-TARGET-REPO-UNAVAILABLE``.
        GitFailed: the objects could not be brought; no ref was made.
    """
    door = mirror.door
    await check_branch(door, branch)
    source = await find_source(door, target)
    ref = f"refs/heads/{branch}"
    async with shadow(door, source) as site:
        existing = await resolve(door, site, ref)
        if existing == check_sha(sha):
            return
        if existing is not None:
            raise _exists(branch)
        if await resolve(door, site, sha) is None:
            args = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"]
            args += ["--no-auto-maintenance", "--no-recurse-submodules", "--end-of-options"]
            leave = Leave(protocols=("file",))
            await door.run([*args, mirror.folder, sha], site, leave=leave)
        try:
            await door.run(["update-ref", "--no-deref", ref, sha, "0" * len(sha)], site)
        except GitFailed as error:
            if "reference already exists" in error.stderr or "' exists; cannot" in error.stderr:
                raise _exists(branch) from None
            raise


def _exists(branch: str) -> Refused:
    return Refused(
        "BRANCH_EXISTS",
        f"The repository already has a branch {branch!r}, or one below or above that name.",
        recovery="Rename or delete it, then bring the branch again.",
        data={"branch": branch},
    )
