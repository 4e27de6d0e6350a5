"""The daemon as real processes: it starts once, says who it is, survives its own death."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cockpit import daemon
from cockpit.daemon_process import heartbeat_file, log_file, state_file
from cockpit.ownership import owner_of, process_start
from core.folders import Folders, find_folders

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@dataclass
class Command:
    """The command line on a profile of its own."""

    folders: Folders
    environment: dict[str, str]

    def start(self, *words: str, **more: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "cockpit", *words],
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )

    def __call__(self, *words: str) -> tuple[int, Any]:
        """Exit code and answer."""
        with self.start("--json", *words) as process:
            out, err = process.communicate(timeout=120)
        assert out, err
        assert out.count("\n") == 1
        return process.returncode, json.loads(out)


@pytest.fixture
def cockpit(tmp_path: Path) -> Iterator[Command]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("COCKPIT_")}
    environment = {**inherited, "COCKPIT_HOME": str(tmp_path / "home")}
    folders = find_folders("default", environment)
    yield Command(folders, environment)
    owner = owner_of(folders)
    if owner is not None:
        os.kill(owner.pid, signal.SIGKILL)
        _until(lambda: process_start(owner.pid) is None)


def _until(done: Callable[[], bool], limit: float = 60) -> None:
    latest = time.monotonic() + limit
    while not done():
        assert time.monotonic() < latest


def test_a_life(cockpit: Command) -> None:
    code, answer = cockpit("daemon", "status")
    assert (code, answer["running"]) == (3, False)

    code, first = cockpit("daemon", "start")
    assert (code, first["started"]) == (0, True)
    assert first["socket"] == str(cockpit.folders.socket)

    code, second = cockpit("daemon", "start")
    assert (code, second["started"], second["pid"]) == (0, False, first["pid"])
    code, refusal = cockpit("--set", "system.language=zh", "daemon", "start")
    assert (code, refusal["code"]) == (3, "JOURNAL_OWNED")
    assert refusal["data"]["pid"] == first["pid"]

    code, status = cockpit("daemon", "status")
    assert (code, status["pid"], status["kind"]) == (0, first["pid"], "daemon")
    assert status["health"] == {"state": "healthy", "reasons": []}
    code, pong = cockpit("daemon", "ping")
    assert (code, pong["health"]["state"]) == (0, "healthy")

    state = json.loads(state_file(cockpit.folders).read_bytes())
    assert (state["pid"], state["socket"]) == (first["pid"], first["socket"])
    beat = json.loads(heartbeat_file(cockpit.folders).read_bytes())
    assert beat.keys() == {"pid", "timestamp", "uptime_seconds"}
    for path_of in (state_file, heartbeat_file, log_file):
        assert stat.S_IMODE(path_of(cockpit.folders).stat().st_mode) == 0o600

    assert cockpit("session", "list") == (0, {"sessions": []})
    code, owned = cockpit("--in-process", "session", "list")
    assert (code, owned["code"]) == (13, "JOURNAL_OWNED")
    assert owned["data"]["pid"] == first["pid"]

    code, stopped = cockpit("daemon", "stop")
    assert (code, stopped["stopped"], stopped["killed"]) == (0, True, False)
    assert process_start(first["pid"]) is None
    for file in (cockpit.folders.socket, heartbeat_file(cockpit.folders)):
        assert not file.exists()
    entries = [json.loads(line) for line in log_file(cockpit.folders).read_text().splitlines()]
    assert entries[-1]["event"] == "daemon_ended"
    assert cockpit("daemon", "stop")[1]["stopped"] is False
    assert cockpit("rpc", "ping")[0] == 3


def test_a_killed_daemon_is_replaced(cockpit: Command) -> None:
    _, first = cockpit("daemon", "start")
    os.kill(first["pid"], signal.SIGKILL)
    _until(lambda: process_start(first["pid"]) is None)
    assert cockpit.folders.socket.exists()
    assert cockpit("daemon", "status")[0] == 3
    code, second = cockpit("daemon", "start")
    assert (code, second["started"]) == (0, True)
    assert second["pid"] != first["pid"]
    os.kill(second["pid"], signal.SIGKILL)
    _until(lambda: process_start(second["pid"]) is None)
    code, stopped = cockpit("daemon", "stop")
    assert (code, stopped["stopped"]) == (0, False)
    assert str(cockpit.folders.socket) in stopped["removed"]
    assert not cockpit.folders.socket.exists()
    assert cockpit("session", "list") == (0, {"sessions": []})


def test_of_two_starts_at_once_one_starts(cockpit: Command) -> None:
    both = [cockpit.start("--json", "daemon", "start") for _ in range(2)]
    answers = []
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (out, err)
        answers.append(json.loads(out))
    assert sorted(answer["started"] for answer in answers) == [False, True]
    assert len({answer["pid"] for answer in answers}) == 1


def test_signals_reach_the_foreground(cockpit: Command) -> None:
    with cockpit.start("daemon", "start", "--foreground") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "daemon_serving" in line:
                break
        code, status = cockpit("daemon", "status")
        assert (code, status["pid"]) == (0, process.pid)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "daemon_ended" in err
    assert "Traceback" not in err


def test_what_the_child_cannot_do_is_told(cockpit: Command) -> None:
    cockpit.folders.make()
    cockpit.folders.socket.write_text("something else")
    code, refusal = cockpit("daemon", "start")
    assert (code, refusal["code"]) == (13, "SOCKET_NOT_MADE")
    assert owner_of(cockpit.folders) is None
    assert cockpit.folders.socket.read_text() == "something else"


def test_wrong_settings_are_refused_with_their_line(cockpit: Command) -> None:
    cockpit.folders.make()
    cockpit.folders.settings_file.write_text('[system]\nlanguage = "xx"\n')
    cockpit.folders.settings_file.chmod(0o600)
    code, refusal = cockpit("daemon", "start")
    assert (code, refusal["code"]) == (2, "INVALID_INPUT")
    assert "settings.toml:2" in refusal["sentence"]
    assert "system.language" in refusal["sentence"]


def test_a_daemon_that_hangs_is_degraded_and_can_be_ended(cockpit: Command) -> None:
    _, started = cockpit("daemon", "start")
    os.kill(started["pid"], signal.SIGSTOP)
    facts = daemon.status(cockpit.folders, cockpit.environment, patience=0.2)
    assert facts["running"] is True
    assert facts["health"]["state"] == "degraded"
    assert "did not answer" in facts["health"]["reasons"][0]
    os.kill(started["pid"], signal.SIGCONT)
    code, again = cockpit("daemon", "restart")
    assert (code, again["started"]) == (0, True)
    assert again["pid"] != started["pid"]


def test_settings_are_read_again_on_the_signal(cockpit: Command) -> None:
    _, started = cockpit("daemon", "start")
    _, before = cockpit("daemon", "status")
    cockpit.folders.settings_file.write_text("[system]\nnonsense = 1\n")
    cockpit.folders.settings_file.chmod(0o600)
    os.kill(started["pid"], signal.SIGHUP)

    def health() -> dict[str, Any]:
        found = daemon.status(cockpit.folders, cockpit.environment)
        return {**found, "state": found["health"]["state"]}

    _until(lambda: health()["state"] == "degraded" and "nonsense" in str(health()["health"]))
    assert "settings.toml:2" in str(health()["health"]["reasons"])
    assert health()["configuration"] == before["configuration"]

    cockpit.folders.settings_file.write_text("[system]\nmax_parallel_runs = 3\n")
    os.kill(started["pid"], signal.SIGHUP)
    _until(
        lambda: health().get("configuration", before["configuration"]) != before["configuration"]
    )
    _until(lambda: health()["state"] == "healthy")
    assert health()["pid"] == started["pid"]
    assert cockpit("daemon", "start")[1]["started"] is False


def test_an_idle_client_does_not_delay_the_end(cockpit: Command) -> None:
    cockpit("daemon", "start")
    words = ("journal", "tail", "--lines", "1", "--follow")
    with cockpit.start(*words) as follower:
        assert follower.stdout is not None
        assert "system.started" in follower.stdout.readline()
        began = time.monotonic()
        code, stopped = cockpit("daemon", "stop")
        assert (code, stopped["killed"]) == (0, False)
        assert time.monotonic() - began < 20
        _, again = cockpit("daemon", "start")
        assert again["started"] is True
        seen = [follower.stdout.readline(), follower.stdout.readline()]
        assert "system.stopped" in seen[0]
        assert "system.started" in seen[1]
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=60)


def test_the_log_can_be_read(cockpit: Command) -> None:
    cockpit("daemon", "start")
    with cockpit.start("daemon", "logs", "--lines", "2") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(out.splitlines()) == 2
    assert "daemon_serving" in out
    # Lines that were written before it began to read are shown too: nothing to wait for.
    with cockpit.start("daemon", "logs", "--follow", "--lines", "50") as follower:
        assert follower.stdout is not None
        cockpit("daemon", "stop")
        for line in follower.stdout:
            if "daemon_ended" in line:
                break
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=60)
