"""What every validator promises, asked of both families over real sockets and of the stand-in.

The servers: one of our own that plays odd frames, two emulators by others, and the rehearsal's.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from core.errors import Unavailable
from core.judgement.judge import Judge, JudgeCall, JudgeReply
from core.judgement.verdicts import Judgement, failed_call, parse_reply, reply_schema
from runner.http_client import MAX_BODY
from runner.judges.gemini import GeminiJudge
from runner.judges.openai import OpenaiJudge
from runner.rehearsal.scripts import load_all
from runner.rehearsal.server import RehearsalServer
from runner.waiting import Pace
from tests import servers
from tests.fakes_judges import FakeJudge
from tests.judge_wire import (
    FAMILIES,
    KEY,
    VERDICT,
    Family,
    JudgeWire,
    Play,
    answer,
    error,
)

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

EVIDENCE = json.dumps(
    {"call": {"role": "validator", "package": 1}, "criteria": [{"id": "C1", "text": "one"}]}
).encode()
QUICK = Pace(first_wait=0.0, jitter=0.0, longest_wait=0.05)
JUDGES: dict[Family, Callable[..., OpenaiJudge | GeminiJudge]] = {
    "openai": OpenaiJudge,
    "gemini": GeminiJudge,
}
MODELS: dict[str, str] = {"openai": "gpt-5", "gemini": "gemini-2.5-pro"}
Scene = Callable[[Family], list[Play]]


def truncated(family: Family) -> Play:
    return answer(family, ended={"openai": "length", "gemini": "MAX_TOKENS"}[family])


def blocked(family: Family) -> Play:
    return answer(family, ended={"openai": "content_filter", "gemini": "SAFETY"}[family])


def body(text: str, **headers: str) -> Play:
    return Play(body=text.encode(), headers={n.replace("_", "-"): v for n, v in headers.items()})


# Scene: what is played, the verdict it must come to, and the failure, if the call failed.
SCENES: dict[str, tuple[Scene, str, str | None]] = {
    "a good verdict": (lambda f: [answer(f)], "pass", None),
    "throttled once": (lambda f: [error(429, retry_after="0"), answer(f)], "pass", None),
    "broken once": (lambda f: [error(503), answer(f)], "pass", None),
    "cut once": (lambda f: [Play(body=b"{}" * 50, then="cut"), answer(f)], "pass", None),
    "unauthorised": (lambda f: [error(401)], "inconclusive", "unauthorised"),
    "forbidden": (lambda f: [error(403)], "inconclusive", "unauthorised"),
    "bad request": (lambda f: [error(400)], "inconclusive", "http_error"),
    "redirect": (lambda f: [error(302, location="/other")], "inconclusive", "http_error"),
    "throttled": (lambda f: [error(429, retry_after="9999")], "inconclusive", "rate_limited"),
    "broken": (lambda f: [error(500)], "inconclusive", "http_error"),
    "overloaded": (lambda f: [error(529)], "inconclusive", "http_error"),
    "silence": (lambda f: [Play(then="hang")], "inconclusive", "timed_out"),
    "cut": (lambda f: [Play(body=b"{}" * 50, then="cut")], "inconclusive", "unreachable"),
    "refused": (lambda f: [answer(f, refusal="No.")], "inconclusive", "refusal"),
    "blocked": (lambda f: [blocked(f)], "inconclusive", "refusal"),
    "empty": (lambda f: [answer(f, "")], "inconclusive", "malformed"),
    "blank": (lambda f: [answer(f, " \n\t")], "inconclusive", "malformed"),
    "truncated": (lambda f: [truncated(f)], "inconclusive", "malformed"),
    "ended by nothing": (lambda f: [answer(f, ended=None)], "inconclusive", "malformed"),
    "half a body": (lambda f: [body('{"choices": [{"mess')], "inconclusive", "malformed"),
    "a body of prose": (
        lambda f: [body("It passes.", content_type="text/plain")],
        "inconclusive",
        "malformed",
    ),
    "a body of another shape": (
        lambda f: [body('{"choices": 7, "candidates": {"a": 1}, "usage": "much"}')],
        "inconclusive",
        "malformed",
    ),
    "a deep body": (lambda f: [body("[" * 200_000)], "inconclusive", "malformed"),
    "a flood": (lambda f: [Play(then="flood")], "inconclusive", "malformed"),
    "a packed body": (
        lambda f: [body("anything", content_encoding="gzip")],
        "inconclusive",
        "malformed",
    ),
    "prose": (lambda f: [answer(f, "I would say it passes.")], "inconclusive", None),
    "half a verdict": (lambda f: [answer(f, json.dumps(VERDICT)[:40])], "inconclusive", None),
    "a verdict with NaN": (
        lambda f: [answer(f, json.dumps(VERDICT).replace("0.9", "NaN"))],
        "inconclusive",
        None,
    ),
}
REPEATED = {"throttled": 3, "broken": 3, "overloaded": 3, "silence": 3, "cut": 3}
REPEATED |= {"throttled once": 2, "broken once": 2, "cut once": 2}
UNANSWERED = {name for name, (_, _, failure) in SCENES.items() if failure} - {
    *("refused", "blocked", "empty", "blank", "truncated", "ended by nothing", "half a body"),
    *("a body of prose", "a body of another shape", "a deep body"),
}


def call(url: str | None = None, **more: Any) -> JudgeCall:
    facts: dict[str, Any] = {"timeout_seconds": 0.4, "model": "gpt-5", "base_url": url, **more}
    return JudgeCall(EVIDENCE, "Judge the evidence.", reply_schema(), **facts)


def meaning(reply: JudgeReply) -> Judgement:
    """As the core takes it."""
    return failed_call(reply.failure) if reply.failure else parse_reply(reply.text, ["C1"])


def real(family: Family, key: str | None = KEY, pace: Pace = QUICK) -> OpenaiJudge | GeminiJudge:
    return JUDGES[family](lambda: key, pace)


@asynccontextmanager
async def played(stand: str, scene: str) -> AsyncIterator[tuple[Judge, str | None]]:
    if stand == "fake":
        yield FakeJudge(scene), None
        return
    family: Family = "openai" if stand == "openai" else "gemini"
    async with JudgeWire(SCENES[scene][0](family)) as wire:
        yield real(family), wire.url


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("stand", [*FAMILIES, "fake"])
async def test_whatever_is_played_is_a_reply_and_only_a_good_verdict_passes(
    stand: str, scene: str
) -> None:
    _, verdict, failure = SCENES[scene]
    patience = 0.4 if scene == "silence" else 10.0
    async with played(stand, scene) as (judge, url):
        reply = await judge.judge(call(url, timeout_seconds=patience))
    assert (meaning(reply).verdict, reply.failure) == (verdict, failure)
    assert (reply.text is None) == (failure is not None)
    assert reply.attempts == REPEATED.get(scene, 1)
    assert reply.model == "gpt-5"


@pytest.mark.parametrize("scene", sorted(set(SCENES) - {"a flood", "a packed body"}))
@pytest.mark.parametrize("stand", [*FAMILIES, "fake"])
async def test_every_answered_attempt_has_one_row_of_usage_and_no_other_has(
    stand: str, scene: str
) -> None:
    patience = 0.4 if scene == "silence" else 10.0
    async with played(stand, scene) as (judge, url):
        reply = await judge.judge(call(url, timeout_seconds=patience))
    assert len(reply.usage) == (0 if scene in UNANSWERED else 1)
    assert all(row.cost_usd is None and row.model == "gpt-5" for row in reply.usage)


@pytest.mark.parametrize("stand", [*FAMILIES, "fake"])
async def test_without_a_key_it_is_a_hold_and_nothing_is_asked(stand: str) -> None:
    async with JudgeWire([answer("openai")]) as wire:
        judge: Judge
        judge = FakeJudge("x", key=lambda: None) if stand == "fake" else real(stand, None)  # type: ignore[arg-type]
        with pytest.raises(Unavailable) as raised:
            await judge.judge(call(wire.url))
    assert raised.value.code == "HOLD-VALIDATOR-CONFIG"
    assert wire.asked == []


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nbreak", "ключ", "\ud800", "k\x00"])
async def test_a_key_that_cannot_be_sent_is_a_hold_that_does_not_tell_it(
    family: Family, key: str
) -> None:
    with pytest.raises(Unavailable) as raised:
        await real(family, key).judge(call("http://127.0.0.1:9"))
    assert raised.value.code == "HOLD-VALIDATOR-CONFIG"
    assert not key.strip() or key.strip() not in f"{raised.value!r}{raised.value.data}"


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_rehearsal_sends_the_placeholder_and_reads_no_key(family: Family) -> None:
    def no_key() -> str:
        raise AssertionError("the key was read")

    async with JudgeWire([answer(family)]) as wire:
        reply = await JUDGES[family](no_key, QUICK).judge(call(wire.url, rehearsal=True))
    assert meaning(reply).verdict == "pass"
    assert "rehearsal" in sent_keys(wire)


def sent_keys(wire: JudgeWire) -> set[str]:
    headers = wire.asked[0].headers
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    return {bearer, headers.get("x-goog-api-key", "")} - {""}


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_model_sees_the_instructions_the_exact_evidence_and_the_schema(
    family: Family,
) -> None:
    async with JudgeWire([answer(family)]) as wire:
        await real(family).judge(call(wire.url, model=MODELS[family]))
    asked = wire.asked[0]
    if family == "openai":
        assert asked.path == "/v1/chat/completions"
        assert [m["content"] for m in asked.body["messages"]] == [
            "Judge the evidence.",
            EVIDENCE.decode(),
        ]
        assert asked.body["response_format"]["json_schema"]["strict"] is True
        schema = asked.body["response_format"]["json_schema"]["schema"]
    else:
        assert asked.path == "/v1beta/models/gemini-2.5-pro:generateContent"
        assert asked.body["contents"][0]["parts"] == [{"text": EVIDENCE.decode()}]
        assert asked.body["systemInstruction"]["parts"] == [{"text": "Judge the evidence."}]
        assert asked.body["generationConfig"]["responseMimeType"] == "application/json"
        schema = asked.body["generationConfig"]["responseJsonSchema"]
    assert schema == reply_schema()


@pytest.mark.parametrize("family", FAMILIES)
async def test_cached_tokens_are_apart_and_thoughts_are_output(family: Family) -> None:
    async with JudgeWire([answer(family)]) as wire:
        reply = await real(family).judge(call(wire.url))
    (row,) = reply.usage
    assert (row.input_tokens, row.cache_read_tokens, row.output_tokens) == (700, 300, 50)
    assert row.provider == {"openai": "openai", "gemini": "google"}[family]
    assert row.cache_write_tokens == 0


ODD_USAGE: list[Any] = [
    None,
    "much",
    {},
    {"prompt_tokens": -5, "promptTokenCount": -5, "cachedContentTokenCount": 9},
    {"prompt_tokens": 10**30, "promptTokenCount": 10**30},
    {"prompt_tokens": float("nan"), "promptTokenCount": float("nan")},
    {
        "prompt_tokens": True,
        "promptTokenCount": True,
        "prompt_tokens_details": {"cached_tokens": 5},
    },
    {"prompt_tokens": "7", "completion_tokens": [1], "prompt_tokens_details": "none"},
]


@pytest.mark.parametrize("usage", ODD_USAGE, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
async def test_odd_numbers_of_tokens_are_stored_as_numbers(family: Family, usage: Any) -> None:
    async with JudgeWire([answer(family, usage=usage)]) as wire:
        reply = await real(family).judge(call(wire.url))
    (row,) = reply.usage
    counts = (row.input_tokens, row.output_tokens, row.cache_read_tokens)
    assert all(type(n) is int and 0 <= n <= 10**12 for n in counts)


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_providers_request_id_names_the_row_and_a_made_one_is_unique(
    family: Family,
) -> None:
    plays = [answer(family), answer(family, answer_id=None), answer(family, answer_id=None)]
    async with JudgeWire([*plays, answer(family, answer_id="an id\twith blanks")]) as wire:
        replies = [await real(family).judge(call(wire.url)) for _ in range(4)]
    ids = [reply.usage[0].call_id for reply in replies]
    assert ids[0] in ("openai:chatcmpl-7", "google:gem-7")
    assert len(set(ids)) == 4
    assert all(re.fullmatch(r"(openai|google):made-[0-9a-f]{32}", made) for made in ids[1:])
    assert all(r.usage[0].call_id.endswith(f":{r.request_id}") for r in replies)


async def test_the_request_id_of_the_wire_goes_before_that_of_the_body() -> None:
    async with JudgeWire([answer("openai", request_id="req_9")]) as wire:
        reply = await real("openai").judge(call(wire.url))
    assert (reply.request_id, reply.usage[0].call_id) == ("req_9", "openai:req_9")


@pytest.mark.parametrize("family", FAMILIES)
async def test_retry_after_is_honoured_and_capped(family: Family) -> None:
    pace = Pace(first_wait=0.0, jitter=0.0, longest_wait=0.5)
    plays = [error(429, retry_after="0.3"), error(503, retry_after="9999"), answer(family)]
    async with JudgeWire(plays) as wire:
        reply = await real(family, pace=pace).judge(call(wire.url, timeout_seconds=10.0))
    waits = [b.at - a.at for a, b in zip(wire.asked, wire.asked[1:], strict=False)]
    assert reply.failure is None
    assert 0.3 <= waits[0] < 0.49
    assert 0.5 <= waits[1] < 5.0


async def test_gemini_says_retry_after_in_its_body() -> None:
    delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.3s"}
    told = {"code": 429, "message": "Slow down", "details": [{"@type": "x"}, delay]}
    plays = [Play(429, json.dumps({"error": told}).encode()), answer("gemini")]
    pace = Pace(first_wait=0.0, jitter=0.0, longest_wait=0.5)
    async with JudgeWire(plays) as wire:
        await real("gemini", pace=pace).judge(call(wire.url, timeout_seconds=10.0))
    assert wire.asked[1].at - wire.asked[0].at >= 0.3


@pytest.mark.parametrize("family", FAMILIES)
async def test_of_a_flood_only_the_first_part_is_taken(family: Family) -> None:
    async with JudgeWire([Play(then="flood")]) as wire:
        await real(family).judge(call(wire.url, timeout_seconds=20.0))
    assert len(wire.asked) == 1
    assert wire.sent < 3 * MAX_BODY


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_judgement_that_is_cancelled_hangs_up(family: Family) -> None:
    async with JudgeWire([Play(then="hang")]) as wire:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await real(family).judge(call(wire.url, timeout_seconds=60.0))
        await asyncio.wait_for(wire.hung_up.wait(), 10.0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://", "nonsense", "http://[::bad"])
async def test_an_address_where_nobody_answers_is_a_failure(family: Family, url: str) -> None:
    reply = await real(family).judge(call(url, timeout_seconds=5.0))
    assert reply.failure == "unreachable" or (reply.failure, reply.text) == ("malformed", None)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("family", FAMILIES)
async def test_the_key_is_in_no_reply_and_in_no_log(
    family: Family, scene: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with JudgeWire(SCENES[scene][0](family)) as wire:
        judge = real(family)
        reply = await judge.judge(call(wire.url, retries=1))
    told = "".join(str(record.__dict__) for record in caplog.records if record.name != "tests")
    out = capsys.readouterr()
    assert KEY not in f"{reply!r}{judge!r}{out.out}{out.err}"
    assert KEY not in told


FORGED = ("Authorization", "Host", "User-Agent", "Accept", "Content-Type", "X-Evil")


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere, thief = "http://127.0.0.1:1", "stolen-key"
    shell = {
        "OPENAI_API_KEY": thief,
        "OPENAI_ADMIN_KEY": thief,
        "OPENAI_BASE_URL": nowhere,
        "OPENAI_ORG_ID": "org-evil",
        "OPENAI_PROJECT_ID": "proj-evil",
        "OPENAI_WEBHOOK_SECRET": thief,
        "OPENAI_CUSTOM_HEADERS": "\n".join(f"{name}: {thief}" for name in FORGED),
        "OPENAI_API_TYPE": "azure",
        "AZURE_OPENAI_ENDPOINT": nowhere,
        "GEMINI_API_KEY": thief,
        "GOOGLE_API_KEY": thief,
        "GOOGLE_GEMINI_BASE_URL": nowhere,
        "GOOGLE_VERTEX_BASE_URL": nowhere,
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_GENAI_USE_ENTERPRISE": "true",
        "GOOGLE_GENAI_API_VERSION": "v9",
        "GOOGLE_GENAI_HTTP_CLIENT": "httpx",
        "GOOGLE_GENAI_CLIENT_MODE": "replay",
        "GOOGLE_GENAI_REPLAYS_DIRECTORY": str(tmp_path),
        "GOOGLE_GENAI_REPLAY_ID": "pass",
        "GOOGLE_CLOUD_PROJECT": "proj-evil",
        "GOOGLE_CLOUD_LOCATION": "evil",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json"),
        "GOOGLE_API_USE_MTLS_ENDPOINT": "always",
        "SSL_CERT_FILE": str(tmp_path / "none.pem"),
        "SSL_CERT_DIR": str(tmp_path / "none"),
        "NO_PROXY": "",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), nowhere),
        **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), nowhere),
    }
    for name, value in shell.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("hostile")
async def test_nothing_of_the_shell_leaks_in(family: Family) -> None:
    async with JudgeWire([answer(family)]) as wire:
        reply = await real(family).judge(call(wire.url))
    assert meaning(reply).verdict == "pass"
    (asked,) = wire.asked
    assert sent_keys(wire) == {KEY}
    assert not re.search("evil|stolen", f"{asked.headers}{asked.path}")
    assert asked.path.startswith("/v1/" if family == "openai" else "/v1beta/")


@pytest.fixture(scope="module")
def emulator() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        yield server


@pytest.mark.parametrize("family", FAMILIES)
class TestLlmock:
    """An emulator by others that scripts faults."""

    @pytest.fixture
    def mock(self, emulator: LLMockServer) -> LLMock:
        emulator.state.scenarios.clear()
        return LLMock(emulator)

    def base(self, mock: LLMock, family: Family) -> str:
        return mock.base_url(family).removesuffix("/v1")

    async def test_a_scripted_verdict_after_a_rate_limit(
        self, mock: LLMock, family: Family
    ) -> None:
        mock.rate_limit(times=1, retry_after=0).reply(json.dumps(VERDICT))
        asked = call(self.base(mock, family), timeout_seconds=10.0, model=MODELS[family])
        reply = await real(family).judge(asked)
        assert (meaning(reply).verdict, reply.attempts) == ("pass", 2)
        assert reply.usage[0].input_tokens > 0

    async def test_an_outage(self, mock: LLMock, family: Family) -> None:
        mock.outage()
        asked = call(self.base(mock, family), timeout_seconds=10.0, model=MODELS[family])
        reply = await real(family).judge(asked)
        assert (reply.failure, reply.status, reply.attempts) == ("http_error", 503, 3)

    async def test_an_answer_that_comes_too_late(self, mock: LLMock, family: Family) -> None:
        mock.add(*[]).delay(2.0, times=1)
        asked = call(self.base(mock, family), model=MODELS[family], retries=0)
        reply = await real(family).judge(asked)
        assert reply.failure == "timed_out"

    async def test_prose_of_a_model_that_was_not_scripted(
        self, mock: LLMock, family: Family
    ) -> None:
        mock.reply("It looks fine to me.")
        asked = call(self.base(mock, family), timeout_seconds=10.0, model=MODELS[family])
        assert meaning(await real(family).judge(asked)).verdict == "inconclusive"


@pytest.fixture(scope="module")
def other_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("fixtures")
    usage = {
        "prompt_tokens": 90,
        "completion_tokens": 9,
        "total_tokens": 99,
        "promptTokenCount": 90,
        "candidatesTokenCount": 9,
        "totalTokenCount": 99,
    }
    fixtures = [
        {
            "match": {"userMessage": "throttle-me"},
            "response": {"error": {"message": "Slow", "type": "rate_limit"}, "status": 429},
        },
        {
            "match": {"userMessage": "criteria"},
            "response": {"content": json.dumps(VERDICT), "usage": usage},
        },
    ]
    (folder / "judges.json").write_text(json.dumps({"fixtures": fixtures}))
    with servers.aimock(folder) as url:
        yield url


@pytest.mark.parametrize("family", FAMILIES)
class TestAimock:
    """Another emulator, which serves only what it was given."""

    async def test_a_verdict_and_its_usage(self, other_emulator: str, family: Family) -> None:
        asked = call(other_emulator, timeout_seconds=10.0, model=MODELS[family])
        reply = await real(family).judge(asked)
        assert meaning(reply).verdict == "pass"
        assert (reply.usage[0].input_tokens, reply.usage[0].output_tokens) == (90, 9)

    async def test_a_rate_limit(self, other_emulator: str, family: Family) -> None:
        asked = JudgeCall(
            b"throttle-me", "Judge.", reply_schema(), MODELS[family], base_url=other_emulator
        )
        reply = await real(family).judge(asked)
        assert (reply.failure, reply.status) == ("rate_limited", 429)


@pytest.mark.parametrize("family", FAMILIES)
class TestRehearsal:
    """The product's own server."""

    async def test_the_script_is_judged_like_any_provider(self, family: Family) -> None:
        async with RehearsalServer(load_all()) as server:
            asked = call(server.base_url("happy"), timeout_seconds=10.0, rehearsal=True)
            reply = await real(family, None).judge(asked)
        assert meaning(reply).verdict == "pass"
        assert reply.usage[0].cache_read_tokens > 0

    async def test_the_families_may_disagree(self, family: Family) -> None:
        async with RehearsalServer(load_all()) as server:
            url = server.base_url("disagreeing_validators")
            asked = call(url, timeout_seconds=10.0, rehearsal=True)
            reply = await real(family, None).judge(asked)
        assert meaning(reply).said or meaning(reply).verdict in ("pass", "fail")
        assert meaning(reply).verdict == ("pass" if family == "openai" else "fail")
