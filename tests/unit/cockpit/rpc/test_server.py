"""The served Desk over a real socket: answers, errors, bounds, subscriptions, a good end."""

import asyncio
import os
import socket
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cockpit.rpc import server as server_module
from cockpit.rpc.limits import Limits
from cockpit.rpc.peers import peer_uid
from cockpit.rpc.server import bind_private
from core.errors import Refused
from tests.doors import SmallDesk, serving, socket_path
from tests.doors import small_desk as new_desk

pytestmark = pytest.mark.asyncio


@pytest.fixture
def small_desk() -> SmallDesk:
    return new_desk()


@pytest.fixture
def socket_file() -> Iterator[Path]:
    with socket_path() as path:
        yield path


@pytest.fixture
def serve(small_desk: SmallDesk, socket_file: Path) -> Any:
    return partial(serving, small_desk, socket_file)


async def test_ping_and_an_operation(serve: Any) -> None:
    async with serve() as (_, connect):
        wire = await connect()
        wire.ask("ping", id_="p")
        answer = await wire.hear()
        assert (answer["id"], answer["result"]["pong"]) == ("p", True)
        wire.ask("test.echo", {"text": "né 中", "times": 2}, 7)
        assert await wire.hear() == {"jsonrpc": "2.0", "id": 7, "result": {"text": "né 中né 中"}}


@pytest.mark.parametrize(
    ("method", "number", "code"),
    [
        ("test.refuse", -32004, "NO_WAY"),
        ("test.missing", -32004, "MISSION_NOT_FOUND"),
        ("test.conflict", -32004, "STREAM_CONFLICT"),
        ("test.unavailable", -32003, "HOLD-BUDGET"),
        ("test.nowhere", -32601, "UNKNOWN_OPERATION"),
        ("test.echo", -32602, "INVALID_INPUT"),
    ],
)
async def test_refusals(serve: Any, method: str, number: int, code: str) -> None:
    async with serve() as (_, connect):
        wire = await connect()
        wire.ask(method)
        error = (await wire.hear())["error"]
        assert error["code"] == number
        assert error["data"]["code"] == code
        assert error["message"] == error["data"]["sentence"]
        assert {"recovery", "data"} <= error["data"].keys()


async def test_a_bug_is_told_without_its_insides(serve: Any) -> None:
    async with serve() as (_, connect):
        wire = await connect()
        wire.ask("test.bug")
        answer = await wire.hear()
        assert (answer["id"], answer["error"]["code"]) == (1, -32603)
        assert "somebody" not in str(answer)
        wire.send(b'[{"jsonrpc":"2.0","id":2,"method":"test.bug"},')
        wire.send(b'{"jsonrpc":"2.0","id":3,"method":"test.echo","params":{"text":"a"}}]\n')
        first, second = await wire.hear()
        assert (first["id"], first["error"]["code"]) == (2, -32603)
        assert second["result"] == {"text": "a"}


async def test_discover_describes_every_method(serve: Any, small_desk: Any) -> None:
    async with serve() as (_, connect):
        wire = await connect()
        wire.ask("rpc.discover")
        methods = {each["name"]: each for each in (await wire.hear())["result"]["methods"]}
        assert methods.keys() >= {*small_desk.registry, "ping", "event.subscribe"}
        assert methods["test.echo"]["params"]["required"] == ["text"]
        assert methods["test.echo"]["scope"] == "write"


async def test_methods_of_the_process(serve: Any) -> None:
    async def status(params: Any) -> dict[str, Any]:
        """How it is."""
        return {"asked": dict(params)}

    async with serve(methods={"daemon.status": status}) as (_, connect):
        wire = await connect()
        wire.ask("daemon.status", {"a": 1})
        assert (await wire.hear())["result"] == {"asked": {"a": 1}}


async def test_nothing_of_a_slow_request_delays_another(serve: Any, small_desk: Any) -> None:
    async with serve() as (_, connect):
        slow, quick = await connect(), await connect()
        slow.ask("test.wait")
        await small_desk.entered.wait()
        quick.ask("test.echo", {"text": "a"})
        assert (await quick.hear())["result"] == {"text": "a"}
        slow.ask("ping", id_=2)
        assert (await slow.hear())["id"] == 2
        small_desk.gate.set()
        assert (await slow.hear())["result"] == {"text": "waited"}


async def test_requests_of_one_client_are_bounded(serve: Any, small_desk: Any) -> None:
    async with serve(Limits(in_flight=3)) as (server, connect):
        wire = await connect()
        for id_ in range(40):
            wire.ask("test.wait", id_=id_)
        await small_desk.entered.wait()
        other = await connect()
        other.ask("ping")
        await other.hear()
        assert len(server.work) == 3
        small_desk.gate.set()
        assert {(await wire.hear())["id"] for _ in range(40)} == set(range(40))


async def test_a_client_that_leaves_stops_nothing(serve: Any, small_desk: Any) -> None:
    async with serve() as (server, connect):
        wire = await connect()
        wire.ask("test.wait")
        await small_desk.entered.wait()
        await wire.close()
        other = await connect()
        other.ask("ping")
        await other.hear()
        (task,) = server.work
        small_desk.gate.set()
        await task
        assert task.exception() is None


async def test_answers_reach_a_client_that_has_said_all(serve: Any, small_desk: Any) -> None:
    async with serve() as (_, connect):
        wire = await connect()
        wire.ask("test.wait")
        wire.writer.write_eof()
        await small_desk.entered.wait()
        small_desk.gate.set()
        assert (await wire.hear())["result"] == {"text": "waited"}
        assert await wire.ended()


async def test_events_without_a_gap(serve: Any, small_desk: Any) -> None:
    journal = small_desk.journal
    journal.ring("one")
    journal.ring("two")
    async with serve() as (_, connect):
        wire = await connect()
        wire.ask("event.subscribe", {"since": 1, "topics": ["test_cockpit.*"]})
        answer = await wire.hear()
        assert answer["result"] == {"head": 2, "since": 1, "topics": ["test_cockpit.*"]}
        event = await wire.hear()
        assert event["method"] == "event"
        assert "id" not in event
        assert event["params"] == {
            "seq": 2,
            "stream": "system",
            "kind": "test_cockpit.rang",
            "at": "2026-01-01T00:00:00+00:00",
            "actor": "operator",
            "payload": {"note": "two"},
        }
        wire.ask("test.ring", {"text": "three"})
        told = [await wire.hear(), await wire.hear()]
        assert {m["params"]["seq"] for m in told if "params" in m} == {3}


async def test_only_what_was_asked_for(serve: Any, small_desk: Any) -> None:
    async with serve() as (_, connect):
        deaf, all_ears = await connect(), await connect()
        deaf.ask("event.subscribe", {"topics": ["mission.*"]})
        all_ears.ask("event.subscribe")
        await deaf.hear()
        await all_ears.hear()
        small_desk.journal.ring("x")
        assert (await all_ears.hear())["params"]["seq"] == 1
        deaf.ask("event.unsubscribe")
        assert (await deaf.hear())["result"] == {"ended": True}
        deaf.ask("event.unsubscribe")
        assert (await deaf.hear())["result"] == {"ended": False}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"since": -1}, "INVALID_INPUT"),
        ({"since": True}, "INVALID_INPUT"),
        ({"since": "1"}, "INVALID_INPUT"),
        ({"since": 1}, "SEQUENCE_UNKNOWN"),
        ({"topics": "mission.*"}, "INVALID_INPUT"),
        ({"topics": [1]}, "INVALID_INPUT"),
        ({"topics": ["a"] * 65}, "INVALID_INPUT"),
        ({"topics": ["a" * 201]}, "INVALID_INPUT"),
        ({"more": 1}, "INVALID_INPUT"),
    ],
)
async def test_subscriptions_are_checked(serve: Any, params: Any, code: str) -> None:
    async with serve() as (_, connect):
        wire = await connect()
        wire.ask("event.subscribe", params)
        assert (await wire.hear())["error"]["data"]["code"] == code


async def test_a_follower_ends_with_its_client(serve: Any, small_desk: Any) -> None:
    async with serve() as (server, connect):
        wire = await connect()
        wire.ask("event.subscribe", {"since": 0})
        small_desk.journal.ring("x")
        await wire.hear()
        await wire.hear()
        assert small_desk.journal.followers == 1
        await wire.close()
        other = await connect()
        while server.clients > 1:
            other.ask("ping")
            await other.hear()
        other.ask("ping")
        await other.hear()
        assert small_desk.journal.followers == 0


async def test_a_client_that_does_not_read_is_dropped(serve: Any, small_desk: Any) -> None:
    limits = Limits(unread=10_000, stalled_seconds=0.05)
    async with serve(limits) as (server, connect):
        slow, quick = await connect(), await connect()
        for id_ in range(60):
            slow.ask("test.echo", {"text": "x" * 100, "times": 1000}, id_)
        slow.stop_reading()
        while server.clients > 1:
            quick.ask("ping")
            await quick.hear()
        quick.ask("ping")
        assert (await quick.hear())["result"]["pong"] is True


async def test_a_follower_that_does_not_read_costs_little(serve: Any, small_desk: Any) -> None:
    async with serve(Limits(unread=10_000, stalled_seconds=0.05)) as (server, connect):
        slow, quick = await connect(), await connect()
        slow.ask("event.subscribe", {"since": 0})
        assert (await slow.hear())["result"]["head"] == 0
        slow.stop_reading()
        for _ in range(200):
            small_desk.journal.ring("y" * 10_000)
        while server.clients > 1:
            quick.ask("ping")
            await quick.hear()


@pytest.mark.slow
async def test_idle_clients_are_dropped_but_followers_stay(serve: Any) -> None:
    async with serve(Limits(idle_seconds=0.4)) as (server, connect):
        follower, idle = await connect(), await connect()
        follower.ask("event.subscribe")
        await follower.hear()
        idle.send(b'{"half":')
        assert await idle.ended()
        assert server.clients == 1
        follower.ask("ping")
        await follower.hear()


async def test_the_longest_idle_makes_room(serve: Any, small_desk: Any) -> None:
    async with serve(Limits(clients=2)) as (server, connect):
        first, second = await connect(), await connect()
        for wire in (first, second, first):
            wire.ask("ping")
            await wire.hear()
        third = await connect()
        third.ask("ping")
        await third.hear()
        assert await second.ended()
        assert server.clients == 2
        for wire in (first, third):
            wire.ask("event.subscribe")
            await wire.hear()
        fourth = await connect()
        assert await fourth.ended()


async def test_the_end_waits_for_requests_but_not_for_idle_clients(
    serve: Any, small_desk: Any, socket_file: Path
) -> None:
    async with serve(patience=60) as (_, connect):
        await connect()
        wire = await connect()
        wire.ask("test.wait")
        await small_desk.entered.wait()
        small_desk.gate.set()
        assert (await wire.hear())["result"] == {"text": "waited"}
    assert not socket_file.exists()


async def test_the_end_is_bounded(small_desk: Any, socket_file: Path) -> None:
    server = server_module.RpcServer(small_desk, socket_file, patience=0.01)
    async with server:
        reader, writer = await asyncio.open_unix_connection(socket_file)
        writer.write(b'{"jsonrpc":"2.0","id":1,"method":"test.wait"}\n')
        await small_desk.entered.wait()
    assert await reader.read() == b""
    assert not server.work
    writer.close()
    await writer.wait_closed()


async def test_the_socket_is_its_owners_alone(serve: Any, socket_file: Path) -> None:
    async with serve():
        assert stat.S_IMODE(socket_file.lstat().st_mode) == 0o600
        assert stat.S_IMODE(socket_file.parent.stat().st_mode) == 0o700


async def test_it_is_private_from_its_first_moment(
    socket_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    class Spy(socket.socket):
        def bind(self, address: Any) -> None:
            super().bind(address)
            seen.append(stat.S_IMODE(os.lstat(address).st_mode))

    monkeypatch.setattr(socket, "socket", Spy)
    before = os.umask(0)
    try:
        bind_private(socket_file).close()
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert seen == [0o600]


async def test_another_user_is_not_let_in(
    serve: Any, small_desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "peer_uid", lambda peer: os.getuid() + 1)
    async with serve() as (_, connect):
        wire = await connect()
        wire.ask("test.echo", {"text": "a"})
        assert await wire.ended()
    assert small_desk.performed == []


async def test_the_kernel_tells_who_connected() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer_uid(ours) == os.getuid()


async def test_a_dead_owners_socket_is_replaced(serve: Any, socket_file: Path) -> None:
    socket_file.parent.mkdir(mode=0o700)
    bind_private(socket_file).close()
    async with serve() as (_, connect):
        wire = await connect()
        wire.ask("ping")
        await wire.hear()


async def test_something_else_in_its_place_is_kept(socket_file: Path) -> None:
    socket_file.parent.mkdir(mode=0o700)
    socket_file.write_text("mine")
    with pytest.raises(Refused, match="SOCKET_NOT_MADE"):
        bind_private(socket_file)
    assert socket_file.read_text() == "mine"
    with pytest.raises(Refused, match="longer than"):
        bind_private(socket_file.parent / ("x" * 200))
