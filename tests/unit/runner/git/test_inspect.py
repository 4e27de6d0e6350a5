"""What is found out about each kind of repository, and which can't be used."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import Invalid, Refused
from runner.git.door import GitDoor
from runner.git.inspect import find_clashes, inspect
from tests import zoo


async def reason(door: GitDoor, folder: Path, base: str | None = None) -> str:
    with pytest.raises(Refused) as refused:
        await inspect(door, folder, base)
    assert refused.value.code == "HOLD-TARGET-REPO-UNAVAILABLE"
    assert refused.value.recovery
    return str(refused.value.data["reason"])


@pytest.mark.asyncio
async def test_a_plain_repository(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    zoo.git("remote", "add", "origin", "https://example.org/o/r.git", cwd=folder)
    zoo.git("config", "url.https://evil.example/.insteadOf", "https://example.org/", cwd=folder)

    facts = await inspect(door, folder)

    assert facts.branch == facts.base_branch == "main"
    assert facts.head == facts.base == zoo.git("rev-parse", "HEAD", cwd=folder)
    assert facts.remotes == {"origin": "https://example.org/o/r.git"}
    assert facts.object_format == "sha1"
    assert not any((facts.shallow, facts.partial, facts.sparse, facts.linked_worktree))
    assert not any((facts.dirty, facts.untracked, facts.lfs, facts.submodules))


@pytest.mark.asyncio
async def test_what_cannot_be_used_says_why(door: GitDoor, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    plain = zoo.plain(tmp_path / "plain")

    assert await reason(door, tmp_path / "absent") == "missing"
    assert await reason(door, tmp_path / "file") == "missing"
    assert await reason(door, tmp_path / "folder") == "not_git"
    assert await reason(door, plain / "src") == "not_git"
    assert await reason(door, zoo.bare(tmp_path / "bare")) == "bare"
    assert await reason(door, zoo.empty(tmp_path / "empty")) == "no_commits"
    assert await reason(door, zoo.detached(tmp_path / "detached")) == "detached_needs_base"
    assert await reason(door, plain, "absent") == "base_missing"


@pytest.mark.asyncio
async def test_a_damaged_repository_is_no_repository(door: GitDoor, tmp_path: Path) -> None:
    garbage = zoo.plain(tmp_path / "garbage")
    (garbage / ".git" / "config").write_text("[core\n")
    headless = zoo.plain(tmp_path / "headless")
    (headless / ".git" / "HEAD").write_text("--upload-pack=touch x\n")
    hollow = zoo.plain(tmp_path / "hollow")
    for file in (hollow / ".git" / "objects").glob("??/*"):
        file.unlink()

    assert await reason(door, garbage) == "not_git"
    assert await reason(door, headless) == "not_git"
    assert await reason(door, hollow) in ("no_commits", "base_missing", "objects_missing")


@pytest.mark.asyncio
async def test_detached_with_a_base_works(door: GitDoor, tmp_path: Path) -> None:
    facts = await inspect(door, zoo.detached(tmp_path / "repo"), "main")

    assert facts.branch is None
    assert facts.base_branch == "main"


@pytest.mark.asyncio
async def test_the_base_is_what_the_origins_head_names(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.cloned(tmp_path / "repo")
    zoo.git("checkout", "-q", "-b", "feature", cwd=folder)

    facts = await inspect(door, folder)

    assert (facts.origin_head, facts.branch, facts.base_branch) == ("main", "feature", "main")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "base", ["-x", "--upload-pack=x", "a..b", "a b", "", "HEAD", "a\nb", "x.lock"]
)
async def test_a_base_that_is_no_name_is_refused(door: GitDoor, tmp_path: Path, base: str) -> None:
    with pytest.raises(Invalid) as invalid:
        await inspect(door, zoo.plain(tmp_path / "repo"), base)
    assert invalid.value.data["field"] == "base_branch"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("build", "name", "expected"),
    [
        (zoo.shallow, "shallow", True),
        (zoo.partial, "partial", True),
        (zoo.sparse, "sparse", True),
        (zoo.lfs, "lfs", True),
        (zoo.sha256, "object_format", "sha256"),
        (zoo.linked, "linked_worktree", True),
        (zoo.submodules, "submodules", ("lib",)),
        (zoo.strange_names, "dirty", False),
        (zoo.symlinks, "dirty", False),
        (zoo.split_index, "dirty", False),
        (zoo.packed, "dirty", False),
    ],
)
@pytest.mark.slow
async def test_the_zoo_is_seen_as_it_is_and_left_alone(
    door: GitDoor, tmp_path: Path, build: Callable[[Path], Path], name: str, expected: object
) -> None:
    folder = build(tmp_path / "zoo" / "repo")
    before = zoo.snapshot(tmp_path / "zoo")

    facts = await inspect(door, folder)

    assert getattr(facts, name) == expected
    assert not facts.dirty
    assert facts.head == zoo.git("rev-parse", "HEAD", cwd=folder)
    assert zoo.snapshot(tmp_path / "zoo") == before


@pytest.mark.asyncio
async def test_a_dirty_checkout_is_seen_and_left_alone(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.dirty(tmp_path / "repo")
    before = zoo.snapshot(folder)

    facts = await inspect(door, folder)

    assert facts.dirty
    assert facts.untracked
    assert zoo.snapshot(folder) == before


@pytest.mark.parametrize(
    ("paths", "fold", "clashing"),
    [
        (["a", "b/a", "b/A"], False, []),
        (["a", "b/a", "b/A"], True, ["b/a", "b/A"]),
        (["Folder/x", "folder/y", "Folder", "folder"], True, ["Folder", "folder"]),
        (["caf\u00e9", "cafe\u0301"], True, ["caf\u00e9", "cafe\u0301"]),
        (["x" * 256], False, ["x" * 256]),
        (["a/.git/config", "ok"], False, ["a/.git/config"]),
        (["a/.GIT", "git~1/x"], False, ["a/.GIT", "git~1/x"]),
        ([".gitignore", ".github/x", "git", "agit"], True, []),
    ],
)
def test_names_that_cannot_be_checked_out(
    paths: list[str], fold: bool, clashing: list[str]
) -> None:
    assert find_clashes(paths, fold=fold) == clashing


@pytest.mark.asyncio
async def test_clashing_names_are_found_before_anything_is_made(
    door: GitDoor, tmp_path: Path
) -> None:
    folder = zoo.plain(tmp_path / "repo")
    blob = zoo.git("hash-object", "-w", "--stdin", cwd=folder, stdin=b"x")
    inner = zoo.git("mktree", cwd=folder, stdin=f"100644 blob {blob}\t{'n' * 300}\n".encode())
    sha = zoo.git("commit-tree", inner, "-m", "x", cwd=folder)
    zoo.git("update-ref", "refs/heads/long", sha, cwd=folder)

    assert await reason(door, folder, "long") == "name_clash"
