"""A rebuild ends with identical rows, is due when a projection changes, and never half happens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from core.context import Context
from core.errors import Broken
from core.journal import tables
from core.journal.journal import Journal
from core.journal.projections import ReadTables
from core.missions.missions import MissionAggregate
from core.planning.sessions import SessionAggregate
from core.repos.registry import RepoAggregate, SystemAggregate
from tests.fakes import FakeHarness
from tests.journals import COUNTERS, STEPS, Counted, Stopped, Totals, count, counters, rows
from tests.missions import Stage, add_repo, mission_until, start

C = "counter:a"


def _dump(journal: Journal) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all read tables, as SQLite holds them."""
    names = [tables.table_of(row).name for row in tables.ROWS]
    with journal.query() as connection:
        return {
            name: [
                tuple(r) for r in connection.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1, 2")
            ]
            for name in names
        }


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("ends", [{}, {"test": "failed"}])
async def test_a_rebuild_of_a_whole_mission_gives_identical_rows(
    tmp_path: Path, ends: dict[str, str]
) -> None:
    stage = Stage(tmp_path)
    stage.harness = FakeHarness(ends)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        await mission_until(core, mission, "mission.decided", "hold.raised")
        await core.desk.call("mission.stop", {"mission": mission})
        await mission_until(core, mission, "mission.cancelled")
    journal = Journal.open(
        stage.folders().journal_file,
        context=Context(),
        aggregates={
            "session": SessionAggregate(),
            "mission": MissionAggregate(),
            "repo": RepoAggregate(),
            "system": SystemAggregate(),
        },
        projections=[ReadTables()],
    )
    try:
        before, head = _dump(journal), journal.head()
        filled = {name for name, found in before.items() if found}
        assert filled >= {"repo", "session", "message", "mission", "task", "stage", "headless_call"}
        report = journal.rebuild()
        assert (report.events, report.tables) == (head, len(tables.ROWS))
        assert _dump(journal) == before
    finally:
        journal.close()


def test_a_rebuild_brings_back_what_someone_changed(journal: Journal) -> None:
    count(journal, C, 1, 2, 3)
    journal.append("counter:b", [Counted(by=4, note="n"), Stopped()], actor="system").result(20)
    before = rows(journal, COUNTERS), rows(journal, STEPS)
    with journal._store.writing() as connection:
        connection.execute(STEPS.delete())
        connection.execute(COUNTERS.update().values(total=99))
    assert journal.rebuild().events == 5
    assert (rows(journal, COUNTERS), rows(journal, STEPS)) == before
    assert count(journal, C, 1)[0].seq == 6


class Changed(Totals):
    """The same projection in its next version, which counts double."""

    version = 2

    def writes(self, envelope: Any, before: Any, after: Any) -> Any:
        for statement, row in super().writes(envelope, before, after):
            yield statement, {**row, "total": row["total"] * 2} if "total" in row else row


def test_a_changed_projection_is_rebuilt_at_opening_and_only_then(path: Path) -> None:
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))

    with counters(path) as journal:
        count(journal, C, 1, 2)
    with counters(path, progress=progress):
        assert told == []
    with counters(path, projections=(Changed(),), progress=progress) as journal:
        assert [row[1] for row in rows(journal, COUNTERS)] == [6]
        assert told[-1] == (2, 2)
    told.clear()
    with counters(path, projections=(Changed(),), progress=progress):
        assert told == []


class Heads:
    """Another projection, which comes later."""

    name = "heads"
    version = 1
    table = Table("test_head", MetaData(), Column("seq", Integer, primary_key=True))
    tables: Sequence[Table] = (table,)

    def writes(self, envelope: Any, before: Any, after: Any) -> Any:
        yield self.table.insert(), {"seq": envelope.seq}


def test_a_projection_that_comes_later_sees_all_events(path: Path) -> None:
    with counters(path) as journal:
        count(journal, C, 1, 2)
        before = rows(journal, STEPS)
    with counters(path, projections=(Totals(), Heads())) as journal:
        assert rows(journal, Heads.table) == [(1,), (2,)]
        assert rows(journal, STEPS) == before
        count(journal, C, 1)
        assert rows(journal, Heads.table) == [(1,), (2,), (3,)]


def test_a_missing_read_table_is_made_again(path: Path) -> None:
    with counters(path) as journal:
        count(journal, C, 1, 2)
        before = rows(journal, STEPS)
        with journal._store.writing() as connection:
            connection.exec_driver_sql("DROP TABLE test_step")
    with counters(path) as journal:
        assert rows(journal, STEPS) == before


class Broke(Totals):
    """A next version with a bug that the third event meets."""

    version = 3

    def writes(self, envelope: Any, before: Any, after: Any) -> Any:
        if envelope.seq == 3:
            raise ZeroDivisionError
        return super().writes(envelope, before, after)


def test_a_rebuild_that_fails_leaves_the_rows_as_they_were(path: Path) -> None:
    with counters(path) as journal:
        count(journal, C, 1, 2, 3, 4)
        before = rows(journal, COUNTERS), rows(journal, STEPS)
    with pytest.raises(Broken):
        counters(path, projections=(Broke(),)).__enter__()
    with counters(path) as journal:
        assert (rows(journal, COUNTERS), rows(journal, STEPS)) == before
        assert count(journal, C, 1)[0].seq == 5


def test_appends_go_on_after_a_rebuild_among_them(journal: Journal) -> None:
    futures = [journal.append(C, [Counted(by=1)], actor="system") for _ in range(50)]
    assert journal.rebuild().events >= 1
    futures += [journal.append(C, [Counted(by=1)], actor="system") for _ in range(50)]
    assert [f.result(20)[0].version for f in futures] == list(range(1, 101))
    assert rows(journal, COUNTERS)[0][1] == 100
