"""A task's commit joins its mission's branch, the same way when repeated."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import Invalid
from runner.git.commit import CommitText, commit_all
from runner.git.door import GitDoor, GitFailed
from runner.git.merge import merge
from runner.git.mirror import Mirror
from runner.git.worktree import add_worktree
from tests import zoo

BRANCH = "cockpit/harbour-m-4T9K2QX0ZB"
Change = Callable[[str, str, str], Awaitable[str]]


@pytest.fixture
def change(mirror: Mirror, tmp_path: Path, text: CommitText) -> Change:
    """Commit one file with some content on top of a commit."""

    async def make(base: str, name: str, content: str) -> str:
        worktree = await add_worktree(mirror, base, tmp_path / "worktrees" / "t")
        (worktree.folder / name).write_text(content)
        done = await commit_all(worktree, base, replace(text, message=f"{name} {content}"))
        assert done.sha is not None
        return done.sha

    return make


@pytest.fixture(params=[(2, 39, 5), (2, 34, 1)], ids=["by trees", "in a worktree"])
def merger(
    request: pytest.FixtureRequest, door: GitDoor, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, int, int]:
    """Both ways of merging; real git does either."""
    version: tuple[int, int, int] = request.param
    monkeypatch.setattr(door, "_version", version)
    return version


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.usefixtures("merger")
async def test_two_tasks_side_by_side(mirror: Mirror, tmp_path: Path, change: Change) -> None:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    one, two = await change(base, "one", "1\n"), await change(base, "two", "2\n")

    first = await merge(mirror, BRANCH, one, start=base)
    second = await merge(mirror, BRANCH, two, start=base)
    again = await merge(mirror, BRANCH, two, start=base)
    also = await merge(mirror, BRANCH, one, start=base)

    assert first.tip == one
    assert second.tip == again.tip == also.tip == await mirror.branch_tip(BRANCH)
    shown = zoo.git("log", "-1", "--format=%P|%cI|%s", BRANCH, cwd=mirror.folder)
    assert shown.startswith(f"{one} {two}|2024-05-01T12:00:00")
    names = zoo.git("ls-tree", "--name-only", BRANCH, cwd=mirror.folder).split("\n")
    assert {"one", "two"} <= set(names)
    assert not any(path.name.startswith("cockpit-merge") for path in mirror.door.scratch.iterdir())


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.usefixtures("merger")
async def test_a_conflict_names_its_paths_and_moves_nothing(
    mirror: Mirror, tmp_path: Path, change: Change
) -> None:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    one = await change(base, "é\nx", "1\n")
    two = await change(base, "é\nx", "2\n")
    await merge(mirror, BRANCH, one, start=base)

    joined = await merge(mirror, BRANCH, two, start=base)

    assert joined.tip is None
    assert joined.conflicts == ("é\nx",)
    assert await mirror.branch_tip(BRANCH) == one
    assert not any((mirror.folder / "worktrees").glob("cockpit-merge*"))


@pytest.mark.asyncio
@pytest.mark.usefixtures("merger")
async def test_a_merge_that_was_cut_off_gives_the_same_commit(
    mirror: Mirror, tmp_path: Path, change: Change
) -> None:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    one, two = await change(base, "one", "1\n"), await change(base, "two", "2\n")
    await merge(mirror, BRANCH, one, start=base)
    whole = await merge(mirror, BRANCH, two, start=base)
    zoo.git("update-ref", f"refs/heads/{BRANCH}", one, cwd=mirror.folder)

    assert await merge(mirror, BRANCH, two, start=base) == whole


@pytest.mark.asyncio
async def test_a_commit_that_is_not_there_is_a_failure(mirror: Mirror, tmp_path: Path) -> None:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")

    with pytest.raises(GitFailed):
        await merge(mirror, BRANCH, "1" * 40, start=base)
    with pytest.raises(Invalid):
        await merge(mirror, "-evil", base, start=base)
    with pytest.raises(Invalid):
        await merge(mirror, BRANCH, "HEAD", start=base)

    assert await mirror.branch_tip(BRANCH) is None
