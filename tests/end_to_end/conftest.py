"""The command line as a person uses it: real processes, a data folder of the test's own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """Its one JSON object."""
        found: dict[str, Any] = json.loads(self.out)
        return found


Cockpit = Callable[..., Ended]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The data folder of this test."""
    return tmp_path / "home"


@pytest.fixture
def cockpit(home: Path) -> Cockpit:
    """Runs ``cockpit`` with these words."""

    def run(*words: str | Path, variables: Mapping[str, str] | None = None) -> Ended:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("COCKPIT_")}
        env = {**kept, "COCKPIT_HOME": str(home), "NO_COLOR": "1", **(variables or {})}
        done = subprocess.run(
            [sys.executable, "-m", "cockpit", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            env=env,
            stdin=subprocess.DEVNULL,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run
