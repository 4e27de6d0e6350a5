"""Where the journal is stored: SQLite in WAL with ``synchronous=FULL``, files of mode 0600."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import QueuePool

from core.errors import Refused

SCHEMA = 1
_METADATA = MetaData()

EVENT = Table(
    "event",
    _METADATA,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("stream", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("payload_version", Integer, nullable=False),
    Column("at", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("causation_id", String),
    Column("correlation_id", String),
    Column("idempotency_key", String, unique=True),
    Column("payload", Text, nullable=False),
    Column("prev_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    UniqueConstraint("stream", "version"),
)
HEAD = Table(
    "journal_head",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("hash", String, nullable=False),
)
META = Table(
    "journal_meta",
    _METADATA,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)


def stored_tables() -> MetaData:
    """The tables that hold the truth; read tables are not among them."""
    return _METADATA


class Store:
    """One SQLite file and two ways in: one connection that writes, many that only read."""

    def __init__(self, path: Path):
        """Open or create ``path``; a file that is no journal is refused and left alone.

        Raises:
            Refused: ``JOURNAL_NOT_READABLE``.
        """
        self.path = path
        _make_private(path)
        self._writing = _engine(path, "BEGIN IMMEDIATE")
        self._reading = _engine(path, "BEGIN")
        try:
            with self.writing() as connection:
                _METADATA.create_all(connection)
        except DatabaseError as error:
            self.close()
            raise Refused(
                "JOURNAL_NOT_READABLE",
                f"{path.name} is no journal, or it is damaged: {error.orig}.",
                recovery="Restore it from a backup; nothing was changed.",
                data={"file": str(path)},
            ) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its first moment."""
        with self._writing.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A snapshot that can't write."""
        with self._reading.connect() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._writing.dispose()
        self._reading.dispose()


def _make_private(path: Path) -> None:
    """Create the file 0600 before SQLite does; its WAL and shared memory take the same mode."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.close(handle)


def _engine(path: Path, begin: str) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        pool_size=4,
        max_overflow=16,
        connect_args={"check_same_thread": False, "timeout": 30.0},
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
