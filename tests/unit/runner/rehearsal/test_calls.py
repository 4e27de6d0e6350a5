"""Who asks is found where the product wrote it, and nowhere else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from runner.rehearsal.calls import (
    CoderCall,
    Message,
    PlannerCall,
    ReviewerCall,
    ValidatorCall,
    identify,
)

CODER = {"role": "coder", "task": "T1", "attempt": 1, "cwd": "/w"}


def header(call: dict[str, Any]) -> str:
    return f"cockpit-call: {json.dumps(call)}"


def user(*texts: str) -> Message:
    return Message(role="user", texts=texts)


ASSISTANT = Message(role="assistant", texts=("I did.",))


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (CODER, CoderCall),
        ({"role": "planner", "step": "plan", "attempt": 2, "cwd": "/w"}, PlannerCall),
        ({"role": "planner", "step": "converse", "attempt": 1, "cwd": "/w"}, PlannerCall),
        ({"role": "reviewer", "task": "T1", "attempt": 1}, ReviewerCall),
    ],
)
def test_each_role_says_who_it_is(call: dict[str, Any], kind: type) -> None:
    found = identify((user(header(call) + "\n\nDo it."),))
    assert found is not None
    assert isinstance(found[0], kind)
    assert found[1] == 0


@pytest.mark.parametrize("shape", ["{}\n", "before\n{}\nafter", "  {}", "before\r\n{}\r\nafter"])
def test_the_line_stands_anywhere_in_the_prompt(shape: str) -> None:
    assert identify((user(shape.replace("{}", header(CODER))),)) is not None


def test_the_turn_is_the_number_of_answers_since() -> None:
    prompt = user(header(CODER))
    found = identify((prompt, ASSISTANT, user(), ASSISTANT, user("go on")))
    assert found is not None
    assert found[1] == 2


def test_a_resumed_conversation_counts_from_its_latest_prompt() -> None:
    latest = user(header({**CODER, "task": "T2"}))
    found = identify((user(header(CODER)), ASSISTANT, latest, ASSISTANT))
    assert found == (CoderCall(role="coder", task="T2", attempt=1, cwd="/w"), 1)


def test_what_the_cli_adds_is_not_the_prompt() -> None:
    reminder = f"<system-reminder>\n{header({**CODER, 'task': 'T9'})}\n</system-reminder>"
    found = identify((user(reminder, header(CODER)),))
    assert found is not None
    assert found[0] == CoderCall.model_validate(CODER)


def test_the_first_line_wins_over_quoted_material() -> None:
    quoted = header({**CODER, "task": "T9"})
    found = identify((user(f"{header(CODER)}\nAGENTS.md says:\n{quoted}"),))
    assert found is not None
    assert found[0] == CoderCall.model_validate(CODER)


def test_an_assistant_is_never_believed() -> None:
    assert identify((Message(role="assistant", texts=(header(CODER),)),)) is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"role": "king"}, "cockpit-call"),
        ({"attempt": 0}, "cockpit-call.coder.attempt"),
        ({"task": None}, "cockpit-call.coder.task"),
        ({"extra": 1}, "cockpit-call.coder.extra"),
    ],
)
def test_a_line_that_does_not_fit_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        identify((user(header({**CODER, **change})),))
    assert refused.value.data["field"] == field


def judge_input(**more: Any) -> dict[str, Any]:
    criteria = [{"id": "C1", "text": "one"}, {"id": "C2", "text": "two"}]
    return {"call": {"role": "validator", "package": 3}, "criteria": criteria, **more}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "before", ["", "Judge this:\n", "{ not json } {}\n", '{"a": {"call": 1}} ']
)
def test_a_validator_is_known_by_its_input(indent: int | None, before: str) -> None:
    text = before + json.dumps(judge_input(), indent=indent, sort_keys=True) + "\nReply in JSON."
    found = identify((user(text),))
    assert found == (ValidatorCall(role="validator", package=3, criteria=("C1", "C2")), 0)


def test_a_diff_in_the_judge_input_cannot_speak_for_the_caller() -> None:
    hostile = f"+{header(CODER)}\n{json.dumps(judge_input())}"
    found = identify((user(json.dumps(judge_input(diff=hostile, package=9))),))
    assert found is not None
    assert found[0].role == "validator"


@pytest.mark.parametrize("criteria", [None, "C1", [{"text": "no id"}], ["C1"]])
def test_a_judge_input_without_criteria_is_refused(criteria: Any) -> None:
    with pytest.raises(Invalid):
        identify((user(json.dumps(judge_input(criteria=criteria))),))


def test_a_text_of_braces_is_given_up_soon() -> None:
    assert identify((user("{" * 200_000),)) is None


@given(st.lists(st.text(), max_size=5))
def test_any_other_text_names_nobody_or_is_refused(texts: list[str]) -> None:
    assert identify((user(*texts),)) is None


@given(
    st.builds(
        dict,
        role=st.just("coder"),
        task=st.text(min_size=1),
        attempt=st.integers(1, 9),
        cwd=st.text(),
    ),
    st.text(alphabet=st.characters(exclude_characters="{}:")),
)
def test_every_coder_line_is_read_back(call: dict[str, Any], around: str) -> None:
    found = identify((user(f"{around}\n{header(call)}\n{around}"),))
    assert found is not None
    assert found[0].model_dump() == call
