"""Reads branches out of a bare repository's files, without git. It writes nothing."""

import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# Stricter than git: no part may begin with a dot, so no name leads out of the folder.
_BRANCH = re.compile(
    r"(?:[A-Za-z0-9_@+=,#-][A-Za-z0-9_.@+=,#-]*)(?:/[A-Za-z0-9_@+=,#-][\w.@+=,#-]*)*"
)
_LONGEST = 200
_MOST = 8 << 20


def commit_of(folder: Path, branch: str) -> str | None:
    """The commit of ``branch``, or None when there is no such branch."""
    if len(branch) > _LONGEST or not _BRANCH.fullmatch(branch):
        return None
    loose = folder / "refs" / "heads" / branch
    if loose.is_file():
        return _commit(_read(loose).strip())
    wanted = f"refs/heads/{branch}"
    for line in _read(folder / "packed-refs").splitlines():
        sha, _, name = line.partition(" ")
        if name == wanted:
            return _commit(sha)
    return None


def default_branch(folder: Path) -> str:
    """The branch that HEAD names; ``main`` when it names none."""
    return _read(folder / "HEAD").strip().partition("ref: refs/heads/")[2] or "main"


def _commit(text: str) -> str | None:
    return text if _COMMIT.fullmatch(text) else None


def _read(file: Path) -> str:
    try:
        with file.open("rb") as source:
            return source.read(_MOST).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
