"""The Workshop port on real git, as the conductor uses it: from inspection to a branch."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import Invalid
from core.folders import Folders
from core.missions.workshop import RepoRef, Workshop
from runner.git.door import GitDoor
from runner.git.workshop import GitWorkshop
from tests import zoo

BRANCH = "cockpit/harbour-m-4T9K2QX0ZB"


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    data = tmp_path / "data"
    return Folders("test", data, tmp_path / "config", tmp_path / "run").make()


@pytest.fixture
def workshop(door: GitDoor, folders: Folders) -> Workshop:
    return GitWorkshop(door, folders, now=lambda: datetime(2024, 5, 1, tzinfo=UTC))


@pytest.mark.asyncio
@pytest.mark.slow
async def test_from_inspection_to_a_branch(
    workshop: Workshop, folders: Folders, tmp_path: Path
) -> None:
    repo = RepoRef("harbour", zoo.plain(tmp_path / "repo"), "main")
    before = zoo.snapshot(repo.path)
    facts = await workshop.inspect(repo.path, None)
    base = await workshop.base(repo)
    folder = await workshop.checkout(repo, "s-1-T1", base)
    (folder / "new.py").write_text("one\ntwo\n")

    done = await workshop.commit(
        repo, "s-1-T1", base=base, message="T1: new", trailers={"Cockpit-Task": "T1"}
    )
    assert done.sha is not None
    joined = await workshop.join(repo, BRANCH, done.sha, start=base)
    (change,) = await workshop.changes(repo, base, done.sha)
    lines = [line async for line in workshop.added_lines(repo, base, done.sha)]
    patch = await workshop.write_patch(repo, base, done.sha, tmp_path / "p")
    await workshop.clean_checkout(repo, done.sha, folders.worktrees / "check")

    assert (facts["base"], facts["base_branch"], facts["folder"]) == (base, "main", str(repo.path))
    assert joined.tip == done.sha
    assert (change.path, change.added) == ("new.py", 2)
    assert lines == [("new.py", 1, "one"), ("new.py", 2, "two")]
    assert patch.size == (tmp_path / "p").stat().st_size
    assert (folders.worktrees / "check" / "new.py").exists()
    assert await workshop.read_text(repo, done.sha, "new.py", 5) == "one\nt"
    assert {"new.py", "src", "src/app.py"} <= await workshop.paths(repo, done.sha)
    assert await workshop.is_on_remote(repo, base, str(repo.path), "main")
    assert not await workshop.is_on_remote(repo, done.sha, str(repo.path), "main")

    await workshop.drop_checkout(folders.worktrees / "check")
    await workshop.discard(repo, "s-1-T1")
    await workshop.discard(repo, "s-1-T1")
    assert not any(folders.worktrees.iterdir())
    assert zoo.snapshot(repo.path) == before

    await workshop.bring(repo, BRANCH, done.sha)
    assert zoo.git("rev-parse", BRANCH, cwd=repo.path) == done.sha


@pytest.mark.asyncio
async def test_names_that_leave_the_data_folder_are_refused(
    workshop: Workshop, tmp_path: Path
) -> None:
    for name in ("../x", "a/b", "", ".", "-x"):
        with pytest.raises(Invalid):
            await workshop.base(RepoRef(name, tmp_path, "main"))
        with pytest.raises(Invalid):
            await workshop.discard(RepoRef("harbour", tmp_path, "main"), f"{name}/")
