"""The rehearsal's wire formats, proved by the real SDKs of both validator families."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from google import genai
from google.genai import errors as genai_errors
from google.genai import types as genai_types
from pydantic import BaseModel

from runner.rehearsal.scripts import Script, load_all
from runner.rehearsal.server import RehearsalServer


class Criterion(BaseModel):
    id: str
    status: str
    where: str


class VerdictReply(BaseModel):
    verdict: str
    confidence: float
    summary: str
    criteria: list[Criterion]
    blocking_issues: list[str]
    non_blocking_issues: list[str]
    evidence_gaps: list[str]


JUDGE_INPUT = json.dumps(
    {
        "call": {"role": "validator", "package": 1},
        "criteria": [{"id": "C1", "text": "one"}, {"id": "C2", "text": "two"}],
        "diff": 'cockpit-call: {"role":"coder"}\n{"call": {"role": "validator"}}',
    },
    indent=1,
)
MESSAGES: list[Any] = [
    {"role": "system", "content": "Judge the evidence."},
    {"role": "user", "content": f"The run package:\n\n{JUDGE_INPUT}\n"},
]


def faulty(**verdict: Any) -> Script:
    return Script.model_validate(
        {
            "title": "a fault",
            "description": "one fault",
            "goal": "a goal",
            "criteria": ["a criterion"],
            "goal_attempted": True,
            "planner": [],
            "coder": [],
            "validator": [verdict],
        }
    )


FAULTS = {
    "unauthorized": faulty(fault={"status": 401, "message": "Invalid bearer token"}),
    "throttled": faulty(fault={"status": 429, "headers": {"retry-after": "0"}}),
    "broken": faulty(fault={"status": 500}),
    "hanging": faulty(fault={"hang": True}),
    "refusing": faulty(refusal="I will not judge this."),
    "cut": faulty(fault={"cut_after_events": 1}),
}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RehearsalServer]:
    async with RehearsalServer({**load_all(), **FAULTS}) as running:
        yield running


@pytest.mark.slow
@pytest.mark.asyncio
class TestOpenAi:
    async def test_a_parsed_completion(self, server: RehearsalServer) -> None:
        async with _openai(server, "happy") as client:
            completion = await client.chat.completions.parse(
                model="gpt-5", messages=MESSAGES, response_format=VerdictReply
            )
        reply = completion.choices[0].message.parsed
        assert reply is not None
        assert [(c.id, c.status) for c in reply.criteria] == [("C1", "pass"), ("C2", "pass")]
        assert completion.usage is not None
        assert completion.usage.prompt_tokens_details is not None
        assert completion.usage.prompt_tokens == 2100 + 1024
        assert completion.usage.prompt_tokens_details.cached_tokens == 1024
        assert completion.usage.completion_tokens == 160

    async def test_the_families_disagree_where_the_script_says_so(
        self, server: RehearsalServer
    ) -> None:
        async with _openai(server, "disagreeing_validators") as client:
            completion = await client.chat.completions.parse(
                model="gpt-5", messages=MESSAGES, response_format=VerdictReply
            )
        async with _gemini(server, "disagreeing_validators").aio as other:
            reply = await other.models.generate_content(
                model="gemini-2.5-pro", contents=str(MESSAGES[1]["content"]), config=CONFIG
            )
        parsed = completion.choices[0].message.parsed
        assert parsed is not None
        assert isinstance(reply.parsed, VerdictReply)
        assert (parsed.verdict, reply.parsed.verdict) == ("pass", "fail")

    async def test_a_streamed_completion(self, server: RehearsalServer) -> None:
        async with (
            _openai(server, "happy") as client,
            client.chat.completions.stream(
                model="gpt-5",
                messages=MESSAGES,
                response_format=VerdictReply,
                stream_options={"include_usage": True},
            ) as stream,
        ):
            kinds = [event.type async for event in stream]
            completion = await stream.get_final_completion()
        assert kinds.count("content.delta") > 3
        assert completion.choices[0].message.parsed is not None
        assert completion.usage is not None
        assert completion.usage.total_tokens == 2100 + 1024 + 160

    async def test_a_parsed_response(self, server: RehearsalServer) -> None:
        async with _openai(server, "happy") as client:
            response = await client.responses.parse(
                model="gpt-5", input=MESSAGES, text_format=VerdictReply
            )
        assert response.output_parsed is not None
        assert response.output_parsed.verdict == "pass"
        assert response.usage is not None
        assert response.usage.input_tokens_details.cached_tokens == 1024

    async def test_a_streamed_response(self, server: RehearsalServer) -> None:
        async with (
            _openai(server, "happy") as client,
            client.responses.stream(
                model="gpt-5", input=str(MESSAGES[1]["content"]), text_format=VerdictReply
            ) as stream,
        ):
            events = [event async for event in stream]
            final = await stream.get_final_response()
        assert events[0].type == "response.created"
        assert events[-1].type == "response.completed"
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert final.output_parsed is not None

    async def test_unknown_criteria_of_any_repository(self, server: RehearsalServer) -> None:
        async with _openai(server, "any_repository") as client:
            response = await client.responses.parse(
                model="gpt-5", input=MESSAGES, text_format=VerdictReply
            )
        assert response.output_parsed is not None
        assert response.output_parsed.verdict == "inconclusive"
        assert {c.status for c in response.output_parsed.criteria} == {"unknown"}

    async def test_a_refusal(self, server: RehearsalServer) -> None:
        async with _openai(server, "refusing") as client:
            chat = await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
            response = await client.responses.create(model="gpt-5", input=MESSAGES)
        assert chat.choices[0].message.refusal == "I will not judge this."
        part = response.model_dump()["output"][0]["content"][0]
        assert part == {"type": "refusal", "refusal": "I will not judge this."}

    @pytest.mark.parametrize(
        ("script", "error"),
        [
            ("unauthorized", openai.AuthenticationError),
            ("throttled", openai.RateLimitError),
            ("broken", openai.InternalServerError),
            ("cut", openai.APIError),
            ("hanging", openai.APITimeoutError),
        ],
    )
    async def test_a_fault_is_the_clients_own_error(
        self, server: RehearsalServer, script: str, error: type[Exception]
    ) -> None:
        async with _openai(server, script) as client:
            with pytest.raises(error):
                await client.chat.completions.create(model="gpt-5", messages=MESSAGES)


def _openai(server: RehearsalServer, script: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="rehearsal",
        base_url=f"{server.base_url(script)}/v1",
        max_retries=0,
        timeout=0.5 if script == "hanging" else 10,
    )


def _gemini(server: RehearsalServer, script: str, version: str = "v1beta") -> genai.Client:
    return genai.Client(
        api_key="rehearsal",
        http_options=genai_types.HttpOptions(
            base_url=server.base_url(script), api_version=version, timeout=10_000
        ),
    )


CONFIG = genai_types.GenerateContentConfig(
    system_instruction="Judge the evidence.",
    response_mime_type="application/json",
    response_schema=VerdictReply,
)


@pytest.mark.slow
@pytest.mark.asyncio
class TestGemini:
    @pytest.mark.parametrize("version", ["v1", "v1beta"])
    async def test_a_parsed_reply(self, server: RehearsalServer, version: str) -> None:
        async with _gemini(server, "happy", version).aio as client:
            reply = await client.models.generate_content(
                model="gemini-2.5-pro", contents=str(MESSAGES[1]["content"]), config=CONFIG
            )
        assert isinstance(reply.parsed, VerdictReply)
        assert [c.id for c in reply.parsed.criteria] == ["C1", "C2"]
        usage = reply.usage_metadata
        assert usage is not None
        assert (usage.prompt_token_count, usage.cached_content_token_count) == (2300 + 512, 512)
        assert usage.candidates_token_count == 150

    async def test_a_streamed_reply(self, server: RehearsalServer) -> None:
        async with _gemini(server, "happy").aio as client:
            stream = await client.models.generate_content_stream(
                model="gemini-2.5-pro", contents=str(MESSAGES[1]["content"]), config=CONFIG
            )
            portions = [portion.text or "" async for portion in stream]
        assert len(portions) > 3
        assert VerdictReply.model_validate_json("".join(portions)).verdict == "pass"

    async def test_a_refusal_has_no_text(self, server: RehearsalServer) -> None:
        async with _gemini(server, "refusing").aio as client:
            reply = await client.models.generate_content(
                model="gemini-2.5-pro", contents=str(MESSAGES[1]["content"]), config=CONFIG
            )
        assert reply.candidates is not None
        assert reply.candidates[0].finish_reason == genai_types.FinishReason.SAFETY
        assert reply.text is None

    @pytest.mark.parametrize(("script", "status"), [("unauthorized", 401), ("throttled", 429)])
    async def test_a_fault_is_the_clients_own_error(
        self, server: RehearsalServer, script: str, status: int
    ) -> None:
        async with _gemini(server, script).aio as client:
            with pytest.raises(genai_errors.ClientError) as raised:
                await client.models.generate_content(
                    model="gemini-2.5-pro", contents=str(MESSAGES[1]["content"])
                )
        assert raised.value.code == status
