"""What a diff says about one path, as the git adapter reads it. Values only; nothing is decided."""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

ChangeStatus = Literal["A", "C", "D", "M", "R", "T", "U", "X"]

SYMLINK_MODE = "120000"
GITLINK_MODE = "160000"

_FOREIGN = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PathChange:
    """One changed path between two commits (domain.md §8).

    Attributes:
        status: git's letter: added, copied, deleted, modified, renamed, type changed, …
        path: the new name, or the only one; bytes that are no UTF-8 come as surrogate escapes.
        old_path: the source of a rename or copy, else None.
        mode: the new mode as six octal digits, ``000000`` when deleted; ``old_mode`` alike.
        symlink_target: what the new symlink points at, verbatim; None for anything else.
        is_gitlink: a submodule entry, before or after.
        added: added lines; 0 for binary content. ``deleted`` alike.
    """

    status: ChangeStatus
    path: str
    old_path: str | None = None
    mode: str = "100644"
    old_mode: str = "100644"
    symlink_target: str | None = None
    is_gitlink: bool = False
    binary: bool = False
    added: int = 0
    deleted: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The new name and, for a rename or copy, the old one."""
        if self.old_path is None or self.old_path == self.path:
            return (self.path,)
        return (self.path, self.old_path)

    @property
    def is_symlink(self) -> bool:
        """Whether the new side is a symlink."""
        return self.mode == SYMLINK_MODE or self.symlink_target is not None

    @property
    def touches_submodule(self) -> bool:
        """Whether either side is a submodule entry."""
        return self.is_gitlink or GITLINK_MODE in (self.mode, self.old_mode)


class AddedLine(NamedTuple):
    """One added line of the diff, its number that of the new side."""

    path: str
    number: int
    text: str


def shown_path(path: str) -> str:
    """A path as text that every encoder takes: foreign bytes become ``\\xNN``."""
    return _FOREIGN.sub(_escaped, path)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
