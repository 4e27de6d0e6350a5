"""Whatever a script says, each wire format carries it unchanged, streamed or whole."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Invalid
from runner.rehearsal import anthropic, gemini, openai
from runner.rehearsal.replies import Asked, Reply
from runner.rehearsal.scripts import ToolUse, Usage
from runner.rehearsal.wires import asked, pieces, required, texts_of

MESSAGES = anthropic.Messages()
CHAT = openai.ChatCompletions()
RESPONSES = openai.Responses()
GENERATE = gemini.GenerateContent()
TEXT = st.text(min_size=1, max_size=300)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)
USAGE = st.builds(
    Usage,
    input=st.integers(0, 10**6),
    output=st.integers(0, 10**6),
    cache_write=st.integers(0, 10**6),
    cache_read=st.integers(0, 10**6),
)
QUESTION = asked("claude", b"{}", model="m", stream=True, messages=[])


def sent(events: Iterable[bytes]) -> list[dict[str, Any]]:
    """The data of server-sent events, read line by line as the most eager client does."""
    whole = b"".join(events).decode("utf-8")
    assert whole.endswith("\n\n")
    data = [line.removeprefix("data: ") for line in whole.splitlines() if line[:6] == "data: "]
    return [json.loads(line) for line in data if line != "[DONE]"]


def reply(usage: Usage, *texts: str, tools: tuple[ToolUse, ...] = ()) -> Reply:
    return Reply(role="coder", usage=usage, texts=texts, tools=tools)


@settings(max_examples=40)
@given(TEXT, USAGE)
def test_a_text_is_carried_by_every_stream(text: str, usage: Usage) -> None:
    answer = reply(usage, text)
    messages = sent(MESSAGES.events(QUESTION, answer, 0))
    said = [e["delta"]["text"] for e in messages if e["type"] == "content_block_delta"]
    assert "".join(said) == text
    chat = [event["choices"] for event in sent(CHAT.events(QUESTION, answer, 0))]
    assert "".join(c[0]["delta"].get("content", "") for c in chat if c) == text
    responses = sent(RESPONSES.events(QUESTION, answer, 0))
    deltas = [e["delta"] for e in responses if e["type"] == "response.output_text.delta"]
    assert "".join(deltas) == text
    generated = [e["candidates"][0] for e in sent(GENERATE.events(QUESTION, answer, 0))]
    assert "".join(c["content"]["parts"][0]["text"] for c in generated) == text


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=9), VALUE, max_size=4), USAGE)
def test_the_input_of_a_tool_is_carried_in_pieces(given_input: Any, usage: Usage) -> None:
    answer = reply(usage, tools=(ToolUse(name="Write", input=given_input),) * 2)
    events = sent(MESSAGES.events(QUESTION, answer, 0))
    for index in (0, 1):
        mine = [e for e in events if e.get("index") == index and "delta" in e]
        assert json.loads("".join(e["delta"]["partial_json"] for e in mine)) == given_input
    ids = [e["content_block"]["id"] for e in events if e["type"] == "content_block_start"]
    assert len(set(ids)) == 2


@given(USAGE)
def test_every_format_tells_the_same_usage_in_its_own_words(usage: Usage) -> None:
    answer = reply(usage, "x")
    given_tokens = usage.input + usage.cache_write + usage.cache_read
    messages = MESSAGES.whole(QUESTION, answer, 0)["usage"]
    assert messages["input_tokens"] == usage.input
    chat = CHAT.whole(QUESTION, answer, 0)["usage"]
    assert chat["prompt_tokens"] == given_tokens
    assert chat["prompt_tokens_details"]["cached_tokens"] == usage.cache_read
    responses = RESPONSES.whole(QUESTION, answer, 0)["usage"]
    assert responses["input_tokens_details"]["cached_tokens"] == usage.cache_read
    assert responses["total_tokens"] == chat["total_tokens"] == given_tokens + usage.output
    generated = GENERATE.whole(QUESTION, answer, 0)["usageMetadata"]
    assert generated["promptTokenCount"] == given_tokens
    assert generated["cachedContentTokenCount"] == usage.cache_read


@given(st.text(max_size=200))
def test_pieces_make_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("a", ("a",)),
        ([{"type": "text", "text": "a"}, "b"], ("a", "b")),
        ([{"type": "tool_result", "content": "cockpit-call: {}"}], ()),
        ([{"type": "text"}, {"type": "text", "text": 3}, None, 4], ()),
        (None, ()),
        ({"type": "text", "text": "a"}, ()),
    ],
)
def test_only_texts_are_read_from_a_message(content: Any, texts: tuple[str, ...]) -> None:
    assert texts_of(content, frozenset({"text"})) == texts


def test_a_missing_field_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        required({"model": 3}, "model", str)
    assert refused.value.data["field"] == "model"


def read(body: dict[str, Any]) -> Asked:
    return MESSAGES.read(body, json.dumps(body).encode(), {})


def test_the_same_request_has_the_same_ids_and_another_has_others() -> None:
    body = {"model": "m", "messages": []}
    assert read(body).mark == read(body).mark
    assert read(body).mark != read({**body, "model": "n"}).mark
