"""The daemon with a small core: its files, its settings, its end."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from cockpit.client import SocketClient
from cockpit.daemon_process import Daemon, heartbeat_file, state_file
from cockpit.log_file import log_to
from cockpit.ownership import owner_of
from cockpit.profile import Profile
from core.errors import Invalid
from core.folders import Folders, find_folders
from core.settings import Settings
from tests.doors import SmallDesk, small_desk

pytestmark = pytest.mark.asyncio


class Running:
    """A daemon in this process, and what it opened."""

    def __init__(self, home: Path):
        environment = {"COCKPIT_HOME": str(home)}
        self.profile = Profile(find_folders("default", environment), environment)
        self.settings: list[Settings] = []
        self.reopened = asyncio.Event()
        self.ready = asyncio.Event()
        self.desk: SmallDesk = small_desk()
        self.daemon = Daemon(self.profile, self._open, self.ready.set, heartbeat_seconds=0.01)

    @asynccontextmanager
    async def _open(self, folders: Folders, settings: Settings) -> AsyncIterator[Any]:
        self.settings.append(settings)
        self.reopened.set()
        yield self

    async def call(self, method: str) -> dict[str, Any]:
        client = SocketClient(self.profile.folders.socket)
        try:
            return await client.call(method)
        finally:
            await client.close()

    def write_settings(self, text: str) -> None:
        self.profile.folders.settings_file.write_text(text)
        self.profile.folders.settings_file.chmod(0o600)


@asynccontextmanager
async def _running(home: Path) -> AsyncIterator[Running]:
    running = Running(home)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(running.daemon.run())
        await asyncio.wait_for(running.ready.wait(), 20)
        try:
            yield running
        finally:
            if not task.done():
                os.kill(os.getpid(), signal.SIGTERM)
                await task
    assert owner_of(running.profile.folders) is None
    for file in (heartbeat_file, state_file):
        assert not file(running.profile.folders).exists()
    assert not running.profile.folders.socket.exists()


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110 - a file tells no event
            await asyncio.sleep(0)


async def test_it_keeps_its_files(tmp_path: Path) -> None:
    async with _running(tmp_path / "home") as running:
        folders = running.profile.folders

        def beat() -> Any:
            return json.loads(heartbeat_file(folders).read_bytes())

        first = beat()
        assert first["pid"] == os.getpid()
        await _until(lambda: beat()["timestamp"] > first["timestamp"])
        state = json.loads(state_file(folders).read_bytes())
        assert state["kind"] == "daemon"
        assert state["socket"] == str(folders.socket)
        assert state["health"] == {"state": "healthy", "reasons": []}


async def test_it_ends_when_asked_over_the_socket(tmp_path: Path) -> None:
    async with _running(tmp_path / "home") as running:
        assert await running.call("daemon.stop") == {"stopping": True, "pid": os.getpid()}


async def test_a_wrong_file_leaves_the_old_settings_in_force(tmp_path: Path) -> None:
    async with _running(tmp_path / "home") as running:
        before = (await running.call("daemon.status"))["configuration"]
        running.write_settings("[system]\nlanguage = 3\n")
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(20):
            while (status := await running.call("daemon.status"))["health"]["state"] == "healthy":
                pass
        (reason,) = status["health"]["reasons"]
        assert "system.language" in reason
        assert "settings.toml:2" in reason
        assert status["configuration"] == before
        assert len(running.settings) == 1
        running.write_settings("")
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(20):
            while (await running.call("daemon.status"))["health"]["state"] != "healthy":
                pass
        assert len(running.settings) == 1


async def test_other_settings_come_into_force(tmp_path: Path) -> None:
    async with _running(tmp_path / "home") as running:
        before = owner_of(running.profile.folders)
        running.reopened.clear()
        running.write_settings("[system]\nmax_parallel_runs = 7\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(running.reopened.wait(), 20)
        assert [s.system.max_parallel_runs for s in running.settings] == [2, 7]
        after = owner_of(running.profile.folders)
        assert before is not None
        assert after is not None
        assert after.configuration != before.configuration
        await _until(running.profile.folders.socket.exists)
        status = await running.call("daemon.status")
        assert status["configuration"] == after.configuration


async def test_wrong_settings_never_start_it(tmp_path: Path) -> None:
    running = Running(tmp_path / "home")
    running.profile.folders.make()
    running.write_settings("[nonsense]\n")
    with pytest.raises(Invalid, match="nonsense"):
        await running.daemon.run()
    assert owner_of(running.profile.folders) is None
    assert running.settings == []


async def test_a_bug_is_logged_and_frees_everything(tmp_path: Path) -> None:
    running = Running(tmp_path / "home")

    @asynccontextmanager
    async def failing(folders: Folders, settings: Settings) -> AsyncIterator[Any]:
        if folders.profile == "default":
            raise ZeroDivisionError("a bug")
        yield running

    running.daemon.open_core = failing
    log = log_to(tmp_path / "x.log")
    try:
        with pytest.raises(ZeroDivisionError):
            await running.daemon.run()
    finally:
        log.close()
        logging.getLogger().removeHandler(log)
        structlog.reset_defaults()
    entries = [json.loads(line) for line in (tmp_path / "x.log").read_text().splitlines()]
    assert [entry["event"] for entry in entries[-2:]] == ["daemon_failed", "daemon_ended"]
    assert "ZeroDivisionError" in entries[-2]["exception"]
    assert owner_of(running.profile.folders) is None
