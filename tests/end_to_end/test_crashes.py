"""kill -9 at six transitions with real parts: it goes on, and nothing that went out is doubled."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.real_cli]
POINTS = [
    ("code", "act"),
    ("code", "outcome"),
    ("evidence", "outcome"),
    ("validate", "outcome"),
    ("push", "outcome"),
    ("pull_request", "outcome"),
]


def run(folder: Path, *point: str) -> subprocess.CompletedProcess[str]:
    """A core in a process of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("COCKPIT_")}
    return subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.crashing", str(folder), *point],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=env,
        cwd=Path(__file__).resolve().parents[2],
    )


def said(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What it printed at its end."""
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def remote_log(folder: Path, *words: str) -> list[str]:
    """Commits of the one branch that was pushed."""
    bare = folder / "data" / "sample" / "remote" / "harbor.git"
    listed = subprocess.run(
        ["git", f"--git-dir={bare}", "log", "--branches=cockpit/*", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


@pytest.mark.parametrize(("step", "point"), POINTS, ids=lambda each: each)
def test_a_killed_mission_ends_as_an_undisturbed_one(tmp_path: Path, step: str, point: str) -> None:
    killed = run(tmp_path, step, point)
    assert killed.returncode == -signal.SIGKILL
    found = said(run(tmp_path))
    result = found["result"]
    assert (found["code"], result["state"], result["decision"]) == (0, "done", "AUTO_MERGE")
    assert set(found["holds"]) <= {"HOLD-CRASH-RECOVERED"}
    assert found["verified"]
    # Nothing twice: one branch, one pull request, each commit once, each call once.
    pulls = tmp_path / "data" / "sample" / "remote" / "forge" / "pulls.json"
    assert len(json.loads(pulls.read_text())) == 1
    assert found["pushes"] == 1
    subjects = [line for line in remote_log(tmp_path, "--format=%s") if line == "T3:"]
    assert len(subjects) == 1
    assert len(found["usage"]) == len(set(found["usage"]))
    assert remote_log(tmp_path, "-1", "--format=%H") == [result["head"]]
