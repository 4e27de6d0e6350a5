"""Removes folders that a coder could write: no link is followed, no depth or mode stops it."""

import os
import stat
from contextlib import suppress
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_folder(folder: Path) -> None:
    """Remove ``folder`` and all below it; nothing if it is absent. Repeatable after a crash.

    Folders are first drawn up to the top one by one, so that neither recursion, open files nor the
    length of a path limit what can be removed.

    Raises:
        OSError: something belongs to another user, or the disk fails.
    """
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        folder.unlink()
        return
    if found.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        folder.chmod(stat.S_IRWXU)
    top = os.open(folder, _FLAGS)
    try:
        _empty(top)
    finally:
        os.close(top)
    folder.rmdir()


def _empty(top: int) -> None:
    number = 0
    waiting = _clear(top)
    while waiting:
        name = waiting.pop()
        handle = _open(name, top)
        try:
            for inner in _clear(handle):
                number += 1
                drawn = _free_name(top, number)
                _make_movable(inner, handle)
                os.rename(inner, drawn, src_dir_fd=handle, dst_dir_fd=top)
                waiting.append(drawn)
        finally:
            os.close(handle)
        os.rmdir(name, dir_fd=top)


def _clear(handle: int) -> list[str]:
    """Unlink everything in a folder that is no folder; the names of the folders in it."""
    folders = []
    with os.scandir(handle) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if is_folder:
            folders.append(name)
        else:
            os.unlink(name, dir_fd=handle)
    return folders


def _open(name: str, top: int) -> int:
    _make_movable(name, top)
    return os.open(name, _FLAGS, dir_fd=top)


def _make_movable(name: str, parent: int) -> None:
    mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode) and stat.S_IMODE(mode) & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(NotImplementedError):
            os.chmod(name, stat.S_IRWXU, dir_fd=parent)


def _free_name(top: int, number: int) -> str:
    name = f".removed-{os.getpid()}-{number}"
    while True:
        try:
            os.stat(name, dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            return name
        name += "-"
