"""What a failure of the store means to those who asked, and the one place where bugs are caught."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from core.errors import Broken, CockpitError, Unavailable

_T = TypeVar("_T")
# The base code is the lower byte of SQLite's extended result code.
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def caught(work: Callable[[], _T]) -> _T | CockpitError:
    """The result of ``work``, or why there is none.

    The writer's thread serves everyone: whatever an aggregate, a projection or a subscriber does
    wrong fails the one who asked, and never the thread.
    """
    try:
        return work()
    except CockpitError as error:
        return error
    except Exception as error:  # noqa: BLE001 - named place: see above
        failure = translated(error)
        failure.__cause__ = error
        return failure


def translated(error: Exception) -> CockpitError:
    """A failure of the store in the house's words (architecture.md, "Rules of the house")."""
    if isinstance(error, CockpitError):
        return error
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorcode", 0) & 0xFF
    if code in _NO_ROOM:
        return Unavailable(
            "HOLD-DISK-SPACE",
            f"The journal's disk has no room or fails ({original}); nothing was recorded.",
            recovery="Free space, then try again.",
        )
    if code in _BUSY:
        return Unavailable(
            "JOURNAL_BUSY",
            "Another program holds the journal's file; nothing was recorded.",
            recovery="Close what has the file open, then try again.",
        )
    return Broken(f"The journal failed: {type(error).__name__}: {original}")
