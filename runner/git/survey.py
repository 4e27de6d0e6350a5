"""Looks at what a coder left in a worktree: names and kinds by ``lstat``, nothing is opened.

Git is asked only which names are ignored. The answer says what may be committed and what may not.
"""

import asyncio
import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import Unavailable
from core.judgement.changes import GITLINK_MODE, shown_path
from runner.git.door import GitDoor, Leave, Site

FILE_LIMIT = 1024 * 1024 * 1024
_MOST_ENTRIES = 2_000_000
_MOST_FINDINGS = 200
_ODD_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_READ_BY_GIT = (b".gitignore", b".gitattributes", b".gitmodules")
_ASIDE = b".cockpit-aside"
_CHECK = Leave(variables={"GIT_LITERAL_PATHSPECS": "0"})
Finding = Mapping[str, Any]


@dataclass(slots=True)
class Survey:
    """What a worktree holds, by names relative to its top.

    Attributes:
        present: regular files and symlinks that may be committed.
        gone: tracked names that are no longer there as a file, link or submodule folder.
        ignored: names that ``.gitignore`` keeps out; folders end with a slash.
        kept: tracked names that could not be looked at; they stay as they were.
    """

    present: set[bytes] = field(default_factory=set)
    gone: set[bytes] = field(default_factory=set)
    ignored: list[bytes] = field(default_factory=list)
    kept: set[bytes] = field(default_factory=set)
    noted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def note(self, kind: str, path: bytes, **facts: Any) -> None:
        """Remember a finding."""
        entry = {"kind": kind, "path": shown_path(os.fsdecode(path)), **facts}
        self.noted.setdefault(kind, []).append(entry)

    def findings(self) -> tuple[Finding, ...]:
        """The findings by kind; of very many of a kind the first, and how many more there are."""
        found: list[Finding] = []
        for kind, entries in sorted(self.noted.items()):
            entries.sort(key=lambda entry: str(entry["path"]))
            found += entries[:_MOST_FINDINGS]
            if len(entries) > _MOST_FINDINGS:
                found.append({"kind": kind, "path": "", "more": len(entries) - _MOST_FINDINGS})
        return tuple(found)


@dataclass(slots=True)
class _Layer:
    """What one level of folders holds: files and links, and folders to go on with."""

    files: list[bytes] = field(default_factory=list)
    folders: list[bytes] = field(default_factory=list)


async def survey(door: GitDoor, site: Site, tracked: Mapping[bytes, str]) -> Survey:
    """Walk the worktree level by level.

    Args:
        tracked: names and modes of the commit that it started from.

    Raises:
        GitFailed: git could not say what is ignored.
        Unavailable: ``HOLD-EVIDENCE-INCOMPLETE``, there are too many files.
    """
    assert site.work_tree is not None
    found = Survey()
    walk = _Walk(site.work_tree, tracked, found)
    folders = [b""]
    hidden: set[bytes] = set()
    while folders:
        layer = await asyncio.to_thread(walk.scan, folders)
        asked = [*(name for name in layer.files if name not in tracked), *layer.folders]
        ignored = await _ignored(door, site, asked)
        found.present.update(name for name in layer.files if name not in ignored)
        hidden.update(name for name in layer.folders if name in ignored)
        found.ignored += [name for name in layer.files if name in ignored]
        folders = [name for name in layer.folders if name not in ignored]
    found.ignored += [name + b"/" for name in hidden]
    for name in sorted(found.ignored):
        found.note("ignored", name)
    await asyncio.to_thread(walk.settle, hidden)
    return found


async def ignored_names(door: GitDoor, site: Site) -> tuple[str, ...]:
    """What ``.gitignore`` keeps out of a worktree; folders end with a slash."""
    found = await survey(door, site, {})
    return tuple(sorted(os.fsdecode(name) for name in found.ignored))


async def _ignored(door: GitDoor, site: Site, names: Sequence[bytes]) -> set[bytes]:
    if not names:
        return set()
    asked = b"".join(b"./" + name + b"\0" for name in names)
    args = ["check-ignore", "--no-index", "-z", "--stdin"]
    output = await door.run(args, site, stdin=asked, ok=(0, 1), leave=_CHECK)
    return {name.removeprefix(b"./") for name in output.stdout.split(b"\0")[:-1]}


class _Walk:
    """The part that touches the file system, on a thread."""

    def __init__(self, root: Path, tracked: Mapping[bytes, str], found: Survey):
        self._root = root
        self._tracked = tracked
        self._found = found
        self._count = 0
        self._real: dict[bytes, bool] = {b"": True}

    def scan(self, folders: Iterable[bytes]) -> _Layer:
        """One level: what lies directly in ``folders``."""
        layer = _Layer()
        for folder in folders:
            for name, entry in self._list(folder):
                self._sort(name, entry, layer)
        return layer

    def settle(self, hidden: set[bytes]) -> None:
        """Find tracked names in ignored folders, and those that are gone."""
        found = self._found
        for name, mode in self._tracked.items():
            if name in found.present or name in found.kept:
                continue
            if mode == GITLINK_MODE:
                if not self._is_real_folder(name):
                    found.gone.add(name)
            elif not (_is_below(name, hidden) and self._is_there(name)):
                found.gone.add(name)

    def _at(self, name: bytes) -> Path:
        return self._root / os.fsdecode(name) if name else self._root

    def _list(self, folder: bytes) -> list[tuple[bytes, os.stat_result]]:
        try:
            with os.scandir(_readable_folder(self._at(folder))) as entries:
                names = [(entry.name, entry) for entry in entries]
        except OSError as error:
            self._unreadable(folder, error)
            return []
        self._count += len(names)
        if self._count > _MOST_ENTRIES:
            raise Unavailable(
                "HOLD-EVIDENCE-INCOMPLETE",
                f"The worktree holds more than {_MOST_ENTRIES} files.",
                recovery="Remove what does not belong there, then retry.",
            )
        listed = []
        for name, entry in names:
            full = folder + b"/" + name if folder else name
            try:
                listed.append((full, entry.stat(follow_symlinks=False)))
            except OSError as error:
                self._unreadable(full, error)
        return listed

    def _unreadable(self, name: bytes, error: OSError) -> None:
        self._found.note("unreadable", name, error=error.strerror or "")
        self._found.kept.update(
            each for each in self._tracked if each == name or each.startswith(name + b"/")
        )

    def _sort(self, name: bytes, entry: os.stat_result, layer: _Layer) -> None:
        last = name.rpartition(b"/")[2]
        if name == b".git":
            return
        if is_git_name(last):
            self._found.note("nested_repository", name)
        elif stat.S_ISDIR(entry.st_mode):
            self._folder(name, layer)
        elif stat.S_ISLNK(entry.st_mode):
            layer.files.append(name)
        elif stat.S_ISREG(entry.st_mode):
            self._file(name, entry, layer)
        else:
            self._special(name, last, entry.st_mode)

    def _folder(self, name: bytes, layer: _Layer) -> None:
        if self._tracked.get(name) != GITLINK_MODE:
            layer.folders.append(name)
            return
        with suppress(OSError), os.scandir(self._at(name)) as entries:
            if next(entries, None) is not None:
                self._found.note("submodule_content", name)

    def _file(self, name: bytes, entry: os.stat_result, layer: _Layer) -> None:
        if entry.st_mode & _ODD_BITS:
            self._found.note("special_mode", name, mode=f"{stat.S_IMODE(entry.st_mode):04o}")
        if entry.st_size > FILE_LIMIT:
            self._found.note("too_large", name, size=entry.st_size)
            if name in self._tracked:
                self._found.kept.add(name)
            return
        if not entry.st_mode & stat.S_IRUSR:
            try:
                self._at(name).chmod(stat.S_IMODE(entry.st_mode) | 0o600)
            except OSError as error:
                self._unreadable(name, error)
                return
        layer.files.append(name)

    def _special(self, name: bytes, last: bytes, mode: int) -> None:
        self._found.note("special_file", name.removesuffix(_ASIDE), type=_type(mode))
        if last.lower() in _READ_BY_GIT:
            # Git would open it and wait for ever.
            self._at(name).rename(self._at(name + _ASIDE))

    def _is_there(self, name: bytes) -> bool:
        folder = name.rpartition(b"/")[0]
        if not self._is_real_folder(folder):
            return False
        try:
            mode = self._at(name).lstat().st_mode
        except OSError:
            return False
        if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            self._clear_way(folder)
            self._found.present.add(name)
            return True
        return False

    def _clear_way(self, folder: bytes) -> None:
        for special in _READ_BY_GIT:
            name = folder + b"/" + special if folder else special
            with suppress(OSError):
                mode = self._at(name).lstat().st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
                    self._special(name, special, mode)

    def _is_real_folder(self, folder: bytes) -> bool:
        if folder not in self._real:
            parent = folder.rpartition(b"/")[0]
            real = self._is_real_folder(parent)
            if real:
                try:
                    mode = self._at(folder).lstat().st_mode
                    real = stat.S_ISDIR(mode)
                except OSError:
                    real = False
            self._real[folder] = real
        return self._real[folder]


def _readable_folder(path: Path) -> bytes:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & 0o500 != 0o500:
        path.chmod(stat.S_IMODE(mode) | 0o700)
    return os.fsencode(path)


def _is_below(name: bytes, folders: set[bytes]) -> bool:
    parent = name.rpartition(b"/")[0]
    while parent:
        if parent in folders:
            return True
        parent = parent.rpartition(b"/")[0]
    return False


def _type(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "fifo"
    if stat.S_ISSOCK(mode):
        return "socket"
    return "device"


def is_git_name(name: bytes) -> bool:
    """Whether a file system that folds case or Unicode, or Windows, might open ``.git`` for it."""
    text = name.decode("utf-8", "surrogateescape")
    visible = "".join(char for char in text if unicodedata.category(char) != "Cf").lower()
    plain = visible.partition(":")[0].rstrip(" .")
    return plain in (".git", "git~1")


def check_top(worktree: Path, expected: str, found: Survey) -> None:
    """Note a top ``.git`` that is not the file we wrote; it is never used, whatever it is."""
    path = worktree / ".git"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        found.note("git_replaced", b".git")
        return
    try:
        same = stat.S_ISREG(os.fstat(handle).st_mode) and (
            os.read(handle, len(expected) + 64) == os.fsencode(expected)
        )
    finally:
        os.close(handle)
    if not same:
        found.note("git_replaced", b".git")
