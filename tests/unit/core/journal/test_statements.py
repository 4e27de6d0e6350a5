"""A prepared statement does what SQLAlchemy would have done with it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    Executable,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    bindparam,
    create_engine,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from core.journal.interfaces import Write
from core.journal.statements import Statements

META = MetaData()
THING = Table(
    "thing",
    META,
    Column("id", Integer, primary_key=True),
    Column("name", String),
    Column("at", DateTime),
    Column("good", Boolean),
    Column("facts", JSON),
    Column("raw", LargeBinary),
    Column("price", Numeric(10, 2)),
)
STAMPED = Table(
    "stamped",
    META,
    Column("id", Integer, primary_key=True),
    Column("made", String, default=lambda: "by SQLAlchemy", onupdate=lambda: "again"),
)
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
FULL = {
    "id": 1,
    "name": "one",
    "at": AT,
    "good": True,
    "facts": {"a": [1, None, "ü"]},
    "raw": b"\0\xff",
    "price": Decimal("1.50"),
}
_put = upsert(THING)
PUT = _put.on_conflict_do_update(index_elements=["id"], set_={"name": _put.excluded.name})
ADD = insert(THING)


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[list[Connection]]:
    """Two databases with the same tables: for the prepared way, and for SQLAlchemy's own."""
    engines = [create_engine(f"sqlite:///{tmp_path / name}.db") for name in ("ours", "theirs")]
    opened = [engine.connect() for engine in engines]
    for connection in opened:
        META.create_all(connection)
    yield opened
    for connection, engine in zip(opened, engines, strict=True):
        connection.close()
        engine.dispose()


def _rows(connection: Connection) -> list[list[tuple[Any, ...]]]:
    return [[tuple(r) for r in connection.execute(t.select())] for t in (THING, STAMPED)]


CASES: dict[str, list[Write]] = {
    "every type": [(ADD, FULL), (ADD, {**FULL, "id": 2, "at": None, "good": None, "facts": None})],
    "fewer columns": [(ADD, {"id": 1, "name": "x"}), (ADD, {"id": 2}), (ADD, {"name": "auto"})],
    "other order of names": [(ADD, {"id": 1, "name": "x"}), (ADD, {"name": "y", "id": 2})],
    "upsert": [(PUT, FULL), (PUT, {**FULL, "name": "two"}), (PUT, {**FULL, "id": 5})],
    "update by other names": [
        (ADD, FULL),
        (
            update(THING)
            .where(THING.c.id == bindparam("which"))
            .values(name=bindparam("word"), at=bindparam("moment")),
            {"which": 1, "word": "new", "moment": AT},
        ),
    ],
    "values in the statement": [
        (ADD, FULL),
        (update(THING).where(THING.c.good.is_(True)).values(name="fixed", facts={"x": 1}), {}),
    ],
    "a value that may be given": [
        (ADD, FULL),
        (delete(THING).where(THING.c.name == bindparam("n", "one")), {"n": "other"}),
    ],
    "one that is not given": [
        (ADD, FULL),
        (delete(THING).where(THING.c.name == bindparam("n", "one")), {}),
    ],
    "a list of values": [
        (ADD, FULL),
        (ADD, {**FULL, "id": 2}),
        (delete(THING).where(THING.c.id.in_([1, 3])), {}),
    ],
    "a default that SQLAlchemy makes": [
        (insert(STAMPED), {"id": 1}),
        (insert(STAMPED), {"id": 2}),
        (update(STAMPED).where(STAMPED.c.id == bindparam("of")), {"of": 1}),
    ],
    "text": [(text("INSERT INTO thing (id, name) VALUES (:id, :name)"), {"id": 7, "name": "t"})],
    "from a query": [
        (ADD, FULL),
        (
            insert(THING).from_select(
                ["id", "name"], select(func.max(THING.c.id) + 1, bindparam("n", type_=String))
            ),
            {"n": "copied"},
        ),
    ],
    "in order": [(ADD, FULL), (delete(THING), {}), (ADD, FULL), (PUT, {**FULL, "name": "last"})],
}


@pytest.mark.parametrize("writes", CASES.values(), ids=CASES.keys())
def test_it_writes_what_sqlalchemy_would(
    connections: list[Connection], writes: list[Write]
) -> None:
    ours, theirs = connections
    statements = Statements()
    statements.apply(ours, iter(writes))
    for statement, params in writes:
        theirs.execute(statement, params)
    assert _rows(ours) == _rows(theirs)


def test_a_value_that_is_missing_is_an_error(connections: list[Connection]) -> None:
    wanted: Executable = delete(THING).where(THING.c.id == bindparam("of"))
    with pytest.raises(Exception, match="of"):
        Statements().apply(connections[0], [(wanted, {})])


def test_statements_made_anew_each_time_are_run_and_not_hoarded(
    connections: list[Connection],
) -> None:
    statements = Statements()
    statements.apply(connections[0], ((insert(THING), {"id": n}) for n in range(1, 1_501)))
    assert len(_rows(connections[0])[0]) == 1_500
    assert len(statements._known) <= 512


def test_writes_are_drawn_one_by_one(connections: list[Connection]) -> None:
    """A rebuild of any length holds one row at a time."""
    connection = connections[0]
    behind = []

    def drawn() -> Iterator[Write]:
        for n in range(1, 50):
            yield ADD, {"id": n}
            found = connection.connection.cursor().execute("SELECT max(id) FROM thing").fetchone()
            behind.append(n - (found[0] or 0))

    Statements().apply(connection, drawn())
    assert max(behind) <= 1
