"""A small Desk with a journal in memory, served on a real socket, and a raw client of it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import Field

from cockpit.rpc.limits import Limits
from cockpit.rpc.server import RpcServer
from core.errors import Conflict, NotFound, Refused, Unavailable
from core.journal.envelope import Envelope, Event
from core.operations import Nothing, Operation, Params, View

PATIENCE = 20.0  # seconds until a missing answer fails the test


@dataclass
class Wire:
    """Writes bytes, reads lines."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def ask(self, method: str, params: object = None, id_: object = 1) -> None:
        message = {"jsonrpc": "2.0", "id": id_, "method": method}
        if params is not None:
            message["params"] = params
        self.send(orjson.dumps(message) + b"\n")

    async def hear(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            line = await self.reader.readline()
        assert line.endswith(b"\n"), "the connection ended"
        return orjson.loads(line)

    async def hear_or_end(self) -> Any:
        """The next answer, or None when the other side has hung up."""
        async with asyncio.timeout(PATIENCE):
            line = await self.reader.readline()
        return orjson.loads(line) if line else None

    async def ended(self) -> bool:
        """Whether the other side hangs up, after whatever it still says."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
        return True

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    def stop_reading(self) -> None:
        """Leave what is sent in the kernel's buffer."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]


class Rang(Event, kind="test_cockpit.rang"):
    """Something that happened."""

    note: str


class Echo(Params):
    text: Annotated[str, Field(max_length=100_000)]
    times: Annotated[int, Field(ge=1, le=1000)] = 1


class EchoView(View):
    text: str


@dataclass
class MemoryJournal:
    """Speaks as the journal does to followers."""

    events: list[Envelope] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    followers: int = 0

    def head(self) -> int:
        return len(self.events)

    def ring(self, note: str) -> None:
        seq = len(self.events) + 1
        at = datetime(2026, 1, 1, tzinfo=UTC)
        event = Rang(note=note)
        self.events.append(Envelope(seq, f"e{seq}", "system", seq, at, "operator", event, "", ""))
        self.changed.set()
        self.changed = asyncio.Event()

    async def follow(self, after: int) -> AsyncIterator[Envelope]:
        self.followers += 1
        try:
            while True:
                changed = self.changed
                for envelope in self.events[after:]:
                    after = envelope.seq
                    yield envelope
                if after == len(self.events):
                    await changed.wait()
        finally:
            self.followers -= 1


@dataclass
class SmallDesk:
    """Performs the operations of its own registry."""

    journal: MemoryJournal = field(default_factory=MemoryJournal)
    registry: dict[str, Operation] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    performed: list[str] = field(default_factory=list)

    def declare(self, name: str, params: type[Params], handler: Any) -> None:
        self.registry[name] = Operation(name, "write", params, EchoView, handler, f"Does {name}.")

    async def call(self, name: str, raw: Mapping[str, Any] | Params, *, actor: str = "") -> View:
        if name not in self.registry:
            raise Refused("UNKNOWN_OPERATION", f"No operation is called {name!r}.")
        operation = self.registry[name]
        self.performed.append(name)
        assert not isinstance(raw, Params)
        return await operation.handler(self, operation.parse(dict(raw)))  # type: ignore[arg-type]


async def _echo(desk: SmallDesk, params: Echo) -> EchoView:
    return EchoView(text=params.text * params.times)


async def _wait(desk: SmallDesk, params: Nothing) -> EchoView:
    desk.entered.set()
    await desk.gate.wait()
    return EchoView(text="waited")


async def _ring(desk: SmallDesk, params: Echo) -> EchoView:
    desk.journal.ring(params.text)
    return EchoView(text=params.text)


def _raising(error: Exception) -> Any:
    async def handler(desk: SmallDesk, params: Nothing) -> EchoView:
        raise error

    return handler


def small_desk() -> SmallDesk:
    """A Desk whose operations do what its doors must bear."""
    desk = SmallDesk()
    desk.declare("test.echo", Echo, _echo)
    desk.declare("test.wait", Nothing, _wait)
    desk.declare("test.ring", Echo, _ring)
    hold = Unavailable("HOLD-BUDGET", "The cap is reached.", recovery="Wait.", data={"usd": 2})
    for name, error in {
        "test.refuse": Refused("NO_WAY", "It must not.", recovery="Ask.", data={"a": [1]}),
        "test.missing": NotFound("mission", "m-1"),
        "test.conflict": Conflict("mission:m-1", 3, 4),
        "test.unavailable": hold,
        "test.bug": ZeroDivisionError("/home/somebody/secret"),
    }.items():
        desk.declare(name, Nothing, _raising(error))
    return desk


@contextmanager
def socket_path() -> Iterator[Path]:
    """A path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="cockpit-") as folder:
        yield Path(folder) / "run" / "c.sock"


Connect = Callable[[], Coroutine[Any, Any, Wire]]


@asynccontextmanager
async def serving(
    desk: SmallDesk, path: Path, limits: Limits | None = None, **more: Any
) -> AsyncIterator[tuple[RpcServer, Connect]]:
    """Serve the Desk; gives the server and a function that connects to it."""
    wires: list[Wire] = []

    async def connect() -> Wire:
        wires.append(Wire(*await asyncio.open_unix_connection(path, limit=2**26)))
        return wires[-1]

    async with RpcServer(desk, path, registry=desk.registry, limits=limits, **more) as server:
        try:
            yield server, connect
        finally:
            for wire in wires:
                await wire.close()
