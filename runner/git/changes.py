"""What differs between two commits: paths, modes and lines, and the patch as a file.

Read from NUL-delimited output between two stored commits; no checkout, external diff, textconv
or attribute of the tree has a say.
"""

import asyncio
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from core.judgement.changes import GITLINK_MODE, SYMLINK_MODE, ChangeStatus, PathChange
from core.missions.workshop import Patch
from runner.git.door import GitDoor, GitFailed, Site
from runner.git.tree import check_sha, read_links

DIFF = ["diff-tree", "-r", "--no-ext-diff", "--no-textconv", "--no-color", "-M"]
DIFF += ["--submodule=short", "--ignore-submodules=none"]
DIFF_SECONDS = 1800.0
_STATUSES: dict[str, ChangeStatus] = {
    "A": "A",
    "C": "C",
    "D": "D",
    "M": "M",
    "R": "R",
    "T": "T",
    "U": "U",
    "X": "X",
}


@dataclass(frozen=True, slots=True)
class DiffStat:
    """How much differs; binary content counts as a file without lines."""

    files: int
    added: int
    deleted: int


async def changes(door: GitDoor, site: Site, base: str, head: str) -> tuple[PathChange, ...]:
    """Every changed path between two commits, in git's order.

    Raises:
        GitFailed: ``HOLD-EVIDENCE-INCOMPLETE``; nothing is left out silently.
    """
    args = [*DIFF, "--raw", "--numstat", "-z", "--abbrev=64", check_sha(base), check_sha(head)]
    output = await door.run(args, site, seconds=DIFF_SECONDS)
    found, links = await asyncio.to_thread(_parse, output.stdout)
    targets = await read_links(door, site, list(links.values()))
    for number, sha in links.items():
        if sha not in targets:
            raise GitFailed("cat-file", exit_code=0, stderr=f"{sha} is missing")
        found[number] = replace(found[number], symlink_target=targets[sha])
    return tuple(found)


async def stat(door: GitDoor, site: Site, base: str, head: str) -> DiffStat:
    """How many files and lines differ."""
    found = await changes(door, site, base, head)
    return DiffStat(len(found), sum(c.added for c in found), sum(c.deleted for c in found))


async def write_patch(door: GitDoor, site: Site, base: str, head: str, file: Path) -> Patch:
    """Write the whole diff, binary content included, to ``file`` in one step.

    Raises:
        GitFailed: the diff could not be computed; ``file`` is as it was.
    """
    args = [*DIFF, "-p", "--binary", "--full-index", check_sha(base), check_sha(head)]
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("wb+") as out:
            os.fchmod(out.fileno(), 0o600)
            await door.run_to(out, args, site, seconds=DIFF_SECONDS)
            patch = await asyncio.to_thread(_measure, new)
        new.rename(file)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()
    return patch


def _measure(file: Path) -> Patch:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
        os.fsync(content.fileno())
        return Patch(content.tell(), digest.hexdigest())


def _parse(output: bytes) -> tuple[list[PathChange], dict[int, str]]:
    """The changes, and for new symlinks by their place, the blob that holds the target."""
    fields = iter(output.split(b"\0")[:-1])
    found: list[PathChange] = []
    links: dict[int, str] = {}
    lines: dict[str, tuple[int, int, bool]] = {}
    for each in fields:
        if each.startswith(b":"):
            change, sha = _raw(each, fields)
            if change.mode == SYMLINK_MODE:
                links[len(found)] = sha
            found.append(change)
        elif each:
            path, counts = _numbers(each, fields)
            lines[path] = counts
    for number, change in enumerate(found):
        if change.path not in lines:
            raise GitFailed("diff-tree", exit_code=0, stderr="a path has no line counts")
        added, deleted, binary = lines[change.path]
        found[number] = replace(change, added=added, deleted=deleted, binary=binary)
    return found, links


def _raw(record: bytes, fields: Iterator[bytes]) -> tuple[PathChange, str]:
    old_mode, mode, _, sha, status = record[1:].decode("ascii").split(" ")
    letter = _STATUSES[status[0]]
    path = os.fsdecode(next(fields))
    old_path = None
    if letter in ("R", "C"):
        old_path, path = path, os.fsdecode(next(fields))
    gitlink = GITLINK_MODE in (mode, old_mode)
    return PathChange(letter, path, old_path, mode, old_mode, is_gitlink=gitlink), sha


def _numbers(record: bytes, fields: Iterator[bytes]) -> tuple[str, tuple[int, int, bool]]:
    added, deleted, name = record.split(b"\t", 2)
    if not name:
        next(fields)
        name = next(fields)
    if added == b"-":
        return os.fsdecode(name), (0, 0, True)
    return os.fsdecode(name), (int(added), int(deleted), False)
