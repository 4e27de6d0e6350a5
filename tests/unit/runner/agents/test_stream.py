"""Whatever the CLI prints, there is a result; what it means comes from the result event alone."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.planning.planner import AgentResult
from runner.agents.stream import event_of, parse, read_lines, result_of, text_of
from runner.process import Exit

SELF = Exit(0, "self", 1.5)
FAILED = Exit(1, "self", 1.5)
USAGE = {
    "claude-sonnet-4-5": {
        "inputTokens": 4003,
        "outputTokens": 168,
        "cacheReadInputTokens": 1200,
        "cacheCreationInputTokens": 800,
        "costUSD": 0.017889,
    },
    "claude-haiku-4-5": {"inputTokens": 5, "outputTokens": 1},
}


def envelope(**more: Any) -> dict[str, Any]:
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "api_error_status": None,
        "num_turns": 3,
        "duration_ms": 503,
        "result": "Done.",
        "modelUsage": USAGE,
        **more,
    }


def lines(*events: Any) -> list[bytes]:
    return [e if isinstance(e, bytes) else json.dumps(e).encode() + b"\n" for e in events]


def ended(*events: Any, exit: Exit = SELF, stderr: str = "") -> AgentResult:  # noqa: A002
    return result_of(parse(lines(*events)), exit, call_id="r-1", stderr=stderr)


class TestTheResultEvent:
    def test_a_good_end(self) -> None:
        result = ended(envelope(structured_output={"a": 1}))
        assert (result.end, result.exit_code, result.error) == ("finished", 0, "")
        assert (result.text, result.structured) == ("Done.", {"a": 1})
        assert (result.turns, result.duration_ms) == (3, 503)

    def test_usage_is_one_entry_a_model(self) -> None:
        first, second = ended(envelope()).usage
        assert (first.call_id, first.provider) == ("r-1:claude-sonnet-4-5", "anthropic")
        assert (first.input_tokens, first.output_tokens) == (4003, 168)
        assert (first.cache_read_tokens, first.cache_write_tokens) == (1200, 800)
        assert first.cost_usd == Decimal("0.017889")
        assert (second.call_id, second.cost_usd) == ("r-1:claude-haiku-4-5", None)

    def test_assistant_events_are_never_summed(self) -> None:
        said = {"type": "assistant", "message": {"usage": {"input_tokens": 9_000}}}
        assert ended(said, said, envelope()).usage == ended(envelope()).usage
        assert ended(said, said, exit=FAILED).usage == ()

    def test_the_last_of_several_counts(self) -> None:
        assert ended(envelope(result="One."), envelope(result="Two.")).text == "Two."

    def test_without_one_it_failed(self) -> None:
        result = ended({"type": "system"})
        assert (result.end, result.error) == ("failed", "The process ended with exit code 0.")

    def test_the_subtype_is_not_believed(self) -> None:
        result = ended(envelope(is_error=True, api_error_status=529), exit=FAILED)
        assert (result.end, result.error) == ("failed", "Done.")

    def test_the_exit_code_is_believed(self) -> None:
        assert ended(envelope(), exit=Exit(1, "self", 1)).end == "failed"
        assert ended(envelope(is_error=True), exit=SELF).end == "failed"

    def test_who_ended_it_comes_first(self) -> None:
        assert ended(envelope(), exit=Exit(0, "stop", 1)).end == "stopped"
        assert ended(envelope(), exit=Exit(0, "owner_gone", 1)).end == "lost"
        assert ended(envelope(), exit=Exit(124, "timeout", 1)).end == "timed_out"
        assert ended(envelope(), exit=Exit(124, "self", 1)).end == "timed_out"


class TestFailures:
    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_credential(self, status: int) -> None:
        failed = envelope(is_error=True, api_error_status=status, result="API Error")
        assert ended(failed, exit=FAILED).end == "auth_failed"

    def test_no_login_in_the_envelope(self) -> None:
        said = envelope(is_error=True, result="Not logged in · Please run /login")
        assert ended(said, exit=FAILED).end == "auth_failed"

    def test_no_login_on_the_other_stream(self) -> None:
        assert ended(exit=FAILED, stderr="Please run /login\n").end == "auth_failed"

    def test_words_of_a_working_coder_are_no_missing_login(self) -> None:
        said = envelope(result="The page says: not logged in, please run /login")
        assert ended(said).end == "finished"

    def test_a_limit_names_its_end(self) -> None:
        limit = {"type": "rate_limit_event"}
        info = {"status": "rejected", "resetsAt": 1_700_000_000}
        failed = envelope(is_error=True, api_error_status=429)
        result = ended({**limit, "rate_limit_info": info}, failed, exit=FAILED)
        assert result.end == "rate_limited"
        assert result.resets_at == datetime.fromtimestamp(1_700_000_000, UTC)

    @pytest.mark.parametrize("resets", [None, "soon", -1, 0, 1e300, True, [], 10**12])
    def test_a_limit_without_an_end_is_still_one(self, resets: object) -> None:
        info = {"status": "rejected", "resetsAt": resets}
        event = {"type": "rate_limit_event", "rate_limit_info": info}
        result = ended(event, envelope(is_error=True, api_error_status=429), exit=FAILED)
        assert (result.end, result.resets_at) == ("rate_limited", None)

    def test_a_warning_of_a_limit_is_none(self) -> None:
        info = {"status": "allowed_warning", "resetsAt": 1_700_000_000}
        event = {"type": "rate_limit_event", "rate_limit_info": info}
        assert ended(event, envelope()).end == "finished"
        failed = envelope(is_error=True, api_error_status=429)
        assert ended(event, failed, exit=FAILED).end == "failed"

    def test_an_error_is_one_short_line(self) -> None:
        failed = envelope(is_error=True, result="a\n\n b\x00" + "c" * 10_000)
        error = ended(failed, exit=FAILED).error
        assert error.startswith("a b")
        assert len(error) == 500

    def test_the_other_stream_explains_where_the_envelope_does_not(self) -> None:
        assert ended(exit=FAILED, stderr="no such model\n").error == "no such model"


class TestLines:
    @pytest.mark.parametrize(
        "line",
        [
            *(b"", b"\n", b"prose\n", b"\x00\x00", b"\xff\xfe{", b"null", b"[1]", b'"x"', b"{"),
            *(b'{"type":"result"', b"{" * 100_000, b'{"a":' * 5_000, b"[" * 5_000),
            b'{"type":"result","a":' + b"[" * 500 + b"]" * 500 + b"}",
        ],
    )
    def test_what_is_no_event_is_passed_over(self, line: bytes) -> None:
        stream = parse([line, *lines(envelope())])
        assert (stream.result, stream.lines) == (envelope(), 2)
        assert stream.broken == (line.strip() != b"")

    def test_a_half_last_line_is_passed_over(self) -> None:
        whole = json.dumps(envelope()).encode()
        stream = parse([whole + b"\n", whole[: len(whole) // 2]])
        assert (stream.result, stream.broken) == (envelope(), 1)

    def test_half_characters_are_replaced(self) -> None:
        line = b'{"type":"result","is_error":false,"result":"cut \\ud83d off \xff \\ud83d\\ude00"}'
        text = ended(line).text
        assert text == "cut � off � 😀"

    def test_numbers_that_are_none_are_nothing(self) -> None:
        line = b'{"type":"result","is_error":false,"num_turns":NaN,"duration_ms":-Infinity}'
        result = ended(line)
        assert (result.end, result.turns, result.duration_ms) == ("finished", 0, 1500)

    def test_a_line_of_ten_megabytes(self, tmp_path: Path) -> None:
        file = tmp_path / "stream.jsonl"
        big = json.dumps({"type": "user", "x": "y" * 10_000_000}).encode()
        file.write_bytes(big + b"\n" + json.dumps(envelope()).encode())
        stream = parse(read_lines(file))
        assert (stream.result, stream.lines, stream.broken) == (envelope(), 2, 0)

    def test_an_endless_line_is_read_in_bounds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runner.agents.stream.MAX_LINE", 1_000)
        file = tmp_path / "stream.jsonl"
        file.write_bytes(b"x" * 5_000 + b"\n" + b"{}\n")
        assert [len(line) for line in read_lines(file)] == [1_000, 3]

    def test_a_missing_file_has_no_lines(self, tmp_path: Path) -> None:
        assert list(read_lines(tmp_path / "none")) == []


class TestProse:
    def test_a_text_delta_is_prose(self) -> None:
        delta = {"type": "text_delta", "text": "Hel"}
        assert text_of({"type": "stream_event", "event": {"delta": delta}}) == "Hel"

    @pytest.mark.parametrize(
        "event",
        [
            {"type": "assistant"},
            {"type": "stream_event"},
            {"type": "stream_event", "event": []},
            {"type": "stream_event", "event": {"delta": None}},
            {"type": "stream_event", "event": {"delta": {"type": "input_json_delta"}}},
            {"type": "stream_event", "event": {"delta": {"type": "text_delta", "text": 1}}},
        ],
    )
    def test_anything_else_is_not(self, event: dict[str, Any]) -> None:
        assert text_of(event) == ""


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KEYS = [
    *("type", "subtype", "is_error", "api_error_status", "result", "modelUsage", "num_turns"),
    *("structured_output", "duration_ms", "rate_limit_info", "event", "status", "resetsAt"),
]
any_event = st.dictionaries(st.sampled_from(KEYS), any_json).flatmap(
    lambda event: st.sampled_from(
        [event, {**event, "type": "result"}, {**event, "type": "rate_limit_event"}]
    )
)
any_line = st.binary() | any_event.map(lambda event: json.dumps(event).encode())
any_exit = st.builds(
    Exit,
    st.integers(-64, 255),
    st.sampled_from(["self", "timeout", "stop", "owner_gone"]),
    st.floats(0, 1e6),
)


@pytest.mark.slow
@given(st.lists(any_line), any_exit, st.text())
def test_any_stream_has_a_result(stream: list[bytes], exit: Exit, stderr: str) -> None:  # noqa: A002
    result = result_of(parse(stream), exit, call_id="r", stderr=stderr)
    assert (result.end == "finished") <= (exit.exit_code == 0 and exit.ended_by == "self")
    assert (result.error == "") == (result.end == "finished")
    for usage in result.usage:
        assert min(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) >= 0
        assert usage.cost_usd is None or usage.cost_usd >= 0


@pytest.mark.slow
@given(any_event)
def test_an_event_that_was_written_is_read_again(event: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(event), parse_constant=lambda _: None)
    if all(isinstance(n, str) or abs(n) < 2**53 for n in _numbers(plain)):
        assert event_of(json.dumps(event).encode()) == plain


def _numbers(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [n for each in value.values() for n in _numbers(each)]
    if isinstance(value, list):
        return [n for each in value for n in _numbers(each)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.slow
@given(st.lists(any_line), st.data())
def test_a_cut_stream_never_invents_a_success(stream: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join([*stream, json.dumps(envelope()).encode()])
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    found = parse(cut.split(b"\n")).result
    assert found is None or found != envelope() or envelope() in map(event_of, stream)
