"""Reads commits: what they name, their paths and files. Nothing is checked out or written."""

import asyncio
import os
import re
from dataclasses import dataclass
from typing import Literal

from core.errors import Invalid
from runner.git.door import GitDoor, GitFailed, Site

EntryKind = Literal["blob", "tree", "commit"]
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REGULAR = ("100644", "100755")
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One path of a commit; foreign bytes of its name are surrogate escapes.

    Attributes:
        mode: six octal digits as git writes them: ``100644``, ``120000``, ``160000``, ``040000``.
        kind: ``commit`` is a submodule.
    """

    path: str
    mode: str
    kind: EntryKind
    sha: str


def check_sha(sha: str, field: str = "commit") -> str:
    """A full object name, which git can't read as an option or an expression.

    Raises:
        Invalid: anything else.
    """
    if not _SHA.fullmatch(sha):
        raise Invalid(field, f"{sha!r} is not a full commit id.", recovery="Give 40 or 64 hex.")
    return sha


async def check_branch(door: GitDoor, name: str, field: str = "branch") -> str:
    """A name that a branch may have.

    Raises:
        Invalid: git would not take it, or would read it as an option.
    """
    if name and not name.startswith("-") and name != "HEAD" and "\0" not in name:
        args = ["check-ref-format", f"refs/heads/{name}"]
        if (await door.run(args, Site(None), ok=(0, 1))).code == 0:
            return name
    raise Invalid(field, f"{name!r} cannot be the name of a branch.", recovery="Choose another.")


async def resolve(door: GitDoor, site: Site, name: str) -> str | None:
    """The commit that a full ref name or object name stands for; None if there is none."""
    args = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    output = await door.run(args, site, ok=(0, 1, 128))
    return output.text if _SHA.fullmatch(output.text) else None


async def is_ancestor(door: GitDoor, site: Site, old: str, new: str) -> bool:
    """Whether ``old`` is ``new`` or one of its ancestors."""
    args = ["merge-base", "--is-ancestor", check_sha(old), check_sha(new)]
    return (await door.run(args, site, ok=(0, 1))).code == 0


async def list_tree(
    door: GitDoor, site: Site, commit: str, *, folders: bool = False
) -> tuple[TreeEntry, ...]:
    """Every path of a commit, in git's order; with ``folders``, those too."""
    args = ["ls-tree", "-r", "-z", "--full-tree", check_sha(commit)]
    if folders:
        args.insert(2, "-t")
    output = await door.run(args, site)
    return await asyncio.to_thread(_parse_tree, output.stdout)


def _parse_tree(output: bytes) -> tuple[TreeEntry, ...]:
    entries = []
    for record in output.split(b"\0")[:-1]:
        facts, _, name = record.partition(b"\t")
        mode, kind, sha = facts.decode("ascii").split(" ")
        entries.append(TreeEntry(os.fsdecode(name), mode, _KINDS[kind], sha))
    return tuple(entries)


_KINDS: dict[str, EntryKind] = {"blob": "blob", "tree": "tree", "commit": "commit"}


async def find_entry(door: GitDoor, site: Site, commit: str, path: str) -> TreeEntry | None:
    """What a commit holds at ``path``; None if nothing."""
    if not path or "\0" in path or path.startswith("/") or path.endswith("/"):
        return None
    args = ["ls-tree", "-z", "--full-tree", check_sha(commit), "--", path]
    output = await door.run(args, site, ok=(0, 128))
    found = [entry for entry in _parse_tree(output.stdout) if entry.path == path]
    return found[0] if found else None


async def read_file(
    door: GitDoor, site: Site, commit: str, path: str, *, limit: int
) -> bytes | None:
    """The first ``limit`` bytes of a regular file; None for links, folders and absent paths.

    Raises:
        GitFailed: the object is missing or damaged.
    """
    entry = await find_entry(door, site, commit, path)
    if entry is None or entry.mode not in _REGULAR:
        return None
    return await read_blob(door, site, entry.sha, limit=limit)


async def read_blob(door: GitDoor, site: Site, sha: str, *, limit: int) -> bytes:
    """The first ``limit`` bytes of a blob."""
    parts: list[bytes] = []
    missing = limit
    async with door.stream(["cat-file", "blob", check_sha(sha, "sha")], site) as output:
        while missing > 0 and (part := await output.read(min(_CHUNK, missing))):
            parts.append(part)
            missing -= len(part)
    return b"".join(parts)


async def read_links(door: GitDoor, site: Site, shas: list[str]) -> dict[str, str]:
    """The targets of symlinks, by blob, each cut where no file system would follow it."""
    if not shas:
        return {}
    asked = "\n".join(dict.fromkeys(shas)).encode("ascii") + b"\n"
    output = await door.run(["cat-file", "--batch"], site, stdin=asked)
    return await asyncio.to_thread(_parse_batch, output.stdout)


def _parse_batch(output: bytes) -> dict[str, str]:
    targets: dict[str, str] = {}
    at = 0
    while at < len(output):
        end = output.index(b"\n", at)
        sha, kind, size = _header(output[at:end])
        at = end + 1
        if kind != "blob":
            raise GitFailed("cat-file", exit_code=0, stderr=f"{sha} is {kind}, not a blob")
        targets[sha] = os.fsdecode(output[at : at + min(size, _CHUNK)])
        at += size + 1
    return targets


def _header(line: bytes) -> tuple[str, str, int]:
    words = line.decode("ascii", "replace").split(" ")
    if len(words) != 3:
        return words[0], words[-1], 0
    return words[0], words[1], int(words[2])
