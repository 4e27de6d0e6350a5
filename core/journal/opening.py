"""Looks at a file before it becomes the journal: makes it, refuses it, or brings it up to date.

What is no journal of ours, or one of a newer version, is left exactly as it was.
"""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from sqlalchemy import insert, update
from sqlalchemy.exc import DatabaseError

from core.context import Context
from core.errors import Broken, Refused, Unavailable
from core.journal.backup import back_up
from core.journal.chain import GENESIS
from core.journal.failures import translated
from core.journal.store import HEAD, META, Store, connect, stored_tables
from core.private_files import FILE_MODE

SCHEMA = 2
_OURS = {"event", "journal_head", "journal_meta"}
_MAGIC = b"SQLite format 3\0"
_NONE = 0  # the schema of an empty file, which becomes a new journal


def open_store(path: Path, context: Context) -> Store:
    """The store at ``path``: a new one, ours, or an older one after a backup and its migrations.

    Raises:
        Refused: ``JOURNAL_NOT_READABLE`` for what is no journal, is damaged, or can't be opened;
            ``JOURNAL_TOO_NEW`` for one that a newer version wrote. Nothing was changed.
        Unavailable: no room on the disk, or another program holds the file.
        Broken: a migration failed; the journal is as it was, and its backup is named.
    """
    _make_private(path)
    found = _look(path)
    if found > SCHEMA:
        raise Refused(
            "JOURNAL_TOO_NEW",
            f"This journal was written by a newer version (schema {found}, ours is {SCHEMA}).",
            recovery="Install the newer version; nothing was changed.",
            data={"schema": found, "ours": SCHEMA, "file": str(path)},
        )
    store = Store(path)
    try:
        if found == _NONE:
            _create(store)
        elif found < SCHEMA:
            _migrate(store, found, context)
    except DatabaseError as error:
        store.close()
        raise translated(error) from error
    except BaseException:
        store.close()
        raise
    return store


def _make_private(path: Path) -> None:
    """Create the file 0600 before SQLite does; its WAL and shared memory take the same mode."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(path, flags, FILE_MODE)
    except OSError as error:
        raise _not_readable(path, error.strerror or "it can't be opened") from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise _not_readable(path, "it is no regular file")
        if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) != FILE_MODE:
            os.fchmod(handle, FILE_MODE)
        # SQLite takes a file shorter than its header for an empty one, and writes over it.
        if os.read(handle, len(_MAGIC)) not in (b"", _MAGIC):
            raise _not_readable(path, "it is no SQLite file")
    finally:
        os.close(handle)


def _look(path: Path) -> int:
    try:
        with closing(connect(path, "ro")) as connection:
            return _schema_of(path, connection)
    except sqlite3.OperationalError as error:
        failure = translated(error)
        if isinstance(failure, Unavailable):
            raise failure from error
        raise _not_readable(path, str(error)) from error
    except sqlite3.DatabaseError as error:
        raise _not_readable(path, str(error)) from error


def _schema_of(path: Path, connection: sqlite3.Connection) -> int:
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not names:
        return _NONE
    if "journal_meta" not in names:
        raise _not_readable(path, "it is the database of another program")
    rows = connection.execute("SELECT value FROM journal_meta WHERE name = 'schema'").fetchall()
    value = str(rows[0][0]) if rows else ""
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 1_000_000):
        raise _not_readable(path, "it does not say its schema")
    if int(value) <= SCHEMA:
        _check_complete(path, connection, names)
    return int(value)


def _check_complete(path: Path, connection: sqlite3.Connection, names: set[str]) -> None:
    if not names >= _OURS:
        raise _not_readable(path, "it lacks a table")
    if len(connection.execute("SELECT seq, hash FROM journal_head").fetchall()) != 1:
        raise _not_readable(path, "its head is missing")


def _not_readable(path: Path, why: str) -> Refused:
    return Refused(
        "JOURNAL_NOT_READABLE",
        f"{path.name} is no journal, or it is damaged: {why}.",
        recovery="Restore it from a backup, or choose another data folder; nothing was changed.",
        data={"file": str(path)},
    )


def _create(store: Store) -> None:
    with store.writing() as connection:
        stored_tables().create_all(connection)
        connection.execute(insert(META).values(name="schema", value=str(SCHEMA)))
        connection.execute(insert(HEAD).values(id=1, seq=0, hash=GENESIS))


def _migrate(store: Store, found: int, context: Context) -> None:
    """Bring an older journal to today's schema, after a backup copy (domain.md §2)."""
    copy = store.path.with_name(
        f"{store.path.stem}-schema{found}-{context.ulid(context.now())}.bak"
    )
    back_up(store.path, copy)
    # alembic costs more than a whole start and is needed once in a journal's life.
    from core.journal.migrations import upgrade

    try:
        with store.writing() as connection:
            upgrade(connection, found, SCHEMA)
            stamped = update(META).where(META.c.name == "schema")
            connection.execute(stamped.values(value=str(SCHEMA)))
    except DatabaseError as error:
        failure = translated(error)
        if isinstance(failure, Unavailable):
            raise failure from error
        raise Broken(
            f"The journal could not be brought from schema {found} to {SCHEMA}: {error}",
            data={"backup": str(copy)},
        ) from error
