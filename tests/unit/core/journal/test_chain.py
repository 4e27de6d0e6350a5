"""Verification finds every edited, removed, swapped, added or cut-off event; it names the first."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.journal.chain import GENESIS, ChainReport, StoredEvent, canonical, digest
from core.journal.envelope import Event
from core.journal.interfaces import Append
from tests.journals import Counted, Stopped, count, counters

EVENTS = 12
TEXTS = ("id", "stream", "kind", "at", "actor", "payload", "prev_hash", "hash")
NUMBERS = ("version", "payload_version", "append_size")
KEYS = ("causation_id", "correlation_id", "idempotency_key")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of a dozen events, closed."""
    path = tmp_path_factory.mktemp("sound") / "journal.db"
    with counters(path) as journal:
        count(journal, "counter:a", 1, 2, 3, idempotency_key="k", correlation_id="c")
        both: dict[str, list[Event]] = {
            "counter:b": [Counted(by=5, note="五")] * 4,
            "counter:a": [Stopped()],
        }
        journal.append_all(Append(both, "harness", {}, causation_id="why")).result(10)
        count(journal, "counter:c", 1, 1, 1, 1)
        assert journal.verify() == ChainReport(EVENTS, EVENTS)
    return path


def _tampered(sound: Path, *statements: tuple[str, tuple[object, ...]]) -> ChainReport:
    """What verification says of a copy after someone's statements."""
    path = sound.with_name("tampered.db")
    shutil.copy(sound, path)
    with closing(sqlite3.connect(path)) as connection:
        for sql, values in statements:
            connection.execute(sql, values)
        connection.commit()
    with counters(path) as journal:
        return journal.verify()


_quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.slow
@_quick
@given(
    seq=st.integers(1, EVENTS),
    column=st.sampled_from((*TEXTS, *NUMBERS, *KEYS)),
    blob=st.booleans(),
)
def test_one_edited_cell_is_found_where_it_is(
    sound: Path, seq: int, column: str, blob: bool
) -> None:
    if column in NUMBERS:
        value = f"coalesce({column}, 0) + 100"
    else:
        value = f"coalesce({column}, '') || 'x'"
        value = f"CAST({value} AS BLOB)" if blob else value
    report = _tampered(sound, (f"UPDATE event SET {column} = {value} WHERE seq = ?", (seq,)))
    assert not report.ok
    assert report.damage is not None
    assert report.damage.seq == seq
    assert report.events == seq - 1


@pytest.mark.slow
@_quick
@given(seq=st.integers(1, EVENTS), at=st.integers(0, 200), flip=st.integers(1, 255))
def test_one_changed_byte_of_a_payload_is_found(sound: Path, seq: int, at: int, flip: int) -> None:
    with closing(sqlite3.connect(sound)) as connection:
        (text,) = connection.execute("SELECT payload FROM event WHERE seq = ?", (seq,)).fetchone()
    content = bytearray(text.encode())
    content[at % len(content)] ^= flip
    report = _tampered(
        sound,
        ("UPDATE event SET payload = CAST(? AS TEXT) WHERE seq = ?", (bytes(content), seq)),
    )
    assert report.damage is not None
    assert (report.damage.seq, report.damage.what) == (seq, "edited")


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_a_removed_event_is_found(sound: Path, seq: int) -> None:
    report = _tampered(sound, ("DELETE FROM event WHERE seq = ?", (seq,)))
    assert report.damage is not None
    wanted = "truncated" if seq == EVENTS else "missing"
    assert (report.damage.seq, report.damage.what) == (seq, wanted)


@pytest.mark.parametrize("seq", range(1, EVENTS))
def test_a_removed_event_is_found_when_the_rest_is_renumbered(sound: Path, seq: int) -> None:
    report = _tampered(
        sound,
        ("DELETE FROM event WHERE seq = ?", (seq,)),
        ("UPDATE event SET seq = -seq WHERE seq > ?", (seq,)),
        ("UPDATE event SET seq = -seq - 1 WHERE seq < 0", ()),
    )
    assert report.damage is not None
    assert report.damage.seq == seq


@pytest.mark.slow
@_quick
@given(pair=st.lists(st.integers(1, EVENTS), min_size=2, max_size=2, unique=True))
def test_two_swapped_events_are_found(sound: Path, pair: list[int]) -> None:
    one, other = sorted(pair)
    report = _tampered(
        sound,
        ("UPDATE event SET seq = -1 WHERE seq = ?", (one,)),
        ("UPDATE event SET seq = ? WHERE seq = ?", (one, other)),
        ("UPDATE event SET seq = ? WHERE seq = -1", (other,)),
    )
    assert report.damage is not None
    assert (report.damage.seq, report.damage.what) == (one, "re-ordered")


@pytest.mark.parametrize("kept", range(EVENTS))
def test_a_cut_off_end_is_found(sound: Path, kept: int) -> None:
    report = _tampered(sound, ("DELETE FROM event WHERE seq > ?", (kept,)))
    assert report.damage is not None
    assert (report.damage.seq, report.damage.what) == (kept + 1, "truncated")
    assert (report.events, report.head) == (kept, EVENTS)


def test_an_added_event_is_found_even_with_a_hash_that_fits(sound: Path) -> None:
    with closing(sqlite3.connect(sound)) as connection:
        connection.row_factory = sqlite3.Row
        last = dict(connection.execute("SELECT * FROM event ORDER BY seq DESC").fetchone())
    made = StoredEvent(**last | {"seq": 13, "id": "forged", "version": 5})
    made = made._replace(prev_hash=last["hash"])
    made = made._replace(hash=digest(made[:12], made.payload.encode(), made.prev_hash))
    names, marks = ", ".join(StoredEvent._fields), ", ".join("?" * len(made))
    report = _tampered(sound, (f"INSERT INTO event ({names}) VALUES ({marks})", tuple(made)))
    assert report.damage is not None
    assert (report.damage.seq, report.damage.what) == (13, "added")


@pytest.mark.parametrize("column", ["seq = seq - 1", "seq = seq + 1", "hash = 'x'"])
def test_a_changed_head_is_found(sound: Path, column: str) -> None:
    assert not _tampered(sound, (f"UPDATE journal_head SET {column}", ())).ok


def test_the_hash_never_changes_its_rules() -> None:
    """Frozen: every journal that was ever written depends on it."""
    fields = (1, "01J", "mission:m", 1, "mission.paused", 1, "2026-03-02T14:05:06.000007Z",
              "operator", None, "c", "k")  # fmt: skip
    old = digest((*fields, None), b"{}", GENESIS)
    new = digest((*fields, 1), b"{}", GENESIS)
    assert old == "f7a550353c5d81c92a2eddcfb3b2f549dbdfdf273e115efc793eb4d3891e2b9b"
    assert new == "4c2892df9147633c29e3df1ae62fee47fe7b9113e4c540e3c9876dc672694f91"


def test_the_canonical_form_is_one_for_one_value() -> None:
    assert canonical({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'.encode()
