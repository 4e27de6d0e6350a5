"""What a script answers: by role, task, attempt and turn, and by nothing else."""

import json
from typing import Any

import pytest

from core.errors import Invalid
from runner.rehearsal.calls import Message
from runner.rehearsal.replies import SIDE_ANSWER, STRUCTURED_TOOL, Asked, answer
from runner.rehearsal.scripts import Family, Script

PLAN: dict[str, Any] = {"prd": {}, "tasks": []}
SCRIPT: dict[str, Any] = {
    "title": "t",
    "description": "d",
    "goal": "g",
    "criteria": ["c"],
    "goal_attempted": True,
    "planner": [
        {"step": "plan", "attempt": 1, "turns": [{"raw": "half {"}]},
        {"step": "plan", "turns": [{"text": "prose", "structured": PLAN}]},
    ],
    "coder": [
        {"task": "T1", "attempt": 1, "turns": [{"text": "T1 first"}]},
        {
            "task": "T1",
            "turns": [
                {"tools": [{"name": "Bash", "input": {"command": "ls {cwd}", "n": [1, "{cwd}"]}}]},
                {"text": "T1 again"},
            ],
        },
        {"turns": [{"text": "any"}]},
    ],
    "reviewer": [{"turns": [{"structured": {"decision": "approve"}}]}],
    "validator": [
        {"family": "openai", "package": 2, "verdict": "fail", "criteria": {"C1": "fail"}},
        {"family": "openai"},
        {"family": "gemini", "raw": "not JSON"},
    ],
}


def asked(
    call: dict[str, Any] | None = None,
    *,
    text: str = "",
    turns: int = 0,
    tools: tuple[str, ...] = ("Read",),
    family: Family = "claude",
) -> Asked:
    prompt = f"cockpit-call: {json.dumps(call)}" if call is not None else text
    later = [Message(role="assistant", texts=())] * turns
    return Asked(
        model="m",
        stream=True,
        messages=(Message(role="user", texts=(prompt,)), *later),
        tools=frozenset(tools),
        family=family,
        size=400,
        mark="0a",
    )


def script(**change: Any) -> Script:
    return Script.model_validate({**SCRIPT, **change})


def coder(task: str, attempt: int, cwd: str = "/w") -> dict[str, Any]:
    return {"role": "coder", "task": task, "attempt": attempt, "cwd": cwd}


def planner(attempt: int, step: str = "plan") -> dict[str, Any]:
    return {"role": "planner", "step": step, "attempt": attempt, "cwd": "/w"}


def judge(package: int, *criteria: str) -> str:
    entries = [{"id": name, "text": name} for name in criteria]
    return json.dumps({"call": {"role": "validator", "package": package}, "criteria": entries})


@pytest.mark.parametrize(
    ("task", "attempt", "turn", "text"),
    [
        ("T1", 1, 0, "T1 first"),
        ("T1", 2, 1, "T1 again"),
        ("T1", 3, 1, "T1 again"),
        ("T1", 2, 9, "T1 again"),
        ("T2", 1, 0, "any"),
    ],
)
def test_the_first_part_that_fits_speaks(task: str, attempt: int, turn: int, text: str) -> None:
    assert answer(script(), asked(coder(task, attempt), turns=turn)).texts == (text,)


def test_the_working_folder_is_put_into_every_string() -> None:
    reply = answer(script(), asked(coder("T1", 2, cwd="/a {cwd} b")))
    assert reply.tools[0].input == {"command": "ls /a {cwd} b", "n": [1, "/a {cwd} b"]}


def test_the_same_question_has_the_same_answer() -> None:
    question = asked(coder("T1", 2))
    assert answer(script(), question) == answer(script(), question)


def test_structure_goes_through_the_tool_where_it_is_offered() -> None:
    reply = answer(script(), asked(planner(2), tools=("Read", STRUCTURED_TOOL)))
    assert reply.texts == ("prose",)
    assert [(tool.name, tool.input) for tool in reply.tools] == [(STRUCTURED_TOOL, PLAN)]


def test_structure_is_json_text_without_the_tool() -> None:
    reply = answer(script(), asked(planner(2)))
    assert json.loads("".join(reply.texts)) == PLAN
    assert reply.tools == ()


def test_raw_text_stands_in_place_of_the_structure() -> None:
    reply = answer(script(), asked(planner(1), tools=("Read", STRUCTURED_TOOL)))
    assert (reply.texts, reply.tools) == (("half {",), ())


@pytest.mark.parametrize("call", [None, coder("T1", 1), planner(1)])
def test_a_request_without_tools_or_caller_gets_a_harmless_text(
    call: dict[str, Any] | None,
) -> None:
    reply = answer(script(), asked(call, text="Write a title", tools=()))
    assert (reply.role, reply.texts) == ("", (SIDE_ANSWER,))


def test_a_reviewer_needs_no_tools() -> None:
    call = {"role": "reviewer", "task": "T1", "attempt": 1}
    reply = answer(script(), asked(call, tools=()))
    assert json.loads(reply.texts[0]) == {"decision": "approve"}


def test_what_no_part_fits_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="converse"):
        answer(script(), asked(planner(1, "converse")))


class TestValidators:
    def test_every_criterion_of_the_input_gets_its_entry(self) -> None:
        question = asked(text=judge(1, "C1", "C7"), family="openai", tools=())
        reply = json.loads(answer(script(), question).texts[0])
        assert reply.keys() == {
            "verdict",
            "confidence",
            "summary",
            "criteria",
            "blocking_issues",
            "non_blocking_issues",
            "evidence_gaps",
        }
        assert [(c["id"], c["status"]) for c in reply["criteria"]] == [
            ("C1", "pass"),
            ("C7", "pass"),
        ]

    def test_a_criterion_that_the_script_leaves_out_is_unknown(self) -> None:
        question = asked(text=judge(2, "C1", "C7"), family="openai", tools=())
        reply = json.loads(answer(script(), question).texts[0])
        assert reply["verdict"] == "fail"
        assert [c["status"] for c in reply["criteria"]] == ["fail", "unknown"]

    def test_a_family_may_answer_what_is_no_json(self) -> None:
        question = asked(text=judge(1, "C1"), family="gemini", tools=())
        assert answer(script(), question).texts == ("not JSON",)

    def test_a_family_without_a_part_is_refused(self) -> None:
        with pytest.raises(Invalid):
            answer(script(), asked(text=judge(1, "C1"), family="claude"))

    @pytest.mark.parametrize("fault", [{"status": 500}, {"hang": True}, {"cut_after_events": 2}])
    def test_a_validator_may_fail(self, fault: dict[str, Any]) -> None:
        failing = script(validator=[{"fault": fault}])
        reply = answer(failing, asked(text=judge(1, "C1"), family="openai"))
        assert reply.fault is not None
        assert reply.fault.model_dump(exclude_unset=True) == fault
        assert bool(reply.texts) == ("cut_after_events" in fault)


def test_tokens_are_estimated_where_the_script_does_not_count_them() -> None:
    usage = answer(script(), asked(coder("T2", 1))).usage
    assert (usage.input, usage.output, usage.cache_read) == (100, 1, 0)
