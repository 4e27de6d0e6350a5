"""A journal of counters for each test, closed afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.journal.journal import Journal
from tests.journals import counters


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's journal is."""
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """An open journal of counters with the projection ``Totals``."""
    with counters(path) as opened:
        yield opened
