"""What may become the journal: a new file, ours, or an older one; anything else stays as it is."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import op
from sqlalchemy import create_engine, inspect, select

from core.errors import Broken, Refused
from core.journal import migrations, opening
from core.journal.chain import GENESIS, digest
from core.journal.opening import SCHEMA
from core.journal.recording import COLUMNS
from core.journal.store import META, stored_tables
from tests.journals import Count, Counted, count, counters, open_counters

C = "counter:a"


def _schema_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT value FROM journal_meta WHERE name = 'schema'"
        return str(connection.execute(query).fetchone()[0])


def _set_schema(path: Path, number: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE journal_meta SET value = ? WHERE name = 'schema'", (number,))


def _refusal(path: Path) -> Refused:
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(Refused) as refused:
        open_counters(path)
    if path.is_file():
        assert path.read_bytes() == before, "nothing may be overwritten"
    assert refused.value.recovery
    return refused.value


def _make_older(path: Path) -> None:
    """Take schema 2 back out of a journal, as one of schema 1 was written."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE event DROP COLUMN append_size")
    _set_schema(path, 1)


def test_a_new_journal_is_of_todays_schema(path: Path) -> None:
    with counters(path) as journal:
        assert journal.head() == 0
        assert journal.read() == []
        assert journal.verify().ok
    assert _schema_of(path) == str(SCHEMA)


@pytest.mark.parametrize(
    "name", ["with space.db", "50%.db", "what?.db", "a#b.db", "日誌.db", "'.db"]
)
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    with counters(tmp_path / name) as journal:
        count(journal, C, 1)
    assert {each.name for each in tmp_path.iterdir()} == {name}, "and no WAL is left behind"


def test_its_files_are_its_owners_alone(path: Path) -> None:
    old = os.umask(0)
    try:
        with counters(path) as journal:
            count(journal, C, 1)
            modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert modes == dict.fromkeys(("journal.db", "journal.db-wal", "journal.db-shm"), 384)


def test_an_open_mode_is_closed(path: Path) -> None:
    with counters(path):
        pass
    path.chmod(0o644)
    with counters(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_journal_of_a_newer_version_is_refused(path: Path) -> None:
    with counters(path) as journal:
        count(journal, C, 1)
    _set_schema(path, SCHEMA + 1)
    refusal = _refusal(path)
    assert refusal.code == "JOURNAL_TOO_NEW"
    assert refusal.data["schema"] == SCHEMA + 1


def test_one_so_new_that_its_tables_are_others_is_refused_as_that(path: Path) -> None:
    with counters(path):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE journal_head RENAME TO tip")
    _set_schema(path, 99)
    assert _refusal(path).code == "JOURNAL_TOO_NEW"


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be read as one" * 9, b"\0"]
)
def test_what_is_no_database_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert _refusal(path).code == "JOURNAL_NOT_READABLE"


def test_a_damaged_journal_is_left_alone(path: Path) -> None:
    with counters(path) as journal:
        for _ in range(50):
            count(journal, C, 1, 1, 1)
    content = path.read_bytes()
    path.write_bytes(content[:100] + os.urandom(len(content) - 100))
    assert _refusal(path).code == "JOURNAL_NOT_READABLE"


def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    refusal = _refusal(path)
    assert refusal.code == "JOURNAL_NOT_READABLE"
    assert "another program" in refusal.sentence


@pytest.mark.parametrize("schema", ["", "two", "-1", "0", "١", "9" * 30, b"\xff", None])
def test_a_schema_that_is_no_number_is_refused(path: Path, schema: object) -> None:
    with counters(path):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM journal_meta WHERE name = 'schema'")
        if schema is not None:
            connection.execute("INSERT INTO journal_meta VALUES ('schema', ?)", (schema,))
    assert _refusal(path).code == "JOURNAL_NOT_READABLE"


@pytest.mark.parametrize("statement", ["DROP TABLE event", "DELETE FROM journal_head"])
def test_a_journal_that_lost_a_part_is_refused(path: Path, statement: str) -> None:
    with counters(path) as journal:
        count(journal, C, 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    assert _refusal(path).code == "JOURNAL_NOT_READABLE"


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    with counters(tmp_path / "real.db"):
        pass
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    (tmp_path / "folder.db").mkdir()
    os.mkfifo(tmp_path / "fifo.db")
    for name in ("link.db", "folder.db", "fifo.db", "nowhere/journal.db"):
        assert _refusal(tmp_path / name).code == "JOURNAL_NOT_READABLE"


def test_an_older_journal_is_backed_up_and_migrated(path: Path) -> None:
    with counters(path) as journal:
        recorded = count(journal, C, 1, idempotency_key="once") + count(journal, C, 2)
    # Schema 1 hashed no append_size: the same events, chained as it did.
    _rechain_as_schema_1(path)
    _make_older(path)
    with counters(path) as journal:
        assert journal.verify().ok, "hashes stay over what was stored"
        assert journal.state(C) == (2, Count(3))
        again = count(journal, C, 9, idempotency_key="once")
        assert [e.seq for e in again] == [recorded[0].seq]
        assert count(journal, C, 3)[0].seq == 3
        assert journal.verify().ok
    (copy,) = path.parent.glob("journal-schema1-*.bak")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert (_schema_of(copy), _schema_of(path)) == ("1", str(SCHEMA))
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (2,)


def _rechain_as_schema_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        before = GENESIS
        rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM event ORDER BY seq").fetchall()
        for row in rows:
            hash_ = digest((*row[:11], None), row[12].encode(), before)
            connection.execute(
                "UPDATE event SET prev_hash = ?, hash = ? WHERE seq = ?", (before, hash_, row[0])
            )
            before = hash_
        connection.execute("UPDATE journal_head SET hash = ?", (before,))


def test_a_migration_that_fails_leaves_the_journal_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counters(path) as journal:
        count(journal, C, 1)
    _make_older(path)

    def fails() -> None:
        op.execute("DELETE FROM event")
        op.execute("INSERT INTO nowhere VALUES (1)")

    monkeypatch.setitem(migrations.STEPS, 2, fails)
    for _ in range(2):
        with pytest.raises(Broken, match="schema 1 to 2"):
            open_counters(path)
        assert _schema_of(path) == "1"
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM event").fetchone() == (1,)


def test_a_step_that_is_not_known_is_broken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with counters(path):
        pass
    monkeypatch.setattr(opening, "SCHEMA", SCHEMA + 1)
    with pytest.raises(Broken, match=f"schema {SCHEMA + 1}"):
        open_counters(path)


def test_migrated_is_the_same_as_created(tmp_path: Path) -> None:
    migrated = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    created = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    with migrated.begin() as connection:
        migrations.upgrade(connection, 0, SCHEMA)
    with created.begin() as connection:
        stored_tables().create_all(connection)
    shapes = []
    for engine in (migrated, created):
        found = inspect(engine)
        shapes.append(
            {
                table: (
                    [
                        {**column, "type": str(column["type"])}
                        for column in found.get_columns(table)
                    ],
                    found.get_pk_constraint(table),
                    sorted(each["column_names"] for each in found.get_unique_constraints(table)),
                    found.get_indexes(table),
                )
                for table in sorted(found.get_table_names())
            }
        )
        engine.dispose()
    assert shapes[0] == shapes[1]
    assert set(shapes[0]) == {"event", "journal_head", "journal_meta"}
    assert max(migrations.STEPS) == SCHEMA


@pytest.mark.slow
def test_opening_an_up_to_date_journal_imports_no_alembic(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.journals import counters\n"
        f"with counters(Path({str(path)!r})): pass\n"
        "assert not [m for m in sys.modules if m.partition('.')[0] == 'alembic'], 'imported'"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_backup_is_a_whole_journal_and_replaces_nothing(path: Path) -> None:
    target = path.with_name("copy.db")
    with counters(path) as journal:
        count(journal, C, 1, 2, 3)
        journal.back_up(target)
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        journal.append(C, [Counted(by=1)], actor="system").result(10)
        with pytest.raises(Refused) as refused:
            journal.back_up(target)
        assert refused.value.code == "BACKUP_NOT_MADE"
    with counters(target) as copy:
        assert copy.state(C) == (3, Count(6))
        assert copy.verify().ok
        with copy.query() as connection:
            assert connection.execute(select(META.c.value)).first() is not None
