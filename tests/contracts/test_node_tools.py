"""The npm tools come once, from a lock without addresses, and their absence has a reason."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers

FOLDER = Path(servers.__file__).parent / "node"


def copied(folder: Path) -> Path:
    for name in ("install.py", "package.json", "package-lock.json", ".npmrc"):
        shutil.copy(FOLDER / name, folder / name)
    return folder / "install.py"


def run(script: Path, **shell: str) -> subprocess.CompletedProcess[str]:
    home = {"HOME": str(script.parent), "PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, str(script)],
        check=False,
        capture_output=True,
        text=True,
        env={**home, **shell},
    )


def test_the_lock_names_no_registry_and_pins_what_is_asked() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text("utf-8"))
    asked = json.loads((FOLDER / "package.json").read_text("utf-8"))["dependencies"]
    packages = lock["packages"]
    assert not [name for name, facts in packages.items() if "resolved" in facts]
    assert all(facts.get("integrity") for name, facts in packages.items() if name)
    assert {name: packages[f"node_modules/{name}"]["version"] for name in asked} == asked


@pytest.mark.slow
def test_what_cannot_be_reached_is_told_and_leaves_no_mark(tmp_path: Path) -> None:
    script = copied(tmp_path)
    done = run(
        script, npm_config_registry="http://127.0.0.1:1", npm_config_cache=str(tmp_path / "c")
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The test tools were not installed: ")
    assert "ECONNREFUSED" in done.stderr
    assert not (tmp_path / "node_modules" / ".installed").exists()


@pytest.mark.slow
def test_a_second_time_nothing_is_installed(tmp_path: Path) -> None:
    """With the mark of this very lock in place no package manager is asked at all."""
    servers.node_modules()
    script = copied(tmp_path)
    (tmp_path / "node_modules").mkdir()
    shutil.copy(FOLDER / "node_modules" / ".installed", tmp_path / "node_modules" / ".installed")
    unreachable = {"npm_config_registry": "http://127.0.0.1:1"}
    assert run(script, **unreachable).stdout.strip() == str(tmp_path / "node_modules")
    (tmp_path / "package-lock.json").write_text("{}")
    assert run(script, **unreachable).returncode == 1
