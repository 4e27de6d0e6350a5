"""One commit of all that a worktree holds, and findings of what could not be in it."""

import os
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import Invalid
from core.missions.workshop import Commit
from runner.git.commit import CommitText, Person, commit_all
from runner.git.mirror import Mirror
from runner.git.survey import ignored_names
from runner.git.tree import list_tree
from runner.git.worktree import Worktree, add_worktree
from tests import zoo


async def lay(mirror: Mirror, tmp_path: Path) -> tuple[Worktree, str]:
    base = await mirror.create_or_update(zoo.plain(tmp_path / "repo"), "main")
    return await add_worktree(mirror, base, tmp_path / "worktrees" / "t1"), base


async def held(mirror: Mirror, done: Commit) -> dict[str, str]:
    assert done.sha is not None
    return {e.path: e.mode for e in await list_tree(mirror.door, mirror.site, done.sha)}


def kinds(done: Commit) -> set[tuple[str, str]]:
    return {(each["kind"], each["path"]) for each in done.findings}


@pytest.mark.asyncio
async def test_nothing_changed_is_no_commit(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    os.utime(worktree.folder / "README.md", (0, 0))

    assert await commit_all(worktree, base, text) == Commit(None)


@pytest.mark.asyncio
async def test_changes_of_every_kind_are_in_it(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    folder = worktree.folder
    (folder / "README.md").unlink()
    (folder / "run.sh").chmod(0o644)
    (folder / "src" / "app.py").unlink()
    (folder / "src" / "app.py").symlink_to("/etc/passwd")
    (folder / "link").unlink()
    (folder / "link").mkdir()
    (folder / "link" / "inner").write_text("x")
    (folder / os.fsdecode(b"n\xffl\n")).write_text("strange")
    (folder / ":(exclude)x").write_text("magic")
    (folder / "-rf").write_text("option")

    done = await commit_all(worktree, base, text)

    assert await held(mirror, done) == {
        ".gitignore": "100644",
        "run.sh": "100644",
        "src/app.py": "120000",
        "link/inner": "100644",
        os.fsdecode(b"n\xffl\n"): "100644",
        ":(exclude)x": "100644",
        "-rf": "100644",
    }
    assert done.findings == ()


@pytest.mark.asyncio
async def test_a_folder_of_tracked_files_may_become_a_file_or_a_link(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    (worktree.folder / "src" / "app.py").unlink()
    (worktree.folder / "src").rmdir()
    (worktree.folder / "src").symlink_to("/etc")

    done = await commit_all(worktree, base, text)

    found = await held(mirror, done)
    assert found["src"] == "120000"
    assert "src/app.py" not in found


@pytest.mark.asyncio
async def test_it_says_who_when_and_for_what(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    (worktree.folder / "new").write_text("x")
    text = replace(text, message="T1: höher\n\nbody", author=Person("Ada", "ada@example.org"))

    done = await commit_all(worktree, base, text)

    assert done.sha is not None
    shown = zoo.git("show", "-s", "--format=%an|%ae|%cn|%aI|%P%n%B", done.sha, cwd=mirror.folder)
    assert shown.split("\n")[0] == (
        f"Ada|ada@example.org|Operator Cockpit|2024-05-01T12:00:00+00:00|{base}"
    )
    trailers = zoo.git(
        "show", "-s", "--format=%(trailers:only)", done.sha, cwd=mirror.folder
    ).strip()
    assert trailers == "Cockpit-Run: r-4T9K2QX0ZB"


@pytest.mark.asyncio
async def test_repeated_it_is_the_same_commit(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    (worktree.folder / "new").write_text("x")
    first = await commit_all(worktree, base, text)
    (worktree.admin / "index.lock").touch()
    later = replace(text, date=datetime(2031, 1, 1, tzinfo=UTC))

    assert await commit_all(worktree, base, later) == first

    (worktree.folder / "new").write_text("y")
    assert (await commit_all(worktree, base, later)).sha not in (None, first.sha)


@pytest.mark.asyncio
async def test_a_lost_or_broken_index_changes_nothing(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    (worktree.folder / "new").write_text("x")
    first = await commit_all(worktree, base, text)
    (worktree.admin / "index").unlink()

    assert await commit_all(worktree, base, text) == first


@pytest.mark.asyncio
async def test_a_change_that_keeps_size_and_time_is_seen(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    file = worktree.folder / "README.md"
    seen = file.stat()
    file.write_text("# Harbor!\n"[: seen.st_size])
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))

    assert (await commit_all(worktree, base, text)).sha is not None


@pytest.mark.asyncio
async def test_special_files_come_back_as_findings(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    folder = worktree.folder
    os.mkfifo(folder / "pipe")
    (folder / ".gitignore").unlink()
    os.mkfifo(folder / ".gitignore")
    os.mkfifo(folder / "src" / ".gitattributes")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "sock"))
    (folder / "rooted").write_text("x")
    (folder / "rooted").chmod(0o6755)
    (folder / "README.md").unlink()
    os.mkfifo(folder / "README.md")

    done = await commit_all(worktree, base, text)

    assert kinds(done) == {
        ("special_file", "pipe"),
        ("special_file", ".gitignore"),
        ("special_file", "src/.gitattributes"),
        ("special_file", "sock"),
        ("special_file", "README.md"),
        ("special_mode", "rooted"),
    }
    assert await commit_all(worktree, base, text) == done
    found = await held(mirror, done)
    assert found["rooted"] == "100755"
    assert "README.md" not in found


@pytest.mark.asyncio
async def test_ignored_files_stay_out_and_are_listed(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    folder = worktree.folder
    (folder / "build").mkdir()
    for number in range(3):
        (folder / "build" / f"{number}.o").write_text("x")
    (folder / "debug.log").write_text("x")
    (folder / "src" / ".gitignore").write_text("!kept.log\nlocal\n")
    (folder / "src" / "kept.log").write_text("x")
    (folder / "src" / "local").write_text("x")

    done = await commit_all(worktree, base, text)

    assert kinds(done) == {
        ("ignored", "build/"),
        ("ignored", "debug.log"),
        ("ignored", "src/local"),
    }
    assert set(await held(mirror, done)) >= {"src/kept.log", "src/.gitignore"}
    assert await ignored_names(mirror.door, worktree.site) == ("build/", "debug.log", "src/local")


@pytest.mark.asyncio
async def test_a_tracked_file_is_never_hidden_by_ignoring_it(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    (worktree.folder / ".gitignore").write_text("*\n")
    (worktree.folder / "src" / "app.py").write_text("changed\n")
    (worktree.folder / "README.md").unlink()

    done = await commit_all(worktree, base, text)

    found = await held(mirror, done)
    assert set(found) == {".gitignore", "link", "run.sh", "src/app.py"}
    assert done.sha is not None
    assert zoo.git("show", f"{done.sha}:src/app.py", cwd=mirror.folder) == "changed"


@pytest.mark.asyncio
async def test_a_nested_repository_hides_no_file_and_is_no_submodule(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    zoo.git("init", "-q", "src", cwd=worktree.folder)
    (worktree.folder / "src" / "app.py").write_text("changed\n")
    (worktree.folder / "src" / "new.py").write_text("new\n")
    zoo.commit(worktree.folder / "src")

    done = await commit_all(worktree, base, text)

    assert kinds(done) == {("nested_repository", "src/.git")}
    found = await held(mirror, done)
    assert found["src/new.py"] == "100644"
    assert "160000" not in found.values()
    assert zoo.git("show", f"{done.sha}:src/app.py", cwd=mirror.folder) == "changed"


@pytest.mark.asyncio
@pytest.mark.parametrize("name", [".GIT", ".Git", "git~1", ".git.", ".git ", ".g\u200cit"])
async def test_names_that_are_git_elsewhere_stay_out(
    mirror: Mirror, tmp_path: Path, text: CommitText, name: str
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    (worktree.folder / "src" / name).mkdir()
    (worktree.folder / "src" / name / "config").write_text("[core]\n")

    done = await commit_all(worktree, base, text)

    assert [each["kind"] for each in done.findings] == ["nested_repository"]
    assert done.sha is None


@pytest.mark.asyncio
async def test_what_git_refuses_for_itself_is_a_finding(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    (worktree.folder / ".gitmodules").symlink_to("/etc/passwd")
    (worktree.folder / "fine").write_text("x")

    done = await commit_all(worktree, base, text)

    assert kinds(done) == {("unsafe_name", ".gitmodules")}
    assert "fine" in await held(mirror, done)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["absent", "folder", "other", "link", "fifo"])
async def test_a_replaced_git_file_is_seen_and_never_used(
    mirror: Mirror, tmp_path: Path, text: CommitText, kind: str
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    entry = worktree.folder / ".git"
    entry.unlink()
    if kind == "folder":
        zoo.git("init", "-q", ".", cwd=worktree.folder)
    elif kind == "other":
        entry.write_text(f"gitdir: {tmp_path / 'repo' / '.git'}\n")
    elif kind == "link":
        entry.symlink_to(tmp_path / "repo" / ".git")
    elif kind == "fifo":
        os.mkfifo(entry)
    (worktree.folder / "new").write_text("x")

    done = await commit_all(worktree, base, text)

    assert kinds(done) == {("git_replaced", ".git")}
    assert "new" in await held(mirror, done)


@pytest.mark.asyncio
async def test_a_submodule_stays_and_takes_no_files(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    base = await mirror.create_or_update(zoo.submodules(tmp_path / "repo"), "main")
    worktree = await add_worktree(mirror, base, tmp_path / "worktrees" / "t1")
    (worktree.folder / "lib" / "smuggled").write_text("x")
    (worktree.folder / "new").write_text("x")

    done = await commit_all(worktree, base, text)

    assert kinds(done) == {("submodule_content", "lib")}
    assert (await held(mirror, done))["lib"] == "160000"


@pytest.mark.asyncio
async def test_closed_files_and_folders_are_opened(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    (worktree.folder / "closed").mkdir()
    (worktree.folder / "closed" / "file").write_text("x")
    (worktree.folder / "closed" / "file").chmod(0)
    (worktree.folder / "closed").chmod(0)

    assert "closed/file" in await held(mirror, await commit_all(worktree, base, text))


@pytest.mark.asyncio
async def test_a_file_too_large_stays_out_and_is_said(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    with (worktree.folder / "huge").open("wb") as huge:
        huge.truncate(2 * 1024**3)

    done = await commit_all(worktree, base, text)

    assert kinds(done) == {("too_large", "huge")}
    assert done.sha is None


@pytest.mark.asyncio
@pytest.mark.slow
async def test_very_deep_folders_end_in_a_finding(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    handle = os.open(worktree.folder, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 100, dir_fd=handle)
        below = os.open("d" * 100, os.O_RDONLY | os.O_DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)

    done = await commit_all(worktree, base, text)

    assert [each["kind"] for each in done.findings] == ["unreadable"]


@pytest.mark.asyncio
@pytest.mark.slow
async def test_many_files_and_very_many_findings(
    mirror: Mirror, tmp_path: Path, text: CommitText
) -> None:
    worktree, base = await lay(mirror, tmp_path)
    for number in range(5000):
        (worktree.folder / f"f{number}").write_text(str(number))
    for number in range(300):
        (worktree.folder / f"{number}.log").write_text("x")

    done = await commit_all(worktree, base, text)

    assert len(await held(mirror, done)) == 5005
    assert done.findings[-1] == {"kind": "ignored", "path": "", "more": 100}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "change",
    [
        {"message": " "},
        {"trailers": {"Bad Key": "x"}},
        {"trailers": {"Key": "two\nlines"}},
        {"author": Person("A\nB", "a@b")},
        {"author": Person("A", "a>b")},
    ],
)
async def test_texts_that_are_none_are_refused(
    mirror: Mirror, tmp_path: Path, text: CommitText, change: dict[str, object]
) -> None:
    worktree, base = await lay(mirror, tmp_path)

    with pytest.raises(Invalid):
        await commit_all(worktree, base, replace(text, **change))  # type: ignore[arg-type]
