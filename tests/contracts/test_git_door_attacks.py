"""What a repository or a coder may try: each attack would touch a canary, and none does."""

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.missions.workshop import Commit
from runner.git.added import added_lines
from runner.git.changes import changes, write_patch
from runner.git.commit import CommitText, commit_all
from runner.git.door import GitDoor
from runner.git.export import export_branch
from runner.git.inspect import inspect
from runner.git.merge import merge
from runner.git.mirror import Mirror
from runner.git.survey import ignored_names
from runner.git.worktree import Worktree, add_worktree, checkout_clean, remove_worktree
from tests import zoo

TEXT = CommitText("T1: change", datetime(2024, 5, 1, tzinfo=UTC))
BRANCH = "cockpit/x-m-1"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(GitDoor(tmp_path / "data" / "git"), tmp_path / "data" / "mirrors" / "r.git")


async def whole_way(mirror: Mirror, worktree: Worktree, base: str, tmp_path: Path) -> Commit:
    """Everything that the product does with a worktree after a coder has had it."""
    door = mirror.door
    await ignored_names(door, worktree.site)
    done = await commit_all(worktree, base, TEXT)
    if done.sha is not None:
        await changes(door, mirror.site, base, done.sha)
        await write_patch(door, mirror.site, base, done.sha, tmp_path / "diff.patch")
        async for line in added_lines(door, mirror.site, base, done.sha):
            assert line.path
        await merge(mirror, BRANCH, done.sha, start=base)
        await checkout_clean(mirror, done.sha, tmp_path / "data" / "checkouts" / "c1")
    await add_worktree(mirror, base, worktree.folder, keep=True)
    await remove_worktree(worktree)
    return done


@pytest.mark.asyncio
@pytest.mark.slow
async def test_an_operators_repository_full_of_traps(
    mirror: Mirror, tmp_path: Path, canary: Path
) -> None:
    folder = zoo.hooked(tmp_path / "repo", canary)
    (folder / "src" / "app.py").write_text("dirty\n")
    canary.unlink(missing_ok=True)
    before = zoo.snapshot(folder)

    facts = await inspect(mirror.door, folder)
    base = await mirror.create_or_update(folder, "main")
    worktree = await add_worktree(mirror, base, tmp_path / "data" / "worktrees" / "t1")
    (worktree.folder / "src" / "app.py").write_text("changed\n")
    done = await whole_way(mirror, worktree, base, tmp_path)
    assert done.sha is not None

    assert facts.dirty
    assert zoo.snapshot(folder) == before
    assert not canary.exists()

    await export_branch(mirror, folder, BRANCH, done.sha)
    assert not canary.exists()


def test_the_traps_are_armed(tmp_path: Path, canary: Path) -> None:
    folder = zoo.hooked(tmp_path / "repo", canary)
    (folder / "src" / "app.py").write_text("dirty\n")
    canary.unlink(missing_ok=True)

    subprocess.run(["git", "status"], cwd=folder, capture_output=True, check=False)

    assert canary.exists()


def trapped_folder(worktree: Path, canary: Path) -> None:
    (worktree / ".git").unlink()
    zoo.git("init", "-q", ".", cwd=worktree)
    zoo.booby_trap(worktree / ".git", canary)


def trapped_gitfile(worktree: Path, canary: Path) -> None:
    elsewhere = worktree / "elsewhere"
    zoo.git("init", "-q", elsewhere, cwd=worktree)
    zoo.booby_trap(elsewhere / ".git", canary)
    (worktree / ".git").write_text("gitdir: elsewhere/.git\n")


def nested_repository(worktree: Path, canary: Path) -> None:
    nested = zoo.plain(worktree / "nested")
    zoo.booby_trap(nested / ".git", canary)
    (nested / "README.md").write_text("dirty\n")


def nested_over_tracked(worktree: Path, canary: Path) -> None:
    zoo.git("init", "-q", "src", cwd=worktree)
    zoo.booby_trap(worktree / "src" / ".git", canary)


def nested_by_file(worktree: Path, canary: Path) -> None:
    target = zoo.plain(worktree.parent / "aside")
    zoo.booby_trap(target / ".git", canary)
    (worktree / "sub").mkdir()
    (worktree / "sub" / ".git").write_text(f"gitdir: {target / '.git'}\n")
    (worktree / "sub" / "file").write_text("x\n")


def nested_bare(worktree: Path, canary: Path) -> None:
    zoo.git("init", "-q", "--bare", "bare", cwd=worktree)
    zoo.booby_trap(worktree / "bare", canary)


def bare_at_the_top(worktree: Path, canary: Path) -> None:
    zoo.git("init", "-q", "--bare", ".", cwd=worktree)
    zoo.booby_trap(worktree, canary)


def other_case(worktree: Path, canary: Path) -> None:
    for name in (".GIT", "git~1"):
        (worktree / name).mkdir()
        (worktree / name / "hooks").mkdir()
        zoo.booby_trap(worktree / name, canary)


def attributes(worktree: Path, canary: Path) -> None:
    (worktree / ".gitattributes").write_text(
        "* filter=evil diff=evil merge=evil\n*.x filter=lfs diff=lfs\n"
        "*.y filter=!touch\n*.z working-tree-encoding=UTF-16\n"
    )
    (worktree / "a.x").write_text("x\n")
    (worktree / "b.y").write_text("y\n")
    (worktree / ".gitconfig").write_text(f'[filter "evil"]\n\tclean = touch {canary}\n')
    (worktree / ".lfsconfig").write_text(f"[lfs]\n\turl = ext::touch% {canary}\n")


def submodule_by_ext(worktree: Path, canary: Path) -> None:
    (worktree / ".gitmodules").write_text(
        f'[submodule "x"]\n\tpath = x\n\turl = ext::touch% {canary}\n\tupdate = !touch {canary}\n'
        "\tignore = none\n\tfetchRecurseSubmodules = true\n"
        f'[submodule "-u./trap.sh"]\n\tpath = src\n\turl = -u{canary}\n'
    )


def hooks_in_the_tree(worktree: Path, canary: Path) -> None:
    for folder in ("hooks", ".git-hooks", ".githooks", ".husky"):
        (worktree / folder).mkdir()
        for hook in zoo.HOOKS:
            file = worktree / folder / hook
            file.write_text(f"#!/bin/sh\ntouch '{canary}'\n")
            file.chmod(0o755)


def programs_in_the_tree(worktree: Path, canary: Path) -> None:
    for name in ("git", "git-upload-pack", "ssh", "sh", "less", "git-lfs", "cat", "false"):
        file = worktree / name
        file.write_text(f"#!/bin/sh\ntouch '{canary}'\n")
        file.chmod(0o755)


def links_out(worktree: Path, canary: Path) -> None:
    (worktree / "shadow").symlink_to("/etc/shadow")
    (worktree / ".gitignore").unlink()
    (worktree / ".gitignore").symlink_to("/etc/passwd")
    (worktree / ".gitattributes").symlink_to(canary)
    shutil.rmtree(worktree / "src")
    (worktree / "src").symlink_to(worktree.parent.parent)


def special_files(worktree: Path, canary: Path) -> None:
    for name in (".gitattributes", ".gitmodules", "pipe", "src/.gitignore", "-n", "new\nline"):
        os.mkfifo(worktree / name)
    (worktree / ".gitignore").unlink()
    os.mkfifo(worktree / ".gitignore")
    (worktree / "run.sh").chmod(0o6777)


def hostile_names(worktree: Path, canary: Path) -> None:
    names = (
        f"--exec=touch {canary}",
        f"$(touch {canary.name})",
        f"`touch {canary.name}`",
        "; touch canary",
        "-",
        "--",
        ":!x",
        ":(exclude)*",
        "a\nb",
        "\x1b[2J",
        os.fsdecode(b"\xff\xfe"),
        "HEAD",
        "refs",
        "objects",
        "config",
    )
    for name in names:
        (worktree / name).write_text("x\n") if "/" not in name else None


ATTACKS = [
    trapped_folder,
    trapped_gitfile,
    nested_repository,
    nested_over_tracked,
    nested_by_file,
    nested_bare,
    bare_at_the_top,
    other_case,
    attributes,
    submodule_by_ext,
    hooks_in_the_tree,
    programs_in_the_tree,
    links_out,
    special_files,
    hostile_names,
]


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_a_worktree_that_a_hostile_coder_left(
    mirror: Mirror,
    tmp_path: Path,
    canary: Path,
    monkeypatch: pytest.MonkeyPatch,
    attack: Callable[[Path, Path], None],
) -> None:
    folder = zoo.plain(tmp_path / "repo")
    base = await mirror.create_or_update(folder, "main")
    worktree = await add_worktree(mirror, base, tmp_path / "data" / "worktrees" / "t1")
    mirror_before = (mirror.folder / "config").read_bytes()
    operator_before = zoo.snapshot(folder)
    attack(worktree.folder, canary)
    canary.unlink(missing_ok=True)
    monkeypatch.chdir(worktree.folder)  # the worst place to be

    done = await whole_way(mirror, worktree, base, tmp_path)

    monkeypatch.chdir(tmp_path)
    assert not canary.exists()
    assert not list(tmp_path.rglob(canary.name))
    assert (mirror.folder / "config").read_bytes() == mirror_before
    assert zoo.snapshot(folder) == operator_before
    assert done.sha is not None or done.findings
    for name in ("HEAD", "worktrees", "hooks"):
        assert not (mirror.folder / name / "trap.sh").exists()


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_base_commit_that_is_hostile_itself(
    mirror: Mirror, tmp_path: Path, canary: Path
) -> None:
    folder = zoo.plain(tmp_path / "repo")
    for attack in (attributes, submodule_by_ext, hooks_in_the_tree, programs_in_the_tree):
        attack(folder, canary)
    zoo.commit(folder)
    canary.unlink(missing_ok=True)
    before = zoo.snapshot(folder)

    await inspect(mirror.door, folder)
    base = await mirror.create_or_update(folder, "main")
    worktree = await add_worktree(mirror, base, tmp_path / "data" / "worktrees" / "t1")
    (worktree.folder / "a.x").write_text("changed\n")
    await whole_way(mirror, worktree, base, tmp_path)

    assert not canary.exists()
    assert zoo.snapshot(folder) == before


@pytest.mark.asyncio
async def test_a_tree_that_holds_a_git_folder_is_not_checked_out(
    mirror: Mirror, tmp_path: Path
) -> None:
    folder = zoo.plain(tmp_path / "repo")
    blob = zoo.git("hash-object", "-w", "--stdin", cwd=folder, stdin=b"[core]\n")
    inner = zoo.git("mktree", cwd=folder, stdin=f"100644 blob {blob}\tconfig\n".encode())
    outer = zoo.git("mktree", cwd=folder, stdin=f"040000 tree {inner}\t.git\n".encode())
    sha = zoo.git("commit-tree", outer, "-m", "x", cwd=folder)
    zoo.git("update-ref", "refs/heads/evil", sha, cwd=folder)

    with pytest.raises(Exception, match="HOLD-TARGET-REPO-UNAVAILABLE"):
        await inspect(mirror.door, folder, "evil")
    base = await mirror.create_or_update(folder, "evil")
    with pytest.raises(Exception, match="invalid path"):
        await checkout_clean(mirror, base, tmp_path / "data" / "checkouts" / "c1")
    assert not (tmp_path / "data" / "checkouts" / "c1").exists()
