"""The agent processes of this moment: an order may come before the process is there."""

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import Broken
from runner.process import Exit, GuardedProcess, Start


class AgentProcess:
    """One process of an agent, from before its start to its end."""

    def __init__(self) -> None:
        """Not started yet; see :meth:`start`."""
        self._process: GuardedProcess | None = None
        self._stopped = False
        self.paused = False
        self.stalled = False

    async def start(self, start: Start) -> bool:
        """Start it, frozen if it was told so; false when it was stopped before it began."""
        if self._stopped:
            return False
        self._process = await GuardedProcess.start(start)
        await self._obey(self._process)
        return True

    async def _obey(self, process: GuardedProcess) -> None:
        """Follow the orders that came while it was being started."""
        if self._stopped:
            await process.stop()
        elif self.paused:
            await process.pause()

    async def wait(self) -> Exit:
        """Wait for the end of its tree."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """End its tree; returns when nothing of it is left."""
        self._stopped = True
        if self._process is not None:
            await self._process.stop()

    def abandon(self) -> None:
        """Nobody waits for it any more: what still runs is told to end."""
        if self._process is not None:
            self._process.tell_stop()

    async def pause(self) -> None:
        """Freeze its tree."""
        self.paused = True
        if self._process is not None:
            await self._process.pause()

    async def resume(self) -> None:
        """Let its frozen tree go on."""
        self.paused = False
        if self._process is not None:
            await self._process.resume()


class Running:
    """The processes that are under way."""

    def __init__(self) -> None:
        """None yet."""
        self._processes: dict[str, AgentProcess] = {}

    @contextmanager
    def begin(self, key: str) -> Iterator[AgentProcess]:
        """A process that can be given orders while the ``with`` block runs.

        Raises:
            Broken: one of that id is under way; the same folder must not serve two.
        """
        if key in self._processes:
            raise Broken("An agent's process was started twice.", data={"id": key})
        self._processes[key] = AgentProcess()
        try:
            yield self._processes[key]
        finally:
            self._processes.pop(key).abandon()

    def find(self, key: str) -> AgentProcess | None:
        """The one of that id, if it is under way."""
        return self._processes.get(key)

    async def stop(self, key: str) -> None:
        """End the one of that id; unknown ids are ignored."""
        process = self.find(key)
        if process is not None:
            await process.stop()
