"""The daemon itself: owns the journal, serves its socket, and keeps its files until it is told.

A signal, or ``daemon.stop``, ends it in good order. SIGHUP reads the settings again.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog

from cockpit.hosting import OpenCore, Standing, real_core, served
from cockpit.ownership import Ownership
from cockpit.profile import Profile, configuration_of
from core.errors import CockpitError
from core.folders import Folders
from core.private_files import write_private
from core.settings import Settings

_log = structlog.get_logger(__name__)
HEARTBEAT_SECONDS = 30.0
_PATIENCE = 5.0  # seconds that requests under way get at the end
Wish = Literal["stop", "reload"]


def heartbeat_file(folders: Folders) -> Path:
    """Says that the daemon lives: pid, timestamp, uptime_seconds."""
    return folders.data / "heartbeat"


def state_file(folders: Folders) -> Path:
    """Says how the daemon is, as ``daemon.status`` does."""
    return folders.data / "state.json"


def log_file(folders: Folders) -> Path:
    """The daemon's log."""
    return folders.logs / "daemon.log"


@dataclass(slots=True)
class Daemon:
    """One run of the daemon.

    Attributes:
        ready: told once, when the socket is served.
        heartbeat_seconds: how often the files are written.
    """

    profile: Profile
    open_core: OpenCore = real_core
    ready: Callable[[], None] = lambda: None
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    _wishes: asyncio.Queue[Wish] = field(default_factory=asyncio.Queue)

    async def run(self) -> None:
        """Be the daemon until somebody ends it.

        Raises:
            Refused: ``JOURNAL_OWNED``.
            Invalid: settings that cannot be in force.
        """
        settings = self.profile.settings().value
        folders = self.profile.folders.make()
        configuration = configuration_of(settings)
        with Ownership.take(folders, kind="daemon", configuration=configuration) as ownership:
            standing = Standing(self.profile, "daemon", configuration)
            loop = asyncio.get_running_loop()
            signals: dict[signal.Signals, Wish] = {
                signal.SIGTERM: "stop", signal.SIGINT: "stop", signal.SIGHUP: "reload"
            }  # fmt: skip
            for number, wish in signals.items():
                loop.add_signal_handler(number, self._wishes.put_nowait, wish)
            _log.info("daemon_starting", pid=os.getpid(), data=str(folders.data))
            try:
                await self._live(ownership, standing, settings)
            finally:
                for number in signals:
                    loop.remove_signal_handler(number)
                for file in (heartbeat_file(folders), state_file(folders)):
                    file.unlink(missing_ok=True)
                error = sys.exception()
                if error is not None:
                    _log.error("daemon_failed", exc_info=error)
                _log.info("daemon_ended", pid=os.getpid(), uptime_seconds=standing.uptime())

    async def _live(self, ownership: Ownership, standing: Standing, settings: Settings) -> None:
        """Serve one core after the other: each change of settings opens a new one."""
        following: Settings | None = settings
        while following is not None:
            following = await self._serve(standing, following)
            if following is not None:
                ownership.tell(standing.configuration)

    async def _serve(self, standing: Standing, settings: Settings) -> Settings | None:
        """Serve until the end (None) or until other settings are to be in force."""
        folders = self.profile.folders

        def stop() -> None:
            self._wishes.put_nowait("stop")

        async with (
            self.open_core(folders, settings) as core,
            served(core, standing, stop, patience=_PATIENCE) as server,
        ):

            async def beat() -> None:
                await self._write_files(standing, standing.tell(core, server))

            await beat()
            _log.info("daemon_serving", socket=str(folders.socket))
            self.ready()
            self.ready = lambda: None
            while True:
                wish = await self._next_wish()
                if wish == "stop":
                    _log.info("daemon_stopping")
                    return None
                following = self._read_again(standing) if wish == "reload" else None
                if following is not None:
                    return following
                await beat()

    async def _next_wish(self) -> Wish | None:
        try:
            return await asyncio.wait_for(self._wishes.get(), self.heartbeat_seconds)
        except TimeoutError:
            return None

    def _read_again(self, standing: Standing) -> Settings | None:
        """Other settings, if they can be in force; else the old ones stay."""
        try:
            settings = self.profile.settings().value
        except CockpitError as refusal:
            standing.settings_refused = f"{refusal.sentence} The old settings stay in force."
            _log.warning("settings_refused", sentence=refusal.sentence, data=refusal.data)
            return None
        standing.settings_refused = ""
        configuration = configuration_of(settings)
        if configuration == standing.configuration:
            _log.info("settings_unchanged")
            return None
        standing.configuration = configuration
        _log.info("settings_changed", configuration=configuration)
        return settings

    async def _write_files(self, standing: Standing, state: dict[str, Any]) -> None:
        folders = self.profile.folders
        beat = {
            "pid": os.getpid(),
            "timestamp": datetime.now(UTC).isoformat(),
            "uptime_seconds": standing.uptime(),
        }
        await asyncio.to_thread(write_private, heartbeat_file(folders), orjson.dumps(beat))
        await asyncio.to_thread(write_private, state_file(folders), orjson.dumps(state))
