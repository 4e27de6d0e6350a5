"""The server itself: its life in the caller's loop, its side answers, its faults on the wire."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio

from core import tasks
from core.context import Context
from core.errors import Broken, NotFound
from runner.rehearsal.scripts import Script
from runner.rehearsal.server import RehearsalServer

CALL = {"role": "coder", "task": "T1", "attempt": 1, "cwd": "/w"}
PROMPT = f"cockpit-call: {json.dumps(CALL)}\nDo it."
LONG = "words of a long answer " * 10


def script(**turn: Any) -> Script:
    return Script.model_validate(
        {
            "title": "t",
            "description": "d",
            "goal": "g",
            "criteria": ["c"],
            "goal_attempted": True,
            "planner": [],
            "coder": [{"turns": [turn]}],
        }
    )


SCRIPTS = {
    "text": script(text=LONG),
    "counted": script(
        text="Hi", usage={"input": 7, "output": 3, "cache_write": 5, "cache_read": 11}
    ),
    "ending": script(text="structure", structured={"a": "ü"}),
    "hanging": script(fault={"hang": True}),
    "slow": script(text=LONG, chunk_delay_ms=10_000),
    "cut": script(text=LONG, fault={"cut_after_events": 4}),
    "limited": script(
        fault={"status": 429, "reset_in_seconds": 60, "body_type": "odd", "headers": {"x-a": "b"}}
    ),
}
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def body(**more: Any) -> dict[str, Any]:
    message = {"role": "user", "content": [{"type": "text", "text": PROMPT}]}
    tools = [{"name": "Bash"}]
    return {"model": "m", "messages": [message], "tools": tools, "stream": True, **more}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RehearsalServer]:
    async with RehearsalServer(SCRIPTS, context=Context(now=lambda: NOON)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[RehearsalServer]:
    """One server for all the questions that leave no trace in it."""
    async with RehearsalServer(SCRIPTS, context=Context(now=lambda: NOON)) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as one:
        yield one


def events_of(text: str) -> list[dict[str, Any]]:
    found = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


@pytest.mark.asyncio
class TestLife:
    async def test_it_leaves_nothing_behind(self) -> None:
        before = (asyncio.all_tasks(), tasks.running(), signal.getsignal(signal.SIGINT))
        server = RehearsalServer(SCRIPTS)
        await server.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(f"{server.base_url('text')}/v1/messages", json=body())
        await server.close()
        await server.close()
        after = (asyncio.all_tasks(), tasks.running(), signal.getsignal(signal.SIGINT))
        assert after == before
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port)).close()

    async def test_it_starts_once(self, server: RehearsalServer) -> None:
        with pytest.raises(Broken):
            await server.start()

    async def test_it_comes_back_on_its_port_and_goes_on(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            async with RehearsalServer(SCRIPTS) as first:
                one = await client.post(f"{first.base_url('text')}/v1/messages", json=body())
            async with RehearsalServer(SCRIPTS, port=first.port) as second:
                two = await client.post(f"{second.base_url('text')}/v1/messages", json=body())
        assert one.text == two.text

    async def test_a_taken_port_is_said(self, server: RehearsalServer) -> None:
        with pytest.raises(OSError, match="in use"):
            await RehearsalServer(SCRIPTS, port=server.port).start()

    async def test_only_loopback_listens(self, server: RehearsalServer) -> None:
        assert server.base_url("text") == f"http://127.0.0.1:{server.port}/text"

    async def test_an_unknown_script_has_no_address(self, server: RehearsalServer) -> None:
        with pytest.raises(NotFound):
            server.base_url("missing")

    async def test_without_a_start_there_is_no_address(self) -> None:
        with pytest.raises(Broken):
            RehearsalServer(SCRIPTS).base_url("text")

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["hanging", "slow"])
    async def test_closing_ends_what_hangs(self, name: str) -> None:
        asked = asyncio.Event()

        def now() -> datetime:
            asked.set()
            return NOON

        async with (
            httpx.AsyncClient(timeout=10, trust_env=False) as client,
            RehearsalServer(SCRIPTS, context=Context(now=now)) as server,
        ):
            url = f"{server.base_url(name)}/v1/messages"
            waiting = tasks.spawn(_status_or_cut(client, url), name="client")
            await asked.wait()
            async with asyncio.timeout(3):
                await server.close()
            assert await waiting in (503, "cut")

    @pytest.mark.slow
    async def test_a_client_that_goes_leaves_no_task(self, server: RehearsalServer) -> None:
        before = asyncio.all_tasks()
        async with httpx.AsyncClient(timeout=0.2, trust_env=False) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(f"{server.base_url('hanging')}/v1/messages", json=body())
        left = asyncio.all_tasks() - before
        if left:
            _, pending = await asyncio.wait(left, timeout=3)
            assert not pending


async def _status_or_cut(client: httpx.AsyncClient, url: str) -> int | str:
    try:
        return (await client.post(url, json=body())).status_code
    except httpx.RemoteProtocolError:
        return "cut"


@pytest.mark.asyncio(loop_scope="module")
class TestMessages:
    async def test_the_events_are_those_of_the_messages_format(
        self, shared: RehearsalServer, client: httpx.AsyncClient
    ) -> None:
        reply = await client.post(f"{shared.base_url('text')}/v1/messages?beta=true", json=body())
        events = events_of(reply.text)
        kinds = [event["type"] for event in events]
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert kinds[:3] == ["message_start", "ping", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        deltas = [e["delta"]["text"] for e in events if e["type"] == "content_block_delta"]
        assert len(deltas) > 3
        assert "".join(deltas) == LONG
        assert events[-2]["delta"]["stop_reason"] == "end_turn"

    async def test_usage_tells_of_the_cache(
        self, shared: RehearsalServer, client: httpx.AsyncClient
    ) -> None:
        url = f"{shared.base_url('counted')}/v1/messages"
        events = events_of((await client.post(url, json=body())).text)
        whole = (await client.post(url, json=body(stream=False))).json()
        sent = {
            "input_tokens": 7,
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 11,
            "output_tokens": 3,
        }
        assert events[0]["message"]["usage"] == {**sent, "output_tokens": 1}
        assert events[-2]["usage"] == sent
        assert whole["usage"] == sent
        assert whole["content"] == [{"type": "text", "text": "Hi"}]

    async def test_a_structure_comes_in_pieces_that_make_one_input(
        self, shared: RehearsalServer, client: httpx.AsyncClient
    ) -> None:
        url = f"{shared.base_url('ending')}/v1/messages"
        offered = body(tools=[{"name": "StructuredOutput"}])
        events = events_of((await client.post(url, json=offered)).text)
        opened = [e["content_block"] for e in events if e["type"] == "content_block_start"]
        assert [block["type"] for block in opened] == ["text", "tool_use"]
        assert opened[1]["input"] == {}
        deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
        pieces = [d["partial_json"] for d in deltas if d["type"] == "input_json_delta"]
        assert json.loads("".join(pieces)) == {"a": "ü"}
        assert events[-2]["delta"]["stop_reason"] == "tool_use"

    async def test_a_cut_drops_the_connection_after_so_many_events(
        self, shared: RehearsalServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", shared.port)
        sent = json.dumps(body()).encode()
        head = f"POST /cut/v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: {len(sent)}\r\n\r\n"
        writer.write(head.encode() + sent)
        received = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        assert received.count("event: ") == 4
        assert "\r\n0\r\n" not in received
        # Another server of the same process may tell of its own requests.
        assert not [each for each in caplog.records if each.name != "uvicorn.access"]

    async def test_a_limit_says_when_it_ends(
        self, shared: RehearsalServer, client: httpx.AsyncClient
    ) -> None:
        reply = await client.post(f"{shared.base_url('limited')}/v1/messages", json=body())
        assert reply.status_code == 429
        assert reply.headers["anthropic-ratelimit-unified-status"] == "rejected"
        reset = int(reply.headers["anthropic-ratelimit-unified-reset"])
        assert reset == int(NOON.timestamp()) + 60
        assert (reply.headers["retry-after"], reply.headers["x-a"]) == ("60", "b")
        assert reply.json()["error"]["type"] == "odd"

    async def test_a_request_for_a_title_is_harmless(
        self, shared: RehearsalServer, client: httpx.AsyncClient
    ) -> None:
        url = f"{shared.base_url('hanging')}/v1/messages"
        reply = await client.post(url, json=body(tools=[], stream=False))
        assert reply.json()["content"] == [{"type": "text", "text": "Rehearsal"}]
        assert shared.requests[-1].role == ""


BAD_LINE = json.dumps(
    {
        "model": "m",
        "messages": [{"role": "user", "content": "cockpit-call: {}"}],
        "input": "cockpit-call: {}",
        "contents": [{"parts": [{"text": "cockpit-call: {}"}]}],
    }
).encode()
SIDE = ["api/claude_code/settings", "api/claude_cli/bootstrap", "api/event_logging/v2/batch", "v1"]


@pytest.mark.asyncio(loop_scope="module")
class TestOtherRequests:
    @pytest.mark.parametrize("path", SIDE)
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_side_calls_find_nothing(
        self, shared: RehearsalServer, client: httpx.AsyncClient, path: str, method: str
    ) -> None:
        reply = await client.request(method, f"{shared.base_url('text')}/{path}", json={})
        assert reply.status_code == 404
        assert reply.json()["error"]["type"] == "not_found_error"

    @pytest.mark.parametrize("path", ["", "/", "/api/hello"])
    async def test_it_answers_whether_it_lives(
        self, shared: RehearsalServer, client: httpx.AsyncClient, path: str
    ) -> None:
        assert (await client.head(f"{shared.base_url('text')}{path}")).status_code == 200

    @pytest.mark.parametrize(
        "path", ["/", "/missing", "/missing/v1/messages", "/missing/v1/responses"]
    )
    async def test_an_unknown_script_is_not_found(
        self, shared: RehearsalServer, client: httpx.AsyncClient, path: str
    ) -> None:
        url = f"http://127.0.0.1:{shared.port}{path}"
        assert (await client.post(url, json=body())).status_code == 404

    @pytest.mark.parametrize(
        ("path", "key"),
        [
            ("v1/messages/count_tokens", "input_tokens"),
            ("v1beta/models/m:countTokens", "totalTokens"),
        ],
    )
    async def test_tokens_are_counted(
        self, shared: RehearsalServer, client: httpx.AsyncClient, path: str, key: str
    ) -> None:
        reply = await client.post(f"{shared.base_url('text')}/{path}", json=body())
        assert reply.json()[key] > 10

    @pytest.mark.parametrize(
        "path",
        [
            "v1/messages",
            "v1/chat/completions",
            "v1/responses",
            "v1/models/m:generateContent",
            "v1beta/models/m:streamGenerateContent",
        ],
    )
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b"{}",
            b'{"model": 1}',
            b'{"model": "m", "messages": {}, "input": 3, "contents": "x"}',
            BAD_LINE,
            b"\xff",
        ],
    )
    async def test_hostile_bodies_are_refused(
        self, shared: RehearsalServer, client: httpx.AsyncClient, path: str, content: bytes
    ) -> None:
        reply = await client.post(f"{shared.base_url('text')}/{path}", content=content)
        assert reply.status_code == 400
        assert reply.json()["error"]["message"]

    @pytest.mark.parametrize(
        ("path", "question"),
        [
            ("v1/chat/completions", {"model": "m", "messages": [{"role": "user"}]}),
            (
                "v1/responses",
                {"model": "m", "input": [7, {"role": "user", "content": [None, "x"]}]},
            ),
            ("v1beta/models/m:generateContent", {"contents": [None, {"parts": [3, {"text": 4}]}]}),
            ("v1/messages", {"model": "m", "messages": [3], "tools": [None, {"name": 4}]}),
        ],
    )
    async def test_odd_messages_name_nobody(
        self,
        shared: RehearsalServer,
        client: httpx.AsyncClient,
        path: str,
        question: dict[str, Any],
    ) -> None:
        reply = await client.post(f"{shared.base_url('text')}/{path}", json=question)
        assert reply.status_code == 200
        assert "Rehearsal" in reply.text

    async def test_the_record_is_bounded_and_says_who_asked(
        self, shared: RehearsalServer, client: httpx.AsyncClient
    ) -> None:
        await client.post(f"{shared.base_url('text')}/v1/messages", json=body())
        seen = shared.requests[-1]
        assert (seen.script, seen.provider, seen.role) == ("text", "anthropic", "coder")
        assert (seen.path, seen.status) == ("/v1/messages", 200)
        assert shared.requests.maxlen == 1_000
