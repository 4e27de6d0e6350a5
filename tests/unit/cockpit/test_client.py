"""The two clients are one: same answers, same refusals, same events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cockpit.client import (
    Client,
    InProcessClient,
    SocketClient,
    follow_resuming,
    socket_path,
)
from cockpit.rpc.server import RpcServer
from core.errors import Conflict, Invalid, NotFound, Refused, Unavailable
from core.folders import find_folders
from tests.doors import SmallDesk, small_desk
from tests.doors import socket_path as short_path

pytestmark = pytest.mark.asyncio
KINDS = pytest.mark.parametrize("kind", ["socket", "in process"])


@asynccontextmanager
async def _client(kind: str, desk: SmallDesk) -> AsyncIterator[Client]:
    if kind == "in process":
        yield InProcessClient(desk)
        return
    with short_path() as path:
        async with RpcServer(desk, path, registry=desk.registry):
            client = SocketClient(path)
            yield client
            await client.close()


async def _take(client: Client, count: int, **how: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with aclosing(client.follow(**how)) as events:  # type: ignore[type-var]
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


@KINDS
async def test_calls(kind: str) -> None:
    async with _client(kind, small_desk()) as client:
        assert await client.call("test.echo", {"text": "a"}) == {"text": "a"}
        many = [client.call("test.echo", {"text": str(n)}) for n in range(100)]
        assert [a["text"] for a in await asyncio.gather(*many)] == [str(n) for n in range(100)]


@KINDS
@pytest.mark.parametrize(
    ("method", "raised"),
    [
        ("test.refuse", Refused),
        ("test.missing", NotFound),
        ("test.conflict", Conflict),
        ("test.unavailable", Unavailable),
        ("test.echo", Invalid),
        ("test.nowhere", Refused),
    ],
)
async def test_refusals(kind: str, method: str, raised: type[Exception]) -> None:
    async with _client(kind, small_desk()) as client:
        with pytest.raises(raised) as caught:
            await client.call(method)
        assert type(caught.value) is raised


@KINDS
async def test_follow(kind: str) -> None:
    desk = small_desk()
    for note in "abc":
        desk.journal.ring(note)
    async with _client(kind, desk) as client:
        events = await _take(client, 2, after=1)
        assert [(e["seq"], e["payload"]["note"]) for e in events] == [(2, "b"), (3, "c")]
        events = await _take(client, 1, topics=["*.rang"])
        assert events[0]["kind"] == "test_cockpit.rang"
        with pytest.raises(Refused, match="SEQUENCE_UNKNOWN"):
            await _take(client, 1, after=99)


async def test_large_answers_pass() -> None:
    async with _client("socket", small_desk()) as client:
        found = await client.call("test.echo", {"text": "é" * 50_000, "times": 100})
        assert len(found["text"]) == 5_000_000


async def test_nobody_listens() -> None:
    with short_path() as path:
        client = SocketClient(path)
        with pytest.raises(Unavailable, match="NOT_RUNNING"):
            await client.call("ping")
        path.parent.mkdir()
        path.write_text("")
        with pytest.raises(Unavailable, match="NOT_RUNNING"):
            await client.connect()


async def test_an_answer_that_never_comes_is_told() -> None:
    desk = small_desk()
    with short_path() as path:
        async with RpcServer(desk, path, patience=0.01):
            client = SocketClient(path)
            asked = asyncio.ensure_future(client.call("test.wait"))  # noqa: TID251
            await desk.entered.wait()
        with pytest.raises(Unavailable, match="ANSWER_LOST"):
            await asked
        async with RpcServer(desk, path):  # and it connects again by itself
            assert (await client.call("ping"))["pong"] is True
            await client.close()


async def test_resuming_over_a_restart_misses_and_repeats_nothing() -> None:
    desk = small_desk()
    seen: list[int] = []
    arrived = asyncio.Event()
    with short_path() as path:
        client = SocketClient(path)

        async def follow() -> None:
            async for event in follow_resuming(client):
                seen.append(event["seq"])
                arrived.set()

        async with asyncio.TaskGroup() as group:
            follower = group.create_task(follow())
            for _ in range(3):
                async with RpcServer(desk, path):
                    for _ in range(20):
                        desk.journal.ring("x")
                    while len(seen) < len(desk.journal.events):
                        arrived.clear()
                        await asyncio.wait_for(arrived.wait(), 20)
                desk.journal.ring("while away")
            follower.cancel()
        await client.close()
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) >= 62


async def test_where_the_socket_is(tmp_path: Path) -> None:
    folders = find_folders("default", {"COCKPIT_HOME": str(tmp_path)})
    assert socket_path(folders, {}) == folders.socket
    assert socket_path(folders, {"COCKPIT_SOCKET": "/x/y.sock"}) == Path("/x/y.sock")
