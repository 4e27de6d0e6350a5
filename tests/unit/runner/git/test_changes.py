"""Paths, modes, lines and patches between two commits, whatever the names and contents."""

import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.judgement.changes import PathChange
from runner.git.added import OVERLAP, added_lines
from runner.git.changes import DiffStat, changes, stat, write_patch
from runner.git.door import GitDoor, GitFailed, Site
from runner.git.tree import find_entry, list_tree, read_file
from tests import zoo


def edit(folder: Path) -> tuple[Site, str, str]:
    base = zoo.git("rev-parse", "HEAD", cwd=folder)
    return Site(folder / ".git"), base, zoo.commit(folder)


async def lines(door: GitDoor, site: Site, base: str, head: str) -> list[tuple[str, int, str]]:
    found = added_lines(door, site, base, head)
    return [(line.path, line.number, line.text) async for line in found]


@pytest.mark.asyncio
async def test_every_kind_of_change(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    (folder / "long").write_text("".join(f"line {n}\n" for n in range(50)))
    (folder / "gone").write_text("a\nb\n")
    zoo.commit(folder)
    (folder / "long").rename(folder / "moved\n1")
    with (folder / "moved\n1").open("a") as file:
        file.write("one more\n")
    (folder / "gone").unlink()
    (folder / "run.sh").chmod(0o644)
    (folder / "link").unlink()
    (folder / "link").write_text("now a file\n")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("../../etc/shadow")
    (folder / "image").write_bytes(b"\0\1\2")
    zoo.git("init", "-q", "nested", cwd=folder)
    inner = zoo.commit(folder / "nested")
    site, base, head = edit(folder)

    found = {change.path: change for change in await changes(door, site, base, head)}

    absent = "000000"
    assert found == {
        "moved\n1": PathChange("R", "moved\n1", "long", added=1),
        "gone": PathChange("D", "gone", mode=absent, deleted=2),
        "run.sh": PathChange("M", "run.sh", old_mode="100755"),
        "link": PathChange("T", "link", old_mode="120000", added=1, deleted=1),
        "README.md": PathChange(
            "T",
            "README.md",
            mode="120000",
            symlink_target="../../etc/shadow",
            added=1,
            deleted=1,
        ),
        "image": PathChange("A", "image", old_mode=absent, binary=True),
        "nested": PathChange(
            "A", "nested", mode="160000", old_mode=absent, is_gitlink=True, added=1
        ),
    }
    assert await stat(door, site, base, head) == DiffStat(7, 4, 4)
    assert ("nested", 1, f"Subproject commit {inner}") in await lines(door, site, base, head)
    assert await changes(door, site, head, head) == ()


@pytest.mark.asyncio
async def test_added_lines_and_their_places(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    (folder / "src" / "app.py").write_text("print('one')\nnew 2\nprint('two')\nnew 4")
    (folder / 'a b\t"c"\\\n+++ b fake').write_text("+++ b/other\n@@ -1 +1 @@\n\\ no newline\r\nx")
    site, base, head = edit(folder)

    found = await lines(door, site, base, head)

    strange = 'a b\t"c"\\\n+++ b fake'
    assert found == [
        (strange, 1, "+++ b/other"),
        (strange, 2, "@@ -1 +1 @@"),
        (strange, 3, "\\ no newline\r"),
        (strange, 4, "x"),
        ("src/app.py", 2, "new 2"),
        ("src/app.py", 4, "new 4"),
    ]


@pytest.mark.asyncio
async def test_a_trees_attributes_and_binary_bytes_hide_nothing(
    door: GitDoor, tmp_path: Path
) -> None:
    folder = zoo.plain(tmp_path / "repo")
    (folder / ".gitattributes").write_text("* -diff -text\n*.py binary\n")
    (folder / "key.py").write_bytes(b"\0\0key = 'secret'\n")
    (folder / "wide.txt").write_bytes("secret=1\nsecret=2\n".encode("utf-16-le"))
    site, base, head = edit(folder)

    found = await lines(door, site, base, head)

    assert ("key.py", 1, "key = 'secret'") in found
    assert ("wide.txt", 1, "secret=1") in found
    assert ("wide.txt", 2, "secret=2") in found


@pytest.mark.asyncio
async def test_an_endless_line_comes_in_overlapping_pieces(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    content = "".join(chr(97 + n % 26) for n in range(200_000))
    (folder / "long").write_text(f"{content}\nend\n")
    site, base, head = edit(folder)

    found = await lines(door, site, base, head)

    pieces = [text for _, number, text in found if number == 1]
    assert len(pieces) > 3
    assert pieces[0] + "".join(piece[OVERLAP:] for piece in pieces[1:]) == content
    assert found[-1] == ("long", 2, "end")


NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: (
        not set(name) & set(b"/\0")
        and not name.lower().startswith(b".git")
        and name not in (b".", b"..")
        and not name.lower().startswith(b"git~")
    )
)


@pytest.mark.asyncio
@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(files=st.dictionaries(NAMES, st.binary(max_size=60), min_size=1, max_size=6))
async def test_any_name_and_content_comes_through(
    door: GitDoor, files: dict[bytes, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = zoo.empty(tmp_path_factory.mktemp("any") / "repo")
    zoo.commit(folder)
    for name, content in files.items():
        (folder / os.fsdecode(name)).write_bytes(content)
    site, base, head = edit(folder)

    found = await changes(door, site, base, head)
    added = await lines(door, site, base, head)

    names = {os.fsdecode(name) for name in files}
    assert {change.path for change in found} == names
    for name, content in files.items():
        path = os.fsdecode(name)
        said = [text for where, _, text in added if where == path]
        expected = content.replace(b"\0", b"").decode("utf-8", "replace")
        assert "\n".join(said) == expected.removesuffix("\n")
        assert await read_file(door, site, head, path, limit=100) == content


@pytest.mark.asyncio
async def test_the_patch_is_whole_and_applies(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.strange_names(tmp_path / "repo")
    (folder / "image").write_bytes(os.urandom(5000))
    (folder / "README.md").unlink()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("changed\n")
    site, base, head = edit(folder)
    file = tmp_path / "diff.patch"

    patch = await write_patch(door, site, base, head, file)

    content = file.read_bytes()
    assert patch.size == len(content)
    assert patch.sha256 == hashlib.sha256(content).hexdigest()
    zoo.git("checkout", "-q", base, cwd=folder)
    zoo.git("apply", "--index", file, cwd=folder)
    tree = zoo.git("write-tree", cwd=folder)
    assert tree == zoo.git("rev-parse", f"{head}^{{tree}}", cwd=folder)


@pytest.mark.asyncio
async def test_a_patch_that_cannot_be_computed_replaces_nothing(
    door: GitDoor, tmp_path: Path
) -> None:
    folder = zoo.plain(tmp_path / "repo")
    head = zoo.git("rev-parse", "HEAD", cwd=folder)
    file = tmp_path / "diff.patch"
    file.write_text("old")

    with pytest.raises(GitFailed) as failed:
        await write_patch(door, Site(folder / ".git"), head, "1" * 40, file)
    with pytest.raises(GitFailed):
        await changes(door, Site(folder / ".git"), head, "1" * 40)
    with pytest.raises(GitFailed):
        await lines(door, Site(folder / ".git"), head, "1" * 40)

    assert failed.value.code == "HOLD-EVIDENCE-INCOMPLETE"
    assert file.read_text() == "old"
    assert not list(tmp_path.glob(".diff*"))


@pytest.mark.asyncio
@pytest.mark.slow
async def test_fifty_megabytes_take_no_memory(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    line = b"x" * 98 + b"\n"
    (folder / "large").write_bytes(b"".join(b"%07d" % n + line[7:] for n in range(530_000)))
    site, base, head = edit(folder)

    tracemalloc.start()
    patch = await write_patch(door, site, base, head, tmp_path / "diff.patch")
    count = 0
    async for _ in added_lines(door, site, base, head):
        count += 1
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert patch.size > 50_000_000
    assert count == 530_000
    assert most < 8_000_000


@pytest.mark.asyncio
async def test_files_of_a_commit(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.submodules(tmp_path / "repo")
    site, head = Site(folder / ".git"), zoo.git("rev-parse", "HEAD", cwd=folder)

    modes = {e.path: e.mode for e in await list_tree(door, site, head, folders=True)}

    assert modes["src"] == "040000"
    assert modes["lib"] == "160000"
    assert modes["link"] == "120000"
    assert modes["run.sh"] == "100755"
    assert await read_file(door, site, head, "README.md", limit=4) == b"# Ha"
    assert await read_file(door, site, head, "README.md", limit=10_000) == b"# Harbour\n"
    for path in (
        "link",
        "src",
        "lib",
        "absent",
        "",
        "/etc/passwd",
        "../x",
        ":(glob)*",
        "src/",
        "a\0",
    ):
        assert await read_file(door, site, head, path, limit=100) is None
    entry = await find_entry(door, site, head, "src/app.py")
    assert entry is not None
    assert entry.mode == "100644"
