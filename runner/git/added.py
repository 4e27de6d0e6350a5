"""The added lines of a diff, whatever the files hold: text, binary, lines without end.

Binary content counts as text here, so that a NUL byte hides nothing from who looks for secrets.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import IO

from core.judgement.changes import AddedLine
from runner.git.changes import DIFF, DIFF_SECONDS
from runner.git.door import GitDoor, GitFailed, Site
from runner.git.tree import check_sha

LONGEST = 64 * 1024  # bytes of a line in one piece
OVERLAP = 1024  # bytes that a piece repeats of the one before, so that no word is cut unseen
_AT_ONCE = 1000
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_NAMED = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13}


async def added_lines(door: GitDoor, site: Site, base: str, head: str) -> AsyncIterator[AddedLine]:
    """Path, number on the new side, and text of every added line.

    A line of more than 64 KiB comes in overlapping pieces with the same number. Bytes that are no
    UTF-8 are replaced; NUL bytes are left out, so that UTF-16 reads as what it says.

    Raises:
        GitFailed: the diff could not be computed.
    """
    args = [*DIFF, "-p", "-U0", "--text", "--no-prefix", check_sha(base), check_sha(head)]
    with tempfile.TemporaryFile(dir=door.scratch) as file:
        await door.run_to(file, args, site, seconds=DIFF_SECONDS)
        file.seek(0)
        lines = parse_added(file)
        while batch := await asyncio.to_thread(lambda: list(islice(lines, _AT_ONCE))):
            for line in batch:
                yield line


def parse_added(file: IO[bytes]) -> Iterator[AddedLine]:
    """The added lines of a patch without context or prefixes.

    Raises:
        GitFailed: the patch is cut, or is none.
    """
    path = ""
    while head := file.readline(LONGEST):
        hunk = _HUNK.match(head)
        if hunk is None:
            if head.startswith(b"+++ "):
                path = _path(head[4:])
            _skip_rest(file, head)
            continue
        _skip_rest(file, head)
        gone = int(hunk[1] or b"1")
        for _ in range(gone):
            _skip_line(file, b"-")
        yield from _added(file, path, int(hunk[2]), int(hunk[3] or b"1"))


def _added(file: IO[bytes], path: str, first: int, count: int) -> Iterator[AddedLine]:
    for number in range(first, first + count):
        piece = _body_line(file, b"+")[1:]
        kept = b""
        while True:
            whole = piece.endswith(b"\n")
            yield AddedLine(path, number, _text(kept + piece))
            if whole:
                break
            kept = piece[-OVERLAP:]
            piece = file.readline(LONGEST)
            if not piece:
                break


def _skip_line(file: IO[bytes], sign: bytes) -> None:
    _skip_rest(file, _body_line(file, sign))


def _body_line(file: IO[bytes], sign: bytes) -> bytes:
    """The beginning of the next line of a hunk, remarks about a missing newline passed over."""
    line = file.readline(LONGEST)
    if line.startswith(b"\\"):
        line = file.readline(LONGEST)
    if not line.startswith(sign):
        raise GitFailed("diff-tree", exit_code=0, stderr="the patch is not what it says it is")
    return line


def _skip_rest(file: IO[bytes], line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = file.readline(LONGEST)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\n").replace(b"\0", b"").decode("utf-8", "replace")


def _path(name: bytes) -> str:
    """A file name as a patch writes it: quoted like C where it is not plain."""
    name = name.removesuffix(b"\n").removesuffix(b"\t")
    if name.startswith(b'"') and name.endswith(b'"'):
        name = _ESCAPE.sub(_unescape, name[1:-1])
    return name.decode("utf-8", "surrogateescape")


def _unescape(found: re.Match[bytes]) -> bytes:
    escape = found[1]
    if len(escape) == 3:
        return bytes([int(escape, 8)])
    return bytes([_NAMED.get(escape, escape[0])])
