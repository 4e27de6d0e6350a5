"""Hostile frames over a real socket: each is answered as JSON-RPC 2.0 says, and none does harm."""

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.rpc.limits import Limits
from tests.doors import SmallDesk, Wire, serving, small_desk, socket_path

PING = b'{"jsonrpc":"2.0","id":"alive","method":"ping"}\n'
MIB = 1024 * 1024
INVALID, PARSE = -32600, -32700


def _with_wire(
    test: Callable[[Wire, SmallDesk], Awaitable[None]], limits: Limits | None = None
) -> None:
    async def run() -> None:
        desk = small_desk()
        with socket_path() as path:
            async with serving(desk, path, limits) as (_, connect):
                await test(await connect(), desk)

    asyncio.run(run())


async def _last_answers(wire: Wire) -> list[Any]:
    """Every answer that is still to come, but the one that shows that the client was served."""
    wire.send(b"\n" + PING)
    wire.writer.write_eof()
    found: list[Any] = []
    while answer := await wire.hear_or_end():
        found.append(answer)
    alive = [a for a in found if isinstance(a, dict) and a.get("id") == "alive"]
    assert len(alive) == 1
    return [answer for answer in found if answer not in alive]


def _answers_to(data: bytes, limits: Limits | None = None) -> list[Any]:
    found: list[Any] = []

    async def test(wire: Wire, desk: SmallDesk) -> None:
        wire.send(data)
        found.extend(await _last_answers(wire))

    _with_wire(test, limits)
    return found


def _numbers(answers: list[Any]) -> list[Any]:
    assert all(answer["id"] is None for answer in answers)
    return [answer["error"]["code"] for answer in answers]


@pytest.mark.parametrize(
    "frame",
    [
        b"{",
        b"nonsense",
        b"\xef\xbb\xbf" + PING.strip(),
        b"\xff\xfe\x00",
        b'{"jsonrpc":"2.0","id":1,"method":"\xc3',
        b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
        b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":Infinity,"method":"ping"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"'single'",
        b"{}{}",
    ],
)
def test_what_is_no_json(frame: bytes) -> None:
    assert _numbers(_answers_to(frame)) == [PARSE]


@pytest.mark.parametrize("frame", [b"null", b"1", b"-1e400", b'"x"', b"true", b"{}", b"[]"])
def test_what_is_no_request(frame: bytes) -> None:
    if frame == b"-1e400":
        assert _numbers(_answers_to(frame))[0] in (PARSE, INVALID)
    else:
        assert _numbers(_answers_to(frame)) == [INVALID]


@pytest.mark.parametrize("frame", [b"", b"   ", b"\r", b"\t\r"])
def test_blank_lines_are_nothing(frame: bytes) -> None:
    assert _answers_to(frame) == []


def test_the_standards_batch() -> None:
    batch = b"""[{"jsonrpc":"2.0","method":"test.echo","params":{"text":"a"},"id":"1"},
      {"jsonrpc":"2.0","method":"test.echo","params":{"text":"b"}},
      {"foo":"boo"}, 1, null, [],
      {"jsonrpc":"2.0","method":"test.nowhere","id":"5"},
      {"jsonrpc":"2.0","method":"ping","id":null}]""".replace(b"\n", b"")
    ((first, *wrong, unknown, pong),) = _answers_to(batch)
    assert first == {"jsonrpc": "2.0", "id": "1", "result": {"text": "a"}}
    assert _numbers(wrong) == [INVALID] * 4
    assert (unknown["id"], unknown["error"]["code"]) == ("5", -32601)
    assert (pong["id"], pong["result"]["pong"]) == (None, True)


def test_a_batch_of_notifications_gets_no_answer() -> None:
    call = b'{"jsonrpc":"2.0","method":"test.ring","params":{"text":"a"}}'

    async def test(wire: Wire, desk: SmallDesk) -> None:
        wire.send(b"[" + call + b"," + call + b"]\n" + call + b"\n")
        follower = desk.journal.follow(0)
        for _ in range(3):
            await anext(follower)
        await follower.aclose()  # type: ignore[attr-defined]
        assert await _last_answers(wire) == []

    _with_wire(test)


@pytest.mark.parametrize("method", ["test.nowhere", "test.refuse", "test.bug", "test.echo"])
def test_a_notification_gets_no_answer_whatever_becomes_of_it(method: str) -> None:
    assert _answers_to(orjson.dumps({"jsonrpc": "2.0", "method": method, "params": [1]})) == []
    assert _answers_to(orjson.dumps({"jsonrpc": "2.0", "method": method})) == []


def test_ten_thousand_requests_in_one_batch_are_refused() -> None:
    batch = b"[" + b",".join([PING.strip()] * 10_000) + b"]"
    assert len(batch) < MIB
    assert _numbers(_answers_to(batch)) == [INVALID]


def test_a_batch_within_the_bound_is_answered() -> None:
    batch = b"[" + b",".join([PING.strip()] * 1_000) + b"]"
    (answers,) = _answers_to(batch)
    assert len(answers) == 1_000


def test_a_batch_cannot_make_a_huge_answer() -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "test.echo"}
    calls = [{**call, "params": {"text": "x" * 1000, "times": 100}} for _ in range(30)]
    (answers,) = _answers_to(orjson.dumps(calls), Limits(batch_bytes=500_000))
    codes = [answer["error"]["data"]["code"] for answer in answers if "error" in answer]
    assert len(answers) == 30
    assert codes == ["BATCH_TOO_LARGE"] * 25


@pytest.mark.slow
def test_ten_thousand_requests_on_a_line_each() -> None:
    async def test(wire: Wire, desk: SmallDesk) -> None:
        call = b'{"jsonrpc":"2.0","id":%d,"method":"test.echo","params":{"text":"a"}}\n'
        wire.send(b"".join(call % number for number in range(10_000)))
        heard = {(await wire.hear())["id"] for _ in range(10_000)}
        assert heard == set(range(10_000))

    _with_wire(test)


def test_a_frame_of_just_the_limit_is_taken() -> None:
    head, tail = b'{"jsonrpc":"2.0","id":1,"method":"test.nowhere","params":{"x":"', b'"}}'
    frame = head + b"x" * (MIB - len(head) - len(tail)) + tail
    (answer,) = _answers_to(frame)
    assert answer["error"]["code"] == -32601
    assert _numbers(_answers_to(frame + b" ")) == [INVALID]


@pytest.mark.slow
def test_a_huge_frame_is_refused_at_once_and_never_kept() -> None:
    async def test(wire: Wire, desk: SmallDesk) -> None:
        wire.send(b"x" * (MIB + 1))
        assert (await wire.hear())["error"]["code"] == INVALID
        tracemalloc.start()
        for _ in range(64):
            wire.send(b"x" * 65_536)
            await wire.writer.drain()
        assert await _last_answers(wire) == []
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * MIB

    _with_wire(test)


@pytest.mark.slow
def test_an_endless_frame_ends_the_connection() -> None:
    async def test(wire: Wire, desk: SmallDesk) -> None:
        async def pour() -> None:
            while True:
                wire.send(b"x" * 65_536)
                await wire.writer.drain()

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(pour(), 60)

    _with_wire(test, Limits(skipped=4 * MIB))


def test_half_a_line_is_no_request() -> None:
    async def test(wire: Wire, desk: SmallDesk) -> None:
        wire.send(b'{"jsonrpc":"2.0","id":1,"method":"test.ring","params":{"text":"a"}}')
        wire.writer.write_eof()
        assert await wire.ended()
        assert desk.performed == []

    _with_wire(test)


def test_of_two_equal_keys_the_last_one_counts() -> None:
    frame = b'{"jsonrpc":"2.0","id":1,"id":2,"method":"test.echo","method":"ping"}'
    (answer,) = _answers_to(frame)
    assert (answer["id"], answer["result"]["pong"]) == (2, True)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=30), st.lists(st.integers(0, 400), max_size=6))
def test_text_survives_any_cut(text: str, cuts: list[int]) -> None:
    text = text.encode("utf-8", "ignore").decode()
    data = orjson.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "test.echo", "params": {"text": text + "é中🚢"}}
    )
    data += b"\n"

    async def test(wire: Wire, desk: SmallDesk) -> None:
        at = 0
        for cut in sorted({cut % len(data) for cut in cuts}):
            wire.send(data[at:cut])
            await wire.writer.drain()
            await asyncio.sleep(0)
            at = cut
        wire.send(data[at:])
        assert (await wire.hear())["result"] == {"text": text + "é中🚢"}

    _with_wire(test)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_leave_the_server_serving(data: bytes) -> None:
    for answer in _answers_to(data):
        for each in answer if isinstance(answer, list) else [answer]:
            assert each["jsonrpc"] == "2.0"
            assert ("error" in each) != ("result" in each)


REQUESTISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["2.0", "ping", "test.echo", "test.bug", "event.subscribe", "rpc.discover"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["jsonrpc", "id", "method", "params", "text", "times", "since"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(REQUESTISH)
def test_anything_like_a_request_gets_at_most_one_answer(message: Any) -> None:
    answers = _answers_to(orjson.dumps(message))
    assert len(answers) <= 1
    if isinstance(message, list) and message:
        assert len(answers[0]) <= len(message) if answers else True
