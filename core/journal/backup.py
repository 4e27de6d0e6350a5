"""A copy of the journal beside it, made while it is in use, before anything changes its schema."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from core.errors import Broken
from core.journal.store import SCHEMA, Store

# Schema number → the statements that lead from the number before to it.
MIGRATIONS: dict[int, tuple[str, ...]] = {}


def back_up(path: Path, target: Path) -> None:
    """Copy the journal at ``path`` to ``target`` (0600) by SQLite's online backup."""
    handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.close(handle)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def migrate(store: Store, found: int) -> None:
    """Bring an older journal to today's schema, after a backup copy (domain.md §2).

    Raises:
        Broken: when a step between is not known.
    """
    missing = [number for number in range(found + 1, SCHEMA + 1) if number not in MIGRATIONS]
    if missing:
        raise Broken(f"No migration leads to schema {missing[0]}.")
    back_up(store.path, store.path.with_name(f"{store.path.stem}-schema{found}.bak"))
    with store.writing() as connection:
        for number in range(found + 1, SCHEMA + 1):
            for statement in MIGRATIONS[number]:
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql(
            "UPDATE journal_meta SET value = ? WHERE name = 'schema'", (str(SCHEMA),)
        )
