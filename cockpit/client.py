"""How a surface talks to the Desk: over the owner's socket, or in process. It never knows which."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Protocol, cast

import orjson

from cockpit.rpc.errors import error_from
from core.errors import CockpitError, Unavailable
from core.folders import Folders
from core.tasks import spawn

SOCKET_VARIABLE = "COCKPIT_SOCKET"
_ANSWER_LIMIT = 256 * 1024 * 1024  # bytes of one answer
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 5.0  # seconds between attempts to reconnect

Event = dict[str, Any]


class Client(Protocol):
    """The Desk, wherever it is."""

    async def call(self, name: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Perform an operation.

        Raises:
            CockpitError: of the same class and code as the Desk raised.
            Unavailable: ``NOT_RUNNING`` or ``ANSWER_LOST``, over a socket.
        """
        ...

    def follow(self, after: int = 0, topics: Sequence[str] = ()) -> AsyncIterator[Event]:
        """Events after a sequence number, without a gap, and then as they come.

        Args:
            topics: globs on the kind; none means all.

        Raises:
            Unavailable: ``NOT_RUNNING`` or ``ANSWER_LOST``, over a socket.
        """
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


def socket_path(folders: Folders, environment: Mapping[str, str]) -> Path:
    """Where the owner of a profile's journal listens; ``COCKPIT_SOCKET`` overrides it."""
    given = environment.get(SOCKET_VARIABLE)
    return Path(given) if given else folders.socket


def not_running(path: Path) -> Unavailable:
    """The refusal of a call that nobody listens to."""
    return Unavailable(
        "NOT_RUNNING",
        f"Nobody listens at {path}.",
        recovery="Start it with 'cockpit daemon start'.",
        data={"socket": str(path)},
    )


class SocketClient:
    """A client over a unix socket. Connects at the first call, and again after it was hung up on.

    Args:
        path: the socket.
    """

    def __init__(self, path: Path):
        self.path = path
        self._ids = itertools.count(1)
        self._open: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def call(self, name: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """See :class:`Client`."""
        writer = await self._connected()
        id_ = next(self._ids)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._open[id_] = answer
        try:
            writer.write(_request(id_, name, params or {}))
            await _drained(writer, self.path)
            found = await answer
        finally:
            self._open.pop(id_, None)
        if "error" in found:
            raise error_from(found["error"])
        return cast("dict[str, Any]", found["result"])

    async def connect(self) -> None:
        """Connect now.

        Raises:
            Unavailable: ``NOT_RUNNING``.
        """
        await self._connected()

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None or self._reading is None or self._reading.done():
                await self.close()
                reader, self._writer = await _open(self.path)
                self._reading = spawn(self._read(reader), name="rpc client")
            return self._writer

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await _line(reader):
                self._take(line)
        finally:
            for answer in self._open.values():
                if not answer.done():
                    answer.set_exception(_answer_lost(self.path))

    def _take(self, line: bytes) -> None:
        found = orjson.loads(line)
        answer = self._open.get(found.get("id", 0)) if isinstance(found, dict) else None
        if answer is not None and not answer.done():
            answer.set_result(found)

    async def follow(self, after: int = 0, topics: Sequence[str] = ()) -> AsyncIterator[Event]:
        """See :class:`Client`. On a connection of its own, so that a slow reader delays no call."""
        reader, writer = await _open(self.path)
        try:
            writer.write(_request(0, "event.subscribe", {"since": after, "topics": list(topics)}))
            while line := await _line(reader):
                found = orjson.loads(line)
                if "error" in found:
                    raise error_from(found["error"])
                if found.get("method") == "event":
                    yield found["params"]
        finally:
            await _hang_up(writer)
        raise _answer_lost(self.path)

    async def close(self) -> None:
        """See :class:`Client`."""
        reading, self._reading = self._reading, None
        writer, self._writer = self._writer, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait((reading,))
        if writer is not None:
            await _hang_up(writer)


class InProcessClient:
    """A client of a Desk in this process.

    Args:
        desk: a :class:`core.desk.Desk`; closing the client leaves it open.
    """

    def __init__(self, desk: Any):
        self._desk = desk

    async def call(self, name: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """See :class:`Client`."""
        from cockpit.rpc.dispatch import ACTOR

        view = await self._desk.call(name, dict(params or {}), actor=ACTOR)
        return cast("dict[str, Any]", view.model_dump(mode="json"))

    async def follow(self, after: int = 0, topics: Sequence[str] = ()) -> AsyncIterator[Event]:
        """See :class:`Client`."""
        from cockpit.rpc.subscriptions import read_wanted, told

        journal = self._desk.journal
        wanted = read_wanted({"since": after, "topics": list(topics)}, journal.head())
        async with aclosing(journal.follow(after)) as envelopes:
            async for envelope in envelopes:
                if wanted.includes(envelope.kind):
                    yield told(envelope)

    async def close(self) -> None:
        """See :class:`Client`."""


async def follow_resuming(
    client: Client, after: int = 0, topics: Sequence[str] = ()
) -> AsyncIterator[Event]:
    """Events as from ``follow``, going on after the last one when the owner was away.

    It waits with growing pauses while nobody listens. Refusals end it.
    """
    delay = _FIRST_DELAY
    while True:
        try:
            async with aclosing(cast("Any", client.follow(after, topics))) as events:
                async for event in events:
                    delay = _FIRST_DELAY
                    after = event["seq"]
                    yield event
        except Unavailable:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)


def _request(id_: int, method: str, params: Mapping[str, Any]) -> bytes:
    message = {"jsonrpc": "2.0", "id": id_, "method": method, "params": dict(params)}
    return orjson.dumps(message, default=str) + b"\n"


async def _open(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_unix_connection(path, limit=_ANSWER_LIMIT)
    except (FileNotFoundError, ConnectionError, BlockingIOError):
        raise not_running(path) from None
    except OSError as error:
        raise Unavailable(
            "NOT_RUNNING",
            f"The socket {path} cannot be used: {error.strerror or error}.",
            recovery=f"Check {SOCKET_VARIABLE} and who owns the file.",
            data={"socket": str(path)},
        ) from None


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except (ConnectionError, ValueError):
        return b""


async def _drained(writer: asyncio.StreamWriter, path: Path) -> None:
    try:
        await writer.drain()
    except ConnectionError:
        raise _answer_lost(path) from None


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):  # it hung up first
        await writer.wait_closed()


def _answer_lost(path: Path) -> CockpitError:
    return Unavailable(
        "ANSWER_LOST",
        "The owner of the journal hung up before it answered.",
        recovery="Look at what is recorded before you repeat it.",
        data={"socket": str(path)},
    )
