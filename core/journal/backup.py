"""A copy of the journal, made while it is in use. It never replaces a file."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from core.errors import Refused
from core.journal.failures import translated
from core.journal.store import connect
from core.private_files import FILE_MODE


def back_up(path: Path, target: Path) -> None:
    """Copy the journal at ``path`` to ``target`` (0600) by SQLite's online backup, durably.

    Raises:
        Refused: ``BACKUP_NOT_MADE`` when ``target`` exists or its folder can't be written.
        Unavailable: no room on the disk; nothing is left of the copy.
    """
    try:
        handle = os.open(
            target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE
        )
    except OSError as error:
        raise Refused(
            "BACKUP_NOT_MADE",
            f"The copy {target} can't be made: {error.strerror}.",
            recovery="Choose a name that is free, in a folder of your own.",
            data={"file": str(target)},
        ) from error
    try:
        _copy(path, target)
        os.fsync(handle)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise translated(error) from error
    finally:
        os.close(handle)


def _copy(path: Path, target: Path) -> None:
    with closing(connect(path, "ro")) as source, closing(connect(target, "rw")) as copy:
        source.backup(copy)
        # One file that stands alone, with no WAL beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
