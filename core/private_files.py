"""Files and folders that belong to the operator alone: made owner-only, replaced in one step.

It decides nothing about their content. Whatever another user could have written is refused.
"""

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import Invalid, Refused

FOLDER_MODE = 0o700
FILE_MODE = 0o600
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_folder(folder: Path) -> None:
    """Refuse a folder that another user owns or may write, or that is a symbolic link's trick.

    Raises:
        Refused: ``FOLDER_NOT_PRIVATE``, naming the folder and the fix.
    """
    try:
        found = folder.lstat()
    except OSError as error:
        raise _not_private(folder, f"cannot be read ({error.strerror})") from None
    if stat.S_ISLNK(found.st_mode):
        raise _not_private(folder, "is a symbolic link")
    if not stat.S_ISDIR(found.st_mode):
        raise _not_private(folder, "is not a folder")
    if found.st_uid != os.getuid():
        raise _not_private(folder, "belongs to another user")
    if found.st_mode & _OTHERS_WRITE:
        raise _not_private(folder, "can be written by other users")


def _not_private(folder: Path, what: str) -> Refused:
    return Refused(
        "FOLDER_NOT_PRIVATE",
        f"The folder {folder} {what}.",
        recovery=f"Own it and close it: chown $USER {folder} && chmod 700 {folder}",
        data={"folder": str(folder)},
    )


def make_folder(folder: Path) -> None:
    """Make ``folder`` (and its parents) 0700, or check and close the one that is there.

    Raises:
        Refused: ``FOLDER_NOT_PRIVATE`` or ``FOLDER_NOT_MADE``.
    """
    try:
        _make_missing(folder)
    except OSError as error:
        raise Refused(
            "FOLDER_NOT_MADE",
            f"The folder {folder} cannot be made: {error.strerror}.",
            recovery="Choose another place with COCKPIT_HOME, or repair the folder above it.",
            data={"folder": str(folder)},
        ) from None
    check_folder(folder)
    if stat.S_IMODE(folder.lstat().st_mode) != FOLDER_MODE:
        folder.chmod(FOLDER_MODE)


def _make_missing(folder: Path) -> None:
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=FOLDER_MODE, exist_ok=True)


def read_private(path: Path, *, field: str, limit: int, closed: int = _OTHERS_WRITE) -> bytes:
    """The content of a regular file that only its owner could have written.

    Args:
        field: what the file is called in an error.
        limit: most bytes accepted.
        closed: permission bits that must be off.

    Raises:
        FileNotFoundError: there is no such file.
        Invalid: it is a link, no regular file, another user's, too open or too large.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise
        raise _bad_file(path, field, f"cannot be opened ({error.strerror})") from None
    try:
        _check_file(path, field, os.fstat(handle), closed)
    except Invalid:
        os.close(handle)
        raise
    with os.fdopen(handle, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise _bad_file(path, field, f"is larger than {limit} bytes")
    return content


def _check_file(path: Path, field: str, found: os.stat_result, closed: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _bad_file(path, field, "is not a regular file")
    if found.st_uid not in (os.getuid(), 0):
        raise _bad_file(path, field, "belongs to another user")
    if found.st_mode & closed:
        raise _bad_file(path, field, "is open to other users")


def _bad_file(path: Path, field: str, what: str) -> Invalid:
    return Invalid(
        field,
        f"The file {path} {what}.",
        recovery=f"Use a regular file of your own: chmod 600 {path}",
        data={"file": str(path)},
    )


def write_private(path: Path, content: bytes) -> None:
    """Replace ``path`` in one step by a 0600 file: a reader sees the old or the new, whole.

    Raises:
        Refused: ``FILE_NOT_WRITTEN``; the old content is still there.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _not_written(path, error) from None
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, FILE_MODE)
            file.write(content)
            file.flush()
            os.fsync(handle)
        new.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _not_written(path, error) from None
    finally:
        new.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> Refused:
    return Refused(
        "FILE_NOT_WRITTEN",
        f"The file {path} cannot be written: {error.strerror}.",
        recovery="Make its folder writable or free some space; nothing was changed.",
        data={"file": str(path)},
    )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Hold a lock file, made 0600, for a read-modify-write of its neighbour across processes.

    Raises:
        Refused: ``FILE_NOT_WRITTEN`` when the lock file cannot be made.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        raise _not_written(path, error) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
