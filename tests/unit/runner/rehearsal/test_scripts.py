"""Scripts are read strictly: what does not fit is refused with the file and the key."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import Invalid, NotFound
from core.planning.clarification import ClarificationPolicy, GateInput, assess
from core.planning.criteria import Criterion
from core.planning.plan import PlanInvalid, parse_converse, parse_plan
from runner.rehearsal.scripts import Fault, Script, Turn, load, load_all, names

SHIPPED = (
    "any_repository",
    "coder_crash",
    "disagreeing_validators",
    "failing_test",
    "forbidden_path",
    "happy",
    "malformed_plan",
    "rate_limit",
    "stall",
)
VALID = """
title = "t"
description = "d"
goal = "g"
criteria = ["c"]
goal_attempted = true
[[planner]]
step = "plan"
turns = [{ text = "hello" }]
[[coder]]
turns = [{ tools = [{ name = "Read", input = { file_path = "{cwd}/a" } }] }, { text = "done" }]
"""


def write(folder: Path, text: str, name: str = "one.toml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_shipped_scripts_are_these() -> None:
    assert names() == SHIPPED
    assert tuple(load_all()) == SHIPPED


def test_a_script_of_a_folder_of_ones_own(tmp_path: Path) -> None:
    script = load("one", write(tmp_path, VALID))
    assert script.coder[0].turns[0].tools[0].name == "Read"
    assert names(tmp_path) == ("one",)


def test_other_files_are_no_scripts(tmp_path: Path) -> None:
    write(tmp_path, "not a script", "notes.md")
    assert load_all(write(tmp_path, VALID)).keys() == {"one"}


def test_a_script_that_does_not_exist() -> None:
    with pytest.raises(NotFound):
        load("no_such_script")


@pytest.mark.parametrize("name", ["../happy", "rehearsal/happy", "happy.toml", ""])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(NotFound):
        load(name)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        load_all(tmp_path / "missing")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('title = "t"', "", "title"),
        ('title = "t"', 'title = ""', "title"),
        ('title = "t"', 'title = "t"\nsurprise = 1', "surprise"),
        ('criteria = ["c"]', "criteria = []", "criteria"),
        ("goal_attempted = true", 'goal_attempted = "yes"', "goal_attempted"),
        ('step = "plan"', 'step = "dream"', "planner.0.step"),
        ('{ text = "hello" }', '{ text = "hello", wait = 1 }', "planner.0.turns.0.wait"),
        ('{ text = "hello" }', "{ fault = { status = 200 } }", "planner.0.turns.0.fault.status"),
        ('turns = [{ text = "hello" }]', "turns = []", "planner.0.turns"),
    ],
)
def test_what_does_not_fit_names_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    with pytest.raises(Invalid) as refused:
        load("one", write(tmp_path, VALID.replace(old, new)))
    assert refused.value.data["file"] == "one.toml"
    assert refused.value.data["key"] == key
    assert f"one.toml: {key}" in refused.value.sentence


@pytest.mark.parametrize("content", [b"\xff\xfe", b"title = ", b"a = 1\na = 2"])
def test_what_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.toml").write_bytes(content)
    with pytest.raises(Invalid, match=r"one\.toml"):
        load("one", tmp_path)


def test_an_enormous_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="larger"):
        load("one", write(tmp_path, VALID + "#" * 1_000_000))


def test_a_part_must_come_to_an_end(tmp_path: Path) -> None:
    endless = VALID.replace(', { text = "done" }', "")
    with pytest.raises(Invalid, match="last turn"):
        load("one", write(tmp_path, endless))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": 500, "hang": True},
        {"hang": True, "cut_after_events": 1},
        {"hang": True, "headers": {"retry-after": "1"}},
        {"cut_after_events": -1},
        {"status": 500, "reset_in_seconds": 3},
    ],
)
def test_a_fault_is_exactly_one_thing(fields: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Fault.model_validate(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"chunk_delay_ms": 5},
        {"fault": {"cut_after_events": 1}},
        {"text": "a", "fault": {"status": 500}},
        {"text": "a", "chunk_delay_ms": 10_001},
    ],
)
def test_a_turn_says_something_or_fails(fields: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Turn.model_validate(fields)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from([*Script.model_fields, "other"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
            max_leaves=8,
        ),
    )
)
def test_whatever_the_document_says_only_the_one_error_comes_out(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Script.model_validate(document | {"other": 1})


class TestShipped:
    """What domain.md §4, §5 and §16 ask of the scripts that come with the product."""

    @pytest.mark.parametrize("name", SHIPPED)
    def test_the_clarification_gate_is_content_with_goal_and_criteria(self, name: str) -> None:
        script = load(name)
        given_criteria = [
            Criterion(id=f"C{number}", text=text, source="stated")
            for number, text in enumerate(script.criteria, start=1)
        ]
        asked = GateInput(title=script.title, description=script.goal, criteria=given_criteria)
        assert assess(asked, gate_policy()).score == 0

    @pytest.mark.parametrize("name", SHIPPED)
    def test_the_planner_speaks_in_valid_structures(self, name: str) -> None:
        script = load(name)
        for part in script.planner:
            read = parse_plan if part.step == "plan" else parse_converse
            assert [read(turn.structured) for turn in part.turns if turn.structured] or (
                part.attempt == 1 and name == "malformed_plan"
            )

    def test_the_malformed_plan_is_refused(self) -> None:
        first = next(part for part in load("malformed_plan").planner if part.attempt == 1)
        with pytest.raises(PlanInvalid):
            parse_plan(first.turns[0].raw)

    @pytest.mark.parametrize("name", SHIPPED)
    def test_the_criteria_are_verifiable_and_the_plans_own(self, name: str) -> None:
        script = load(name)
        assert all(len(criterion.strip()) >= 12 for criterion in script.criteria)
        assert plans(script)
        for plan in plans(script):
            stated = plan["prd"]["acceptance_criteria"]
            assert stated in (script.criteria, ["{criteria}"])

    @pytest.mark.parametrize("name", SHIPPED)
    def test_every_task_of_the_plan_has_a_part(self, name: str) -> None:
        script = load(name)
        tasks = [task for plan in plans(script) for task in plan["tasks"]]
        ids = {task["id"] for task in tasks}
        assert tasks
        for task in tasks:
            assert set(task["depends_on"]) <= ids - {task["id"]}
            assert any(part.task in (None, task["id"]) for part in script.coder)

    def test_only_the_script_for_any_repository_leaves_the_goal(self) -> None:
        assert [n for n, s in load_all().items() if not s.goal_attempted] == ["any_repository"]

    def test_the_happy_plan_has_an_independent_pair_and_a_dependency(self) -> None:
        depends = {t["id"]: t["depends_on"] for t in plans(load("happy"))[0]["tasks"]}
        assert depends == {"T1": [], "T2": [], "T3": ["T1", "T2"]}


def gate_policy() -> ClarificationPolicy:
    policy = tomllib.loads((files("resources") / "policy.toml").read_text("utf-8"))
    return ClarificationPolicy.model_validate(policy["clarification"])


def plans(script: Script) -> list[dict[str, Any]]:
    turns = [turn for part in script.planner if part.step == "plan" for turn in part.turns]
    return [turn.structured for turn in turns if turn.structured is not None]
