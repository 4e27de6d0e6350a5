"""Answers: what is stored, and what is sent back with the field and the fix."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Invalid
from core.planning.clarification import ClarificationPolicy, GateInput, assess
from core.planning.questions import GATE_FIELDS, Question, clears, unfilled, validate_answer


def card(policy: ClarificationPolicy, place: int) -> Question:
    return assess(GateInput("Improve everything"), policy).questions[place]


def test_free_text_is_stored_verbatim(policy: ClarificationPolicy) -> None:
    text = "运行 `tool` 会输出 **1.2.3**"
    answer = validate_answer(card(policy, 0), text=text, rule=policy.criterion)
    assert (answer.text, answer.choice, answer.field) == (text, None, "acceptance-criteria")


def test_a_template_is_filled_in(policy: ClarificationPolicy) -> None:
    answer = validate_answer(
        card(policy, 0), "command", "Running `x` prints `y`", rule=policy.criterion
    )
    assert (answer.choice, answer.text) == ("command", "Running `x` prints `y`")


def test_a_choice_is_named_by_id_or_number(policy: ClarificationPolicy) -> None:
    question = card(policy, 1)
    by_id = validate_answer(question, "criteria-only", rule=policy.criterion)
    by_number = validate_answer(question, "1", rule=policy.criterion)
    assert by_id == by_number
    assert by_id.text == question.choices[0].title.en
    zh = validate_answer(question, "1", rule=policy.criterion, language="zh")
    assert zh.text == question.choices[0].title.zh


@pytest.mark.parametrize(
    ("choice", "text", "field"),
    [
        (None, None, "answer"),
        (None, "", "answer"),
        (None, "   ", "answer"),
        ("command", None, "answer"),
        ("command", "Running `___` prints `x`", "answer"),
        (None, "Running `x` prints `___`", "answer"),
        (None, "Running `` prints ``", "answer"),
        (None, "Running prints", "answer"),
        (None, "Running ` ` prints `the version 1.2`", "answer"),
        (None, "运行 `` 会输出 `1.2.3`", "answer"),
        (None, "it works", "answer"),
        (None, "所有测试都通过", "answer"),
        (None, "x" * 4_001, "answer"),
        ("nothing", None, "choice"),
        ("0", None, "choice"),
        ("4", "Running `x` prints `y`", "choice"),
    ],
)
def test_what_is_no_answer(
    policy: ClarificationPolicy, choice: str | None, text: str | None, field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        validate_answer(card(policy, 0), choice, text, rule=policy.criterion)
    assert refusal.value.data["field"] == field
    assert refusal.value.recovery


@pytest.mark.parametrize("text", ["x", "no", "TBD", "n/a", "In `___`", "In ``", "在 `` 中"])
def test_what_names_no_target(policy: ClarificationPolicy, text: str) -> None:
    with pytest.raises(Invalid):
        validate_answer(card(policy, 2), text=text, rule=policy.criterion)


def test_a_short_answer_in_chinese_is_long_enough(policy: ClarificationPolicy) -> None:
    assert validate_answer(card(policy, 2), text="登录", rule=policy.criterion).text == "登录"


def test_blanks() -> None:
    template = "When `___` goes from `___` to `___`"
    assert unfilled(template, "When `` goes from `1` to `2`")
    assert unfilled(template, "When `x` goes from `1` to ``")
    assert not unfilled(template, "When `x` goes from `1` to `2`")
    assert not unfilled(template, "When the moon is full")
    assert not unfilled("no blank here", "no blank here")


@given(
    place=st.integers(0, 3),
    choice=st.none() | st.sampled_from(["1", "2", "command", "criteria-only"]),
    text=st.none() | st.text(max_size=60) | st.just("Running `a` prints `b`"),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_an_accepted_answer_clears_its_signal(
    policy: ClarificationPolicy, place: int, choice: str | None, text: str | None
) -> None:
    question = card(policy, place)
    try:
        answer = validate_answer(question, choice, text, rule=policy.criterion)
    except Invalid:
        return
    assert answer.question_id == GATE_FIELDS[place]
    assert clears(GATE_FIELDS[place], answer.text, policy.criterion)
