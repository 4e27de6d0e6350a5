"""A branch for the operator's repository: one new ref and its objects, nothing else."""

from pathlib import Path

import pytest

from core.errors import Refused
from runner.git.commit import CommitText, commit_all
from runner.git.export import export_branch
from runner.git.mirror import Mirror
from runner.git.worktree import add_worktree
from tests import zoo

BRANCH = "cockpit/harbour-m-4T9K2QX0ZB"


async def work(mirror: Mirror, folder: Path, tmp_path: Path, text: CommitText) -> str:
    branch = zoo.git("symbolic-ref", "--short", "HEAD", cwd=folder)
    base = await mirror.create_or_update(folder, branch)
    worktree = await add_worktree(mirror, base, tmp_path / "worktrees" / "t1")
    (worktree.folder / "new").write_text("x")
    done = await commit_all(worktree, base, text)
    assert done.sha is not None
    return done.sha


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.parametrize(
    "build", [zoo.dirty, zoo.packed, zoo.shallow, zoo.partial, zoo.sha256, zoo.linked]
)
async def test_it_adds_a_ref_and_changes_nothing_else(
    mirror: Mirror, tmp_path: Path, text: CommitText, build: object
) -> None:
    assert callable(build)
    folder = build(tmp_path / "zoo" / "repo")
    sha = await work(mirror, folder, tmp_path, text)
    before = zoo.snapshot(tmp_path / "zoo")

    await export_branch(mirror, folder, BRANCH, sha)
    await export_branch(mirror, folder, BRANCH, sha)

    assert zoo.git("rev-parse", BRANCH, cwd=folder) == sha
    zoo.git("fsck", "--connectivity-only", cwd=folder)
    after = zoo.snapshot(tmp_path / "zoo")
    files = {name: seen for name, seen in after.items() if not seen[0] & 0o040000}
    same = {name: seen for name, seen in before.items() if not seen[0] & 0o040000}
    assert {name: files[name] for name in same} == same
    assert all("/objects/" in name or name.endswith(BRANCH) for name in files.keys() - same)


@pytest.mark.asyncio
async def test_an_existing_branch_is_never_touched(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    folder = zoo.plain(tmp_path / "repo")
    sha = await work(mirror, folder, tmp_path, text)
    zoo.git("branch", BRANCH, "HEAD~1", cwd=folder)
    zoo.git("branch", "taken", cwd=folder)
    before = zoo.snapshot(folder)

    for branch in (BRANCH, "main"):
        with pytest.raises(Refused) as refused:
            await export_branch(mirror, folder, branch, sha)
        assert refused.value.code == "BRANCH_EXISTS"
    assert zoo.snapshot(folder) == before
    with pytest.raises(Refused) as refused:
        await export_branch(mirror, folder, "taken/below", sha)
    assert refused.value.code == "BRANCH_EXISTS"
