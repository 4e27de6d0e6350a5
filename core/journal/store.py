"""Where the journal is stored: SQLite in WAL with ``synchronous=FULL``, files of mode 0600.

Tables and connections only: what may be written is the writer's affair, and which process owns
the file is settled outside.
"""

import os
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

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
from sqlalchemy.pool import QueuePool

from core.errors import Refused
from core.journal.chain import StoredEvent

BUSY_SECONDS = 30.0
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
    Column("append_size", Integer),
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
STORED = tuple(EVENT.c[name] for name in StoredEvent._fields)
_EVERY = f"SELECT {', '.join(StoredEvent._fields)} FROM event ORDER BY seq"  # noqa: S608 - constants


def stored_tables() -> MetaData:
    """The tables that hold the truth; read tables are not among them."""
    return _METADATA


class Store:
    """One SQLite file and two ways in: one connection that writes, many that only read."""

    def __init__(self, path: Path):
        """Connect to ``path`` when it is first needed; see ``opening.py`` for what it must be."""
        self.path = path
        self._writing = _engine(path, "rw")
        self._reading = _engine(path, "ro")
        self._closed = False

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its first moment."""
        with self._writing.connect() as connection, transaction(connection):
            yield connection

    def writer(self) -> Connection:
        """A connection to keep, for the one writer. The caller closes it."""
        return self._writing.connect()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A snapshot that can't write.

        Raises:
            Refused: ``JOURNAL_CLOSED``.
        """
        if self._closed:
            raise closed()
        with self._reading.connect() as connection:
            yield connection

    @contextmanager
    def raw(self) -> Iterator[sqlite3.Connection]:
        """The driver's snapshot, for reading cells as they are, whatever they hold.

        Raises:
            Refused: ``JOURNAL_CLOSED``.
        """
        if self._closed:
            raise closed()
        with closing(connect(self.path, "ro")) as connection:
            # Text that is no Unicode must come back as text, to be found out by its hash.
            connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
            connection.execute("BEGIN")
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._closed = True
        self._reading.dispose()
        # Last: only one that may write moves the WAL into the file, and the next opening would
        # read what is left of it.
        self._writing.dispose()


def closed() -> Refused:
    """What anyone hears who asks a closed journal."""
    return Refused("JOURNAL_CLOSED", "The journal is closed.", recovery="Open it again.")


def settle(connection: Connection) -> None:
    """Move the WAL into the file, after a transaction that made it large.

    A reader in an old snapshot is not waited for: it keeps the WAL until a later commit.
    """
    raw = driver(connection)
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        raw.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """One transaction on the writing ``connection``: all of it, or nothing.

    By the driver: SQLAlchemy's own costs 70 µs more, and believes a COMMIT that failed to be over
    while SQLite keeps its transaction open.
    """
    raw = driver(connection)
    raw.execute("BEGIN IMMEDIATE")
    try:
        yield
        raw.execute("COMMIT")
    except BaseException:
        raw.rollback()
        raise
    finally:
        if connection.in_transaction():
            connection.rollback()  # what SQLAlchemy began of its own accord; to the driver nothing


def every_event(connection: sqlite3.Connection) -> Generator[StoredEvent, None, None]:
    """All stored events in the order of ``seq``.

    Raises:
        OSError: what comes next can't be read from the file.
    """
    try:
        yield from map(StoredEvent._make, connection.execute(_EVERY))
    except sqlite3.DatabaseError as error:
        raise OSError(str(error)) from error


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """The driver's connection to ``path``, by a URI, so that any file name is one.

    Args:
        mode: ``ro`` or ``rw``; neither makes the file.
    """
    return sqlite3.connect(
        f"file:{quote(os.fspath(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _engine(path: Path, mode: str) -> Engine:
    def connected() -> sqlite3.Connection:
        connection = connect(path, mode)
        if mode == "rw":
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    engine = create_engine(
        "sqlite://", creator=connected, poolclass=QueuePool, pool_size=4, max_overflow=28
    )

    if mode == "ro":

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

    return engine


def driver(connection: Connection) -> Any:
    """The driver's own connection below ``connection``, in the same transaction."""
    return connection.connection.driver_connection
