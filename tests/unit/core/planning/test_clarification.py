"""domain.md §4: the gate, example by example, and its laws."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Refused
from core.planning.clarification import (
    Assessment,
    ClarificationPolicy,
    GateInput,
    assess,
    require_clear,
)
from core.planning.criteria import Criterion
from core.planning.questions import GATE_FIELDS, GateField

GOOD = "Running `tool --version` prints `1.2.3`"
STATED = (Criterion(id="C1", text=GOOD, source="stated"),)
shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def score(policy: ClarificationPolicy, title: str, description: str = "", **more: Any) -> int:
    return assess(GateInput(title, description, **more), policy).score


def present(assessment: Assessment) -> list[str]:
    return [each.id for each in assessment.signals if each.present]


def words(assessment: Assessment, field: GateField) -> list[str]:
    return [hit.text for each in assessment.signals if each.field == field for hit in each.hits]


def test_each_signal_has_its_weight(policy: ClarificationPolicy) -> None:
    assert score(policy, "Fix `f`") == 60
    assert score(policy, "Make `f` better", criteria=STATED) == 25
    assert score(policy, "Print a version", criteria=STATED) == 20
    assert score(policy, "Document everything in `f`", criteria=STATED) == 25
    assert score(policy, "Print the version in `f`", criteria=STATED) == 0


def test_the_sum_is_clamped_to_100(policy: ClarificationPolicy) -> None:
    assert score(policy, "Improve everything") == 100


def test_the_gate_triggers_at_the_threshold(policy: ClarificationPolicy) -> None:
    fifty = assess(GateInput("Polish everything in `f`", criteria=STATED), policy)
    below = assess(GateInput("Polish something", criteria=STATED), policy)
    assert (fifty.score, fifty.triggered) == (50, True)
    assert (below.score, below.triggered, below.questions) == (45, False, ())


def test_hits_say_where_they_stand(policy: ClarificationPolicy) -> None:
    text = "客户端: make retries better in src/a.py"
    found = assess(GateInput("Nicer", text), policy)
    seen = [
        (hit.place, hit.text, ("Nicer" if hit.place == "title" else text)[hit.start : hit.end])
        for signal in found.signals
        for hit in signal.hits
    ]
    assert seen == [
        ("title", "Nicer", "Nicer"),
        ("description", "better", "better"),
        ("description", "src/a.py", "src/a.py"),
    ]


@pytest.mark.parametrize(
    ("criterion", "counted"),
    [
        (Criterion(id="C1", text=GOOD, source="stated"), True),
        (Criterion(id="C1", text=GOOD, source="answered"), True),
        (Criterion(id="C1", text=GOOD, source="proposed"), False),
        (
            Criterion(
                id="C1",
                text=GOOD,
                source="proposed",
                confirmed_by="operator",
                confirmed_at=datetime(2026, 1, 2, tzinfo=UTC),
            ),
            True,
        ),
        (Criterion(id="C1", text="It works!", source="stated"), False),
    ],
)
def test_which_criteria_count(
    policy: ClarificationPolicy, criterion: Criterion, counted: bool
) -> None:
    found = assess(GateInput("Fix `f`", criteria=[criterion]), policy)
    assert ("no_verifiable_criterion" not in present(found)) is counted


def test_an_answer_clears_its_signal_and_no_other(policy: ClarificationPolicy) -> None:
    request = ("Improve everything", "")
    before = assess(GateInput(*request), policy)
    for field, weight in zip(GATE_FIELDS, (60, 25, 20, 25), strict=True):
        after = assess(GateInput(*request, answers={field: GOOD}), policy)
        assert after.score == min(100, 130 - weight)
        gone = set(present(before)) - set(present(after))
        assert gone == {each.id for each in after.signals if each.field == field}
        assert field not in [each.id for each in after.questions]


@pytest.mark.parametrize("text", ["", "  ", "it works", "TODO", "Running `___` prints `x`"])
def test_an_empty_answer_clears_nothing(policy: ClarificationPolicy, text: str) -> None:
    answers: dict[GateField, str] = dict.fromkeys(GATE_FIELDS, text)
    assert score(policy, "Improve everything", answers=answers) == 100


def test_later_messages_name_a_target_and_are_not_searched_for_wording(
    policy: ClarificationPolicy,
) -> None:
    assert score(policy, "Print a version", criteria=STATED, later=["improve all: src/a.py"]) == 0


def test_questions_come_in_order_with_one_recommendation(policy: ClarificationPolicy) -> None:
    found = assess(GateInput("Improve everything"), policy)
    assert [each.id for each in found.questions] == list(GATE_FIELDS)
    for each in found.questions:
        assert 2 <= len(each.choices) <= 4
        assert sum(choice.recommended for choice in each.choices) == 1
        assert len({choice.id for choice in each.choices}) == len(each.choices)
        assert each.required


def test_the_question_limit_is_policy(policy: ClarificationPolicy) -> None:
    narrow = policy.model_copy(update={"question_limit": 2})
    found = assess(GateInput("Improve everything"), narrow)
    assert [each.id for each in found.questions] == ["acceptance-criteria", "done-definition"]


def test_the_planners_proposals_are_offered(policy: ClarificationPolicy) -> None:
    proposals = [
        Criterion(id="C1", text="it works", source="proposed"),
        Criterion(id="C2", text=GOOD, source="proposed"),
    ]
    card = assess(GateInput("Fix `f`", criteria=proposals), policy).questions[0]
    assert [each.criterion_id for each in card.choices] == ["C2", None]
    assert [each.recommended for each in card.choices] == [True, False]
    assert card.choices[0].title.en == GOOD


def test_no_ready_made_sentence_clears_the_gate(policy: ClarificationPolicy) -> None:
    for request in (GateInput("Improve everything"), GateInput("Fix `f`")):
        for language in ("en", "zh"):
            answers: dict[GateField, str] = {}
            for card in assess(request, policy).questions:
                ready = [c for c in card.choices if not c.needs_filling] or card.choices
                answers[card.id] = getattr(ready[0].title, language)  # type: ignore[index]
            assert assess(GateInput(request.title, answers=answers), policy).triggered


def test_a_blocked_gate_names_score_reasons_and_questions(policy: ClarificationPolicy) -> None:
    found = assess(GateInput("Make retries better"), policy)
    with pytest.raises(Refused) as refusal:
        require_clear(found)
    assert refusal.value.code == "CLARIFY_GATE_BLOCKED"
    assert refusal.value.data["score"] == 100
    assert refusal.value.data["questions"] == ["acceptance-criteria", "done-definition", "target"]
    vague = refusal.value.data["reasons"][1]
    assert vague == {"code": "vague_wording", "weight": 25, "facts": {"words": ["better"]}}


def test_an_open_question_of_the_planner_blocks_too(policy: ClarificationPolicy) -> None:
    clear = assess(GateInput("Print the version in `f`", criteria=STATED), policy)
    require_clear(clear)
    with pytest.raises(Refused, match="1 question"):
        require_clear(clear, open_questions=["which-format"])


texts = st.text(max_size=80) | st.lists(
    st.sampled_from(
        [
            "improve",
            "更好",
            "everything",
            "变更好友",
            "`",
            "```\n",
            "\n\n",
            " ",
            "src/a.py",
            "~~~\n",
            "\\",
            "all the",
            "files",
            "___",
            "TODO",
            "一切",
            ".",
        ]
    ),
    max_size=12,
).map("".join)
answers_given = st.dictionaries(st.sampled_from(GATE_FIELDS), texts, max_size=4)


@shared
@given(title=texts, description=texts, first=answers_given, more=answers_given, later=texts)
def test_messages_and_answers_only_lower_the_score(
    policy: ClarificationPolicy,
    title: str,
    description: str,
    first: dict[GateField, str],
    more: dict[GateField, str],
    later: str,
) -> None:
    before = assess(GateInput(title, description), policy)
    answered = assess(GateInput(title, description, answers=first), policy)
    after = assess(GateInput(title, description, answers={**more, **first}, later=[later]), policy)
    assert 0 <= after.score <= answered.score <= before.score <= 100


@shared
@given(title=texts, description=texts, given_answers=answers_given)
def test_the_score_is_what_its_parts_say(
    policy: ClarificationPolicy, title: str, description: str, given_answers: dict[GateField, str]
) -> None:
    found = assess(GateInput(title, description, answers=given_answers), policy)
    assert found.score == min(100, sum(each.weight for each in found.signals if each.present))
    assert found.triggered is (found.score >= 50)
    assert found == assess(GateInput(title, description, answers=given_answers), policy)
    assert Assessment.model_validate_json(found.model_dump_json()) == found
    if found.triggered:
        assert [each.field for each in found.questions] == [
            each.field for each in found.signals if each.present
        ]


def test_a_policy_without_a_blank_on_the_acceptance_card_is_refused(
    policy: ClarificationPolicy,
) -> None:
    raw = policy.model_dump()
    raw["questions"]["acceptance-criteria"]["choices"][0]["title"] = {"en": "ok", "zh": "好"}
    with pytest.raises(ValueError, match="blank"):
        ClarificationPolicy.model_validate(raw)
    with pytest.raises(ValueError, match="surprise"):
        ClarificationPolicy.model_validate({**policy.model_dump(), "surprise": 1})
