"""The merge policy: every combination has one answer, and nothing lifts what must not be lifted."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.judgement.merge_policy import (
    LIFTABLE,
    RULES,
    ApprovalFacts,
    CommandStatus,
    Decision,
    DecisionFacts,
    FamilyVerdict,
    MergeFacts,
    decide,
    lifted_by,
    merge_refusals,
)
from core.policy import MergePolicyLimits

PASSES = (FamilyVerdict("openai", "pass"), FamilyVerdict("gemini", "pass"))
GOOD = DecisionFacts(
    digest="d1",
    risk="low",
    secret=False,
    forbidden_path=False,
    coder_family="claude",
    verdicts=PASSES,
    commands={"test": "passed", "lint": "passed"},
)
APPROVED = ApprovalFacts("a-1", "evidence", "approved", "d1")


def verdicts(*pairs: str, stale: bool = False) -> tuple[FamilyVerdict, ...]:
    return tuple(
        FamilyVerdict(pair.split(":")[0], pair.split(":")[1], stale)  # type: ignore[arg-type]
        for pair in pairs
    )


def test_all_good_is_auto_merge() -> None:
    assert decide(GOOD) == Decision("AUTO_MERGE", (), "", "d1")
    assert decide(replace(GOOD, commands={"test": "passed", "lint": "not_configured"})).first == ""


@pytest.mark.parametrize(
    ("change", "kind", "first"),
    [
        ({"secret": True}, "BLOCKED", "secret"),
        ({"forbidden_path": True}, "BLOCKED", "forbidden_path"),
        ({"risk": "high"}, "BLOCKED", "risk_high"),
        ({"risk": "none"}, "BLOCKED", "risk_high"),
        ({"verdicts": verdicts("openai:pass", "gemini:fail")}, "BLOCKED", "validator_fail"),
        ({"commands": {"test": "failed"}}, "BLOCKED", "command_failed"),
        ({"commands": {"test": "passed", "lint": "failed"}}, "BLOCKED", "command_failed"),
        ({"verdicts": ()}, "WAITING", "no_verdict"),
        (
            {"verdicts": verdicts("openai:pass", "gemini:inconclusive")},
            "WAITING",
            "validator_inconclusive",
        ),
        ({"verdicts": (*PASSES, FamilyVerdict("x", "pass", True))}, "WAITING", "verdict_stale"),
        ({"verdicts": verdicts("openai:pass")}, "WAITING", "too_few_passes"),
        ({"verdicts": PASSES[:1] * 2}, "WAITING", "families_not_distinct"),
        ({"verdicts": verdicts("openai:pass", "OpenAI :pass")}, "WAITING", "families_not_distinct"),
        ({"coder_family": "OPENAI"}, "WAITING", "families_not_distinct"),
        ({"coder_family": ""}, "WAITING", "families_not_distinct"),
        ({"commands": {"test": "failing_before"}}, "WAITING", "tests_failing_before"),
        ({"commands": {}}, "WAITING", "tests_not_configured"),
        ({"commands": {"lint": "passed"}}, "WAITING", "tests_not_configured"),
        ({"commands": {"test": "not_runnable"}}, "WAITING", "tests_not_runnable"),
        ({"ui_command": True}, "WAITING", "screenshot_missing"),
        ({"checkpoint_open": True}, "WAITING", "checkpoint_open"),
        ({"risk": "medium"}, "WAITING", "risk_medium"),
    ],
)
def test_each_rule_alone(change: Mapping[str, object], kind: str, first: str) -> None:
    decision = decide(replace(GOOD, **change))  # type: ignore[arg-type]
    assert (decision.kind, decision.first) == (kind, first)
    assert decision.causes[0] == first


def test_causes_are_all_named_in_order() -> None:
    decision = decide(replace(GOOD, secret=True, risk="medium", commands={}, verdicts=()))
    assert decision.kind == "BLOCKED"
    assert decision.causes == (
        "secret",
        "no_verdict",
        "too_few_passes",
        "families_not_distinct",
        "tests_not_configured",
        "risk_medium",
    )


def test_blocked_rules_come_before_waiting_ones() -> None:
    kinds = [rule.decision for rule in RULES]
    assert kinds == sorted(kinds)
    assert {rule.id for rule in RULES} >= LIFTABLE
    assert all(rule.decision == "WAITING" for rule in RULES if rule.id in LIFTABLE)


@pytest.mark.parametrize(
    "change",
    [
        {"risk": "medium"},
        {"commands": {}},
        {"commands": {"test": "not_runnable", "lint": "failing_before"}, "risk": "medium"},
    ],
)
def test_an_evidence_approval_of_this_digest_lifts(change: Mapping[str, object]) -> None:
    decision = decide(replace(GOOD, **change))  # type: ignore[arg-type]
    assert decision.liftable
    assert lifted_by(decision, [APPROVED]) == "a-1"


@pytest.mark.parametrize(
    "wrong",
    [
        {"digest": "d2"},
        {"digest": ""},
        {"kind": "plan"},
        {"kind": "checkpoint"},
        {"state": "pending"},
        {"state": "rejected"},
        {"state": "expired"},
        {"state": "changes_requested"},
    ],
)
def test_no_other_approval_lifts(wrong: Mapping[str, str]) -> None:
    decision = decide(replace(GOOD, risk="medium"))
    assert lifted_by(decision, [replace(APPROVED, **wrong)]) == ""
    assert lifted_by(decision, [replace(APPROVED, **wrong), APPROVED]) == "a-1"
    nowhere = decide(replace(GOOD, risk="medium", digest=""))
    assert lifted_by(nowhere, [replace(APPROVED, digest="")]) == ""


def test_an_auto_merge_needs_no_lifting() -> None:
    assert lifted_by(decide(GOOD), [APPROVED]) == ""


ALL_STATUSES = get_args(CommandStatus)
VERDICT_SETS = [
    verdicts(*(f"{family}:{said}" for family, said in zip(families, saids, strict=True)))
    for families in [("openai", "gemini"), ("openai", "openai"), ("claude", "gemini")]
    for saids in product(["pass", "fail", "inconclusive"], repeat=2)
] + [(), PASSES[:1], tuple(replace(each, stale=True) for each in PASSES)]


@pytest.mark.parametrize("risk", ["low", "medium", "high"])
@pytest.mark.parametrize("said", VERDICT_SETS)
def test_the_whole_table(risk: str, said: tuple[FamilyVerdict, ...]) -> None:
    flags = product([False, True], repeat=4)
    for (secret, forbidden, checkpoint, ui), status in product(flags, ALL_STATUSES):
        facts = replace(
            GOOD,
            risk=risk,  # type: ignore[arg-type]
            verdicts=said,
            secret=secret,
            forbidden_path=forbidden,
            checkpoint_open=checkpoint,
            ui_command=ui,
            commands={"test": status},
        )
        check_answer(facts)


def check_answer(facts: DecisionFacts) -> None:
    decision = decide(facts)
    status = facts.commands["test"]
    saids = [each.verdict for each in facts.verdicts]
    lifted = lifted_by(decision, [APPROVED])
    blocked = (
        facts.secret
        or facts.forbidden_path
        or facts.risk == "high"
        or "fail" in saids
        or status == "failed"
    )
    fresh = {each.family for each in facts.verdicts if each.verdict == "pass" and not each.stale}
    judged = len(fresh - {facts.coder_family}) >= 2 and set(saids) == {"pass"}
    closed = facts.checkpoint_open or (facts.ui_command and not facts.screenshots)
    assert (decision.kind == "BLOCKED") == blocked
    good = judged and not closed and not blocked
    assert (decision.kind == "AUTO_MERGE") == (good and status == "passed" and facts.risk == "low")
    assert bool(lifted) == (good and decision.kind == "WAITING")


FACTS = st.builds(
    DecisionFacts,
    digest=st.sampled_from(["d1", "d2"]),
    risk=st.sampled_from(["low", "medium", "high"]),
    secret=st.booleans(),
    forbidden_path=st.booleans(),
    coder_family=st.sampled_from(["claude", "openai", ""]),
    verdicts=st.lists(
        st.builds(
            FamilyVerdict,
            st.sampled_from(["openai", "gemini", "claude", " Gemini"]),
            st.sampled_from(["pass", "pass", "fail", "inconclusive"]),
            st.booleans(),
        ),
        max_size=4,
    ).map(tuple),
    commands=st.dictionaries(
        st.sampled_from(["test", "lint", "build"]), st.sampled_from(ALL_STATUSES)
    ),
    ui_command=st.booleans(),
    screenshots=st.integers(0, 1),
    checkpoint_open=st.booleans(),
)


@given(facts=FACTS, approvals=st.lists(st.just(APPROVED), max_size=2))
def test_nothing_lifts_a_fail_an_inconclusive_or_a_block(
    facts: DecisionFacts, approvals: list[ApprovalFacts]
) -> None:
    decision = decide(facts)
    lifted = lifted_by(decision, approvals)
    if decision.kind != "WAITING" or {each.verdict for each in facts.verdicts} != {"pass"}:
        assert lifted == ""
    if decision.kind == "AUTO_MERGE" or lifted:
        assert len({each.family.strip().casefold() for each in facts.verdicts}) >= 2
        assert not any(each.stale for each in facts.verdicts)
        assert "failed" not in facts.commands.values()


LIMITS = MergePolicyLimits(enabled=True, max_risk_score=30, max_changed_lines=300)
MERGE = MergeFacts(risk_score=30, changed_lines=300, ci_green=True, remote_writes=True)


def test_merging_itself_needs_everything() -> None:
    assert merge_refusals(decide(GOOD), MERGE, LIMITS) == ()
    waiting = decide(replace(GOOD, risk="medium"))
    closed = MergeFacts(risk_score=31, changed_lines=301, ci_green=False, remote_writes=False)
    assert merge_refusals(waiting, closed, LIMITS.model_copy(update={"enabled": False})) == (
        "auto_merge_disabled",
        "not_auto_merge",
        "risk_score_above_limit",
        "changed_lines_above_limit",
        "ci_not_green",
        "remote_writes_disabled",
    )
