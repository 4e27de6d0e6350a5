"""A door, a mirror and a worktree of a plain repository, all in the test's own folder."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.git.commit import CommitText
from runner.git.door import GitDoor
from runner.git.mirror import Mirror

DATE = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def door(tmp_path: Path) -> GitDoor:
    return GitDoor(tmp_path / "git")


@pytest.fixture
def mirror(door: GitDoor, tmp_path: Path) -> Mirror:
    return Mirror(door, tmp_path / "mirrors" / "harbour.git")


@pytest.fixture
def text() -> CommitText:
    return CommitText("T1: change", DATE, {"Cockpit-Run": "r-4T9K2QX0ZB"})
