"""The planner's output: one valid plan, or precise problems; never another failure."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.planning.plan import (
    MAX_BYTES,
    PlanInvalid,
    json_schema_for_converse,
    json_schema_for_plan,
    parse_converse,
    parse_plan,
)

Json = dict[str, Any]


def problems(raw: object) -> list[tuple[str, str]]:
    with pytest.raises(PlanInvalid) as refusal:
        parse_plan(raw)
    assert refusal.value.code == "HOLD-PLANNER-STRUCTURE"
    assert refusal.value.data["problems"]
    json.dumps(refusal.value.data).encode()
    return [(each.path, each.code) for each in refusal.value.problems]


def task(plan: Json, place: int, **changes: Any) -> Json:
    changed = copy.deepcopy(plan)
    changed["tasks"][place].update(changes)
    return changed


def test_a_plan_is_read_from_value_text_and_bytes(plan_json: Json) -> None:
    text = json.dumps(plan_json, ensure_ascii=False)
    plan = parse_plan(plan_json)
    assert parse_plan(text) == parse_plan(text.encode()) == plan
    assert plan.graph == {"T1": (), "T2": ("T1",)}
    assert plan.tasks[1].checkpoint
    assert parse_plan(plan.model_dump(mode="json")) == plan


def test_lists_that_may_be_empty_may_be_left_out(plan_json: Json) -> None:
    plan_json["tasks"] = [{"id": "T1", "title": "One"}]
    plan_json["roadmap"][0]["tasks"] = ["T1"]
    del plan_json["prd"]["non_goals"], plan_json["prd"]["rollback"]
    assert parse_plan(plan_json).tasks[0].write_files == ()


@pytest.mark.parametrize(
    ("raw", "code", "said"),
    [
        ("", "json", "empty"),
        ("Here is the plan you asked for.", "json", "prose"),
        ('```json\n{"prd": {}}\n```', "json", "prose"),
        ('{"prd": {"summary": "x"', "json", "middle"),
        ('{"prd": "x', "json", "line 1"),
        ('{"a": 1} and more', "json", "line 1"),
        ('{"a": NaN}', "number", "NaN"),
        ('{"a": -Infinity}', "number", "Infinity"),
        ('{"a": 1e999}', "value", "finite"),
        ('{"a": ' + "9" * 5_000 + "}", "number", "digits"),
        ('{"a": ' + "9" * 50 + "}", "value", "large"),
        ('{"a": 1, "a": 2}', "duplicate_key", "'a'"),
        ('{"a": "\\ud800"}', "value", "surrogate"),
        ("[" * 65 + "]" * 65, "depth", "64"),
        ("[" * 500_000, "depth", "64"),
        ("[" + "0," * 60_000 + "0]", "size", "50000"),
        (b"\xff\xfe", "encoding", "byte 0"),
        (b'{"a": "' + b"x" * MAX_BYTES + b'"}', "size", "2097152"),
        ('{"a": "' + "x" * MAX_BYTES + '"}', "size", "2097152"),
        ("null", "model_type", ""),
        ([], "model_type", ""),
        ({1: 2}, "value", "key"),
        ({"a": {1, 2}}, "value", "set"),
        ({"a": float("inf")}, "value", "finite"),
    ],
)
def test_what_is_no_json_object(raw: object, code: str, said: str) -> None:
    with pytest.raises(PlanInvalid) as refusal:
        parse_plan(raw)
    found = refusal.value.problems[0]
    assert found.code == code
    assert said in found.message


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert problems(loop)[0][1] == "depth"
    wide: list[Any] = []
    for _ in range(60):
        wide = [wide, wide]
    assert problems(wide)[0][1] == "size"


@pytest.mark.parametrize(
    ("place", "value", "path"),
    [
        (("prd", "goals"), [], "prd.goals"),
        (("prd", "acceptance_criteria"), [], "prd.acceptance_criteria"),
        (("prd", "summary"), "  ", "prd.summary"),
        (("prd", "summary"), 3, "prd.summary"),
        (("prd", "summary"), "a\x00b", "prd.summary"),
        (("prd", "extra"), 1, "prd.extra"),
        (("adr", "title"), "a\nb", "adr.title"),
        (("adr", "title"), "a\u202eb", "adr.title"),
        (("adr", "title"), "x" * 201, "adr.title"),
        (("roadmap",), [], "roadmap"),
        (("tasks",), [], "tasks"),
    ],
)
def test_fields_are_checked_where_they_stand(
    plan_json: Json, place: tuple[str, ...], value: object, path: str
) -> None:
    *way, last = place
    node = plan_json
    for step in way:
        node = node[step]
    node[last] = value
    assert path in [each[0] for each in problems(plan_json)]


@pytest.mark.parametrize("bad", ["t1", "T0", "T", "T1\n", "R1", "T01", "1", "T1 ", "T１"])
def test_task_ids(plan_json: Json, bad: str) -> None:
    assert ("tasks[0].id", "string_pattern_mismatch") in problems(task(plan_json, 0, id=bad))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "./a",
        "~/x",
        "C:/x",
        "a\\b",
        "a\x00b",
        "a\nb",
        " a",
        "",
        ".",
    ],
)
@pytest.mark.parametrize("field", ["write_files", "context_files"])
def test_paths_stay_inside_the_repository(plan_json: Json, field: str, path: str) -> None:
    assert problems(task(plan_json, 1, **{field: ["ok.py", path]}))[0][0] == f"tasks[1].{field}[1]"


def test_paths_that_are_fine(plan_json: Json) -> None:
    fine = ["a", "a b/c.py", "src/", ".github/x.yml", "说明.md", "a..b", "...c"]
    assert parse_plan(task(plan_json, 0, write_files=fine)).tasks[0].write_files == tuple(fine)


def test_the_graph_is_checked(plan_json: Json) -> None:
    assert problems(task(plan_json, 1, id="T1")) == [
        ("tasks[1].id", "duplicate_id"),
        ("roadmap[0].tasks", "unknown_task"),
        ("tasks", "dependency_cycle"),
    ]
    assert problems(task(plan_json, 0, depends_on=["T9"])) == [
        ("tasks[0].depends_on", "unknown_dependency")
    ]
    assert problems(task(plan_json, 0, depends_on=["T1"])) == [("tasks", "dependency_cycle")]
    with pytest.raises(PlanInvalid) as refusal:
        parse_plan(task(plan_json, 0, depends_on=["T2"]))
    cycle = refusal.value.problems[0].message
    assert cycle in {"a cycle: T1 → T2 → T1", "a cycle: T2 → T1 → T2"}


def test_at_most_fifty_tasks(plan_json: Json) -> None:
    tasks = [{"id": f"T{n}", "title": "x"} for n in range(1, 52)]
    assert ("tasks", "too_long") in problems({**plan_json, "tasks": tasks})
    assert len(parse_plan({**plan_json, "tasks": tasks[:50]}).tasks) == 50


def test_many_problems_are_cut_and_counted(plan_json: Json) -> None:
    with pytest.raises(PlanInvalid) as refusal:
        parse_plan({**plan_json, **{f"x{n}\n\x1b": 1 for n in range(500)}})
    assert len(refusal.value.problems) == 40
    assert refusal.value.data["count"] == 500
    assert all(each.path.isprintable() for each in refusal.value.problems)


QUESTION: Json = {
    "id": "format",
    "text": "Which format?",
    "why": "It decides the parser.",
    "choices": [
        {"title": "JSON", "consequence": "Strict.", "recommended": True},
        {"title": "TOML", "consequence": "Friendly.", "recommended": False},
    ],
}


def converse(**changes: Any) -> Json:
    return {"message": "I read it.", "confidence": 1, "questions": [QUESTION], **changes}


def test_a_turn_is_read() -> None:
    turn = parse_converse(json.dumps(converse(proposed_criteria=["a prints b"])))
    assert (turn.confidence, turn.questions[0].id) == (1.0, "format")
    assert turn.proposed_criteria == ("a prints b",)


@pytest.mark.parametrize(
    "bad",
    [
        converse(confidence=1.01),
        converse(confidence=-0.1),
        converse(confidence="0.5"),
        converse(confidence=True),
        converse(message=""),
        converse(questions=[QUESTION, QUESTION]),
        converse(questions=[{**QUESTION, "id": "scope"}]),
        converse(questions=[{**QUESTION, "id": "Format"}]),
        converse(questions=[{**QUESTION, "choices": QUESTION["choices"][:1]}]),
        converse(questions=[{**QUESTION, "choices": [QUESTION["choices"][0]] * 2}]),
        converse(questions=[{**QUESTION, "choices": [QUESTION["choices"][1]] * 2}]),
        converse(questions=[{**QUESTION, "id": f"q{n}"} for n in range(5)]),
        converse(extra=1),
    ],
)
def test_turns_that_are_refused(bad: Json) -> None:
    with pytest.raises(PlanInvalid):
        parse_converse(bad)


@pytest.mark.parametrize("schema", [json_schema_for_plan(), json_schema_for_converse()])
def test_the_schema_is_plain_and_closed(schema: Json) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            assert "$ref" not in node
            assert "$defs" not in node
            if node.get("type") == "object":
                assert node["additionalProperties"] is False
                assert node["required"] == list(node["properties"])
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    walk(schema)
    json.dumps(schema)


def test_the_schema_keeps_the_property_called_title() -> None:
    properties = json_schema_for_plan()["properties"]["tasks"]["items"]["properties"]
    assert list(properties)[:3] == ["id", "title", "role"]
    assert properties["title"]["type"] == "string"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["prd", "adr", "roadmap", "tasks", "id", "title", "message"])
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=2_000)
@given(raw=values | st.text() | st.binary())
def test_anything_is_a_plan_or_a_refusal(raw: object) -> None:
    for parse in (parse_plan, parse_converse):
        try:
            parse(raw)
        except PlanInvalid as error:
            refusal = error
        else:
            continue
        assert 0 < len(refusal.problems) <= 40


PLAN_PLACES = st.sampled_from(
    [("prd", "summary"), ("adr", "title"), ("tasks", 0), ("tasks", 1), ("roadmap", 0), ("prd",)]
)


@settings(deadline=2_000)
@given(place=PLAN_PLACES, value=values, field=st.sampled_from(["id", "depends_on", "write_files"]))
def test_a_plan_with_one_wild_value_is_a_plan_or_a_refusal(
    place: tuple[str | int, ...], value: Any, field: str
) -> None:
    plan: Any = {
        "prd": {"summary": "s", "goals": ["g"], "acceptance_criteria": ["a"]},
        "adr": {"title": "t", "context": "c", "decision": "d"},
        "roadmap": [{"title": "m", "outcome": "o", "tasks": ["T1"]}],
        "tasks": [{"id": "T1", "title": "x"}, {"id": "T2", "title": "y"}],
    }
    node = plan
    for step in place[:-1]:
        node = node[step]
    if place[0] == "tasks":
        node[place[-1]][field] = value
    else:
        node[place[-1]] = value
    try:
        read = parse_plan(plan)
    except PlanInvalid:
        return
    assert set(read.graph) == {each.id for each in read.tasks}
