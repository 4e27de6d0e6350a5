"""P18: pings over the socket, against a bare protocol with orjson, in interleaved pairs.

Run alone with ``python -m tests.benchmarks.rpc``.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import orjson

from tests.doors import serving, small_desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAIRS = 7
PINGS = 20_000
GOAL = 0.5
_REQUEST = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'


class Bare(asyncio.Protocol):
    """The least that can answer: split, parse, encode, write."""

    def __init__(self) -> None:
        self._tail = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        assert self._transport is not None
        *lines, self._tail = (self._tail + data).split(b"\n")
        for line in lines:
            request = orjson.loads(line)
            answer = {"jsonrpc": "2.0", "id": request["id"], "result": {"pong": True}}
            self._transport.write(orjson.dumps(answer) + b"\n")


class Pinger(asyncio.Protocol):
    """Sends a ping, hears the answer, sends the next; checks each answer's end and beginning."""

    def __init__(self, pings: int):
        self._left = pings
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        assert self._transport is not None
        assert data.startswith(b'{"jsonrpc":"2.0","id":1,"result":{"pong":true')
        assert data.endswith(b"}}\n")
        self._left -= 1
        if self._left:
            self._transport.write(_REQUEST)
        elif not self.done.done():
            self.done.set_result(None)


async def _rate(path: Path, pings: int) -> float:
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    transport, pinger = await loop.create_unix_connection(lambda: Pinger(pings), str(path))
    await pinger.done
    took = time.perf_counter() - started
    transport.close()
    return pings / took


@asynccontextmanager
async def _bare(path: Path) -> "AsyncIterator[None]":
    server = await asyncio.get_running_loop().create_unix_server(Bare, str(path))
    async with server:
        yield


async def measure(pairs: int = PAIRS, pings: int = PINGS) -> list[tuple[float, float]]:
    """Pings a second of the bare protocol and of ours, pair by pair."""
    with tempfile.TemporaryDirectory(prefix="cockpit-") as folder:
        bare, ours = Path(folder) / "bare.sock", Path(folder) / "run" / "ours.sock"
        async with _bare(bare), serving(small_desk(), ours):
            await _rate(bare, 1000)
            await _rate(ours, 1000)
            return [(await _rate(bare, pings), await _rate(ours, pings)) for _ in range(pairs)]


def main(say: Callable[[str], object] = lambda text: sys.stdout.write(text + "\n")) -> float:
    """Measure, tell, and return the median ratio."""
    pairs = asyncio.run(measure())
    for bare, ours in pairs:
        say(f"bare {bare:8.0f}/s   ours {ours:8.0f}/s   ratio {ours / bare:.2f}")
    ratio = statistics.median(ours / bare for bare, ours in pairs)
    say(f"P18 ping: median ratio {ratio:.2f} (goal {GOAL})")
    return ratio


if __name__ == "__main__":
    sys.exit(0 if main() >= GOAL else 1)
