"""Turns what a worktree holds into one commit, through a private index.

No hook, filter or program of the repository runs, and nothing is taken from its ``.git``.
"""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from core.errors import Invalid
from core.missions.workshop import Commit
from runner.git.door import GitDoor, Leave, Site
from runner.git.survey import Survey, check_top, survey
from runner.git.tree import check_sha, resolve
from runner.git.worktree import Worktree

_TRAILER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_UNFIT = re.compile(r"[<>\x00-\x1f\x7f]")
_LONGEST_MESSAGE = 100_000
_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Person:
    """Whose name a commit bears."""

    name: str = "Operator Cockpit"
    email: str = "cockpit@localhost"


@dataclass(frozen=True, slots=True)
class CommitText:
    """What a commit says.

    Attributes:
        trailers: the last lines of the message, ``Cockpit-Run: r-…``.
        date: aware; seconds count.
    """

    message: str
    date: datetime
    trailers: Mapping[str, str] = field(default_factory=dict)
    author: Person = Person()

    def as_bytes(self) -> bytes:
        """The whole message.

        Raises:
            Invalid: it is empty or too long, or a trailer is none.
        """
        body = self.message.replace("\0", "").strip()
        if not body or len(body) > _LONGEST_MESSAGE:
            raise Invalid("message", "A commit message has 1 to 100,000 characters.")
        lines = [self._trailer(key, value) for key, value in self.trailers.items()]
        text = "\n\n".join([body, "\n".join(lines)] if lines else [body])
        return text.encode("utf-8", "replace") + b"\n"

    def variables(self) -> dict[str, str]:
        """Author, committer and date as git takes them.

        Raises:
            Invalid: a name is empty or no name.
        """
        stamp = f"@{int(self.date.timestamp())} +0000"
        name, email = self.author.name.strip(), self.author.email.strip()
        if not name or not email or _UNFIT.search(name + email):
            raise Invalid("author", "An author has a name and an address without '<' and '>'.")
        people = {"AUTHOR": (name, email), "COMMITTER": (Person().name, Person().email)}
        made = {}
        for role, (who, where) in people.items():
            made.update(
                {f"GIT_{role}_NAME": who, f"GIT_{role}_EMAIL": where, f"GIT_{role}_DATE": stamp}
            )
        return made

    def _trailer(self, key: str, value: str) -> str:
        if not _TRAILER.fullmatch(key) or not value.isprintable() or not value.strip():
            raise Invalid("trailers", f"{key!r}: {value!r} cannot be a trailer.")
        return f"{key}: {value}"


async def commit_all(worktree: Worktree, base: str, text: CommitText) -> Commit:
    """Commit all that ``worktree`` holds on top of ``base``; the same answer when repeated.

    Ignored files, special files, nested ``.git`` folders and names that git refuses stay out and
    are findings. The commit is kept alive by ``refs/cockpit/work/<worktree>``.

    Raises:
        Invalid: the message or a trailer does not fit.
        GitFailed: anything could not be read or stored; nothing was committed.
    """
    message, variables = text.as_bytes(), text.variables()
    door, mirror = worktree.mirror.door, worktree.mirror
    check_sha(base, "base")
    with tempfile.TemporaryDirectory(dir=door.scratch) as scratch:
        site = Site(worktree.admin, worktree.folder, Path(scratch) / "index")
        found, tree = await _stage(door, site, worktree, base)
    findings = found.findings()
    if tree == await _tree_of(door, mirror.site, base):
        return Commit(None, findings)
    ref = f"refs/cockpit/work/{worktree.folder.name}"
    earlier = await resolve(door, mirror.site, ref)
    if earlier and await _is_same(door, mirror.site, earlier, (tree, base, message)):
        return Commit(earlier, findings)
    output = await door.run(
        ["commit-tree", tree, "-p", base],
        mirror.site,
        stdin=message,
        leave=Leave(variables=variables),
    )
    sha = check_sha(output.text)
    await mirror.set_ref(ref, sha)
    return Commit(sha, findings)


async def _stage(door: GitDoor, site: Site, worktree: Worktree, base: str) -> tuple[Survey, str]:
    assert site.index is not None
    known = worktree.admin / "index"
    if worktree.laid_at() == base and known.exists():
        # Its time stamps spare git from reading what has not changed; it keeps its own, too.
        await asyncio.to_thread(shutil.copy2, known, site.index)
    else:
        # Without the work tree: here git would open files that only bear a name it knows.
        await door.run(["read-tree", base], Site(site.git_dir, None, site.index))
    tracked = _staged((await door.run(["ls-files", "-s", "-z"], site)).stdout)
    found = await survey(door, site, tracked)
    await asyncio.to_thread(check_top, worktree.folder, f"gitdir: {worktree.admin}\n", found)
    if found.gone:
        args = ["update-index", "--force-remove", "-z", "--stdin"]
        await door.run(args, site, stdin=_listed(found.gone))
    if found.present:
        args = ["update-index", "--add", "-z", "--stdin"]
        stdin = _listed(found.present)
        await door.run(args, site, stdin=stdin, seconds=_SECONDS)
    await _note_refused(door, site, found)
    tree = check_sha((await door.run(["write-tree", "--missing-ok"], site)).text)
    return found, tree


async def _note_refused(door: GitDoor, site: Site, found: Survey) -> None:
    """Git leaves out names that could be its own somewhere; say which."""
    staged = (await door.run(["ls-files", "-z"], site)).stdout.split(b"\0")
    for name in sorted(found.present.difference(staged)):
        found.note("unsafe_name", name)


def _staged(output: bytes) -> dict[bytes, str]:
    entries = {}
    for record in output.split(b"\0")[:-1]:
        facts, _, name = record.partition(b"\t")
        entries[name] = facts[:6].decode("ascii")
    return entries


def _listed(names: Iterable[bytes]) -> bytes:
    return b"".join(name + b"\0" for name in sorted(names))


async def _tree_of(door: GitDoor, site: Site, commit: str) -> str:
    args = ["rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}"]
    return (await door.run(args, site)).text


async def _is_same(door: GitDoor, site: Site, commit: str, wanted: tuple[str, str, bytes]) -> bool:
    tree, base, message = wanted
    content = (await door.run(["cat-file", "commit", commit], site)).stdout
    head, _, said = content.partition(b"\n\n")
    lines = os.fsdecode(head).split("\n")
    parents = [line for line in lines if line.startswith("parent ")]
    return lines[0] == f"tree {tree}" and parents == [f"parent {base}"] and said == message
