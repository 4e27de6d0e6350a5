"""A projection's statements as the driver wants them: compiled once, then run by their text.

SQLAlchemy's own way costs 30–60 µs a statement; a rebuild runs millions of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from sqlalchemy import BindParameter, Connection, Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from core.journal.interfaces import Write
from core.journal.store import driver

_MOST = 512  # statements
_BATCH = 500  # rows
# A statement, which is equal to itself alone, and the names of its parameters.
_Shape = tuple[Executable, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where the value of one mark of a statement comes from: ``params[key]``, or ``value``."""

    key: str | None
    value: Any
    process: Callable[[Any], Any] | None


class _Prepared:
    """One compiled statement."""

    __slots__ = ("_marks", "_plain", "text")

    def __init__(self, text: str, marks: Sequence[_Mark]):
        self.text = text
        self._marks = marks
        keys = [mark.key for mark in marks if mark.key is not None and mark.process is None]
        self._plain = keys if len(keys) == len(marks) else None

    def row(self, params: dict[str, Any]) -> list[Any]:
        """The values in the order of the statement's marks."""
        if self._plain is not None:
            return [params[key] for key in self._plain]
        row = []
        for mark in self._marks:
            value = mark.value if mark.key is None else params[mark.key]
            row.append(value if mark.process is None else mark.process(value))
        return row


class Statements:
    """The prepared statements of a journal's projections. One thread uses it."""

    def __init__(self) -> None:
        """Nothing is prepared yet."""
        self._known: dict[_Shape, _Prepared | None] = {}

    def apply(self, connection: Connection, writes: Iterable[Write]) -> None:
        """Run statements in order; equal ones that follow each other go together.

        ``writes`` is drawn one by one and never held, however long it is.
        """
        with closing(driver(connection).cursor()) as cursor:
            for (statement, keys), alike in groupby(writes, _shape):
                prepared = self._prepared(connection, statement, keys)
                if prepared is None:
                    _by_sqlalchemy(connection, statement, alike)
                else:
                    row = prepared.row
                    cursor.executemany(prepared.text, (row(params) for _, params in alike))

    def _prepared(
        self, connection: Connection, statement: Executable, keys: tuple[str, ...]
    ) -> _Prepared | None:
        shape = (statement, keys)
        if shape in self._known:
            return self._known[shape]
        if len(self._known) >= _MOST:  # a projection that makes its statements anew each time
            return None
        found = self._known[shape] = _prepare(statement, keys, connection.dialect)
        return found


def _shape(write: Write) -> _Shape:
    return write[0], tuple(write[1])


def _by_sqlalchemy(connection: Connection, statement: Executable, alike: Iterator[Write]) -> None:
    while some := [params for _, params in islice(alike, _BATCH)]:
        connection.execute(statement, some)


def _prepare(statement: Executable, keys: Sequence[str], dialect: Dialect) -> _Prepared | None:
    """The prepared statement, or None for one that only SQLAlchemy can run."""
    compiled = statement.compile(  # type: ignore[attr-defined]
        dialect=dialect, column_keys=list(keys), for_executemany=True
    )
    if not isinstance(compiled, SQLCompiler) or compiled.positiontup is None:
        return None
    if compiled.insert_prefetch or compiled.update_prefetch:
        return None  # values that SQLAlchemy makes itself for each row
    if any(bind.expanding for bind in compiled.binds.values()):
        return None
    marks = [_mark(compiled.binds[name], name, keys, dialect) for name in compiled.positiontup]
    return None if None in marks else _Prepared(str(compiled), [m for m in marks if m])


def _mark(
    bind: BindParameter[Any], name: str, keys: Sequence[str], dialect: Dialect
) -> _Mark | None:
    process = bind.type.dialect_impl(dialect).bind_processor(dialect)
    for key in (bind.key, name):
        if key in keys:
            return _Mark(key, None, process)
    if bind.required or bind.callable is not None:
        return None
    return _Mark(None, bind.value, process)
