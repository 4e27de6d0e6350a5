"""domain.md §1 and §4: what counts as a criterion, and that no confirmation is lost."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Invalid, Refused
from core.planning.clarification import ClarificationPolicy
from core.planning.criteria import (
    Criterion,
    add,
    extract_criteria,
    flaw_of,
    is_verifiable,
    merge,
    next_id,
    require_confirmed,
)

AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("exits with 3", None),
        ("exits with", "too_short"),
        ("  a b c d     ", "too_short"),
        ("ok!!!!!!!!!!!!!!!!", "too_short"),
        ("a\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b", "too_short"),
        ("TBD: something to decide", "placeholder"),
        ("todo write this criterion", "placeholder"),
        ("It works as expected", "placeholder"),
        ("Verify it works in staging", "placeholder"),
        ("Done, all of it, really", "placeholder"),
        ("n/a for this mission", "placeholder"),
        ("Tests pass.", "placeholder"),
        ("All tests pass!", "placeholder"),
        ("tests pass on Python 3.11 and 3.12", None),
        ("Done when `tool -v` prints 1.2", None),
        ("Done when done", "placeholder"),
        ("todos are listed by due date", None),
        ("Running `___` prints `___`", "blank_left"),
        ("运行 ＿＿ 输出 1", "blank_left"),
        ("123456789012345", "no_words"),
        ("重试只投递一次", None),
        ("正确返回", "too_short"),
        ("测试通过。", "placeholder"),
        ("所有测试都通过", "placeholder"),
        ("能正常工作", "placeholder"),
        ("待定：以后再说这件事", "placeholder"),
        ("完成后运行 tool 输出 1.2.3", None),
        ("无论何时断电都不丢事件", None),
    ],
)
def test_what_is_verifiable(policy: ClarificationPolicy, text: str, flaw: str | None) -> None:
    assert flaw_of(text, policy.criterion) == flaw
    assert is_verifiable(text, policy.criterion) is (flaw is None)


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (
            "Fix it.\n\n## Acceptance\n- a prints b\n* c\n+ d\n\nThanks\n- no",
            ["a prints b", "c", "d"],
        ),
        ("**Done when:**\n1. one\n2) two\n   goes on\n", ["one", "two goes on"]),
        ("Acceptance criteria:\n\n- [ ] open\n- [x] closed", ["open", "closed"]),
        (
            "验收标准：\n1、第一条\n2．第二条\n（3）第三条\n④第四条",
            ["第一条", "第二条", "第三条", "第四条"],
        ),
        ("完成条件\n- 输出 1", ["输出 1"]),
        ("Acceptance\n```\n- not this\n```\n- this", ["this"]),
        ("The acceptance is near:\n- no", []),
        ("- no\nDone when\n", []),
        ("Done when:\n" + "- x\n" * 80, ["x"] * 50),
        ("Done when:\n- " + "x" * 4_001 + "\n- y", ["y"]),
    ],
)
def test_a_list_under_a_heading_states_criteria(
    policy: ClarificationPolicy, message: str, found: list[str]
) -> None:
    assert list(extract_criteria(message, policy.criterion)) == found


def test_ids_go_up_and_never_return() -> None:
    assert next_id([]) == "C1"
    assert next_id([Criterion(id="C7", text="x", source="stated")]) == "C8"
    assert next_id([], after=9) == "C10"


def test_a_confirmation_is_given_once() -> None:
    first = Criterion(id="C1", text="x", source="proposed").confirm("operator", AT)
    assert first.confirmed
    assert first.confirm("somebody", datetime(2027, 1, 1, tzinfo=UTC)) == first


def test_a_dropped_proposal_does_not_give_its_id_away() -> None:
    stale = (Criterion(id="C6", text="stale one", source="proposed"),)
    assert [each.id for each in merge(stale, ["new one"])] == ["C7"]
    assert [each.id for each in merge((), ["new one"], after=7)] == ["C8"]


def test_half_a_confirmation_is_refused() -> None:
    with pytest.raises(ValueError, match="both who and when"):
        Criterion(id="C1", text="x", source="proposed", confirmed_by="operator")
    with pytest.raises(ValueError, match="timezone"):
        Criterion(
            id="C1",
            text="x",
            source="stated",
            confirmed_by="o",
            confirmed_at=datetime(2026, 1, 1),  # noqa: DTZ001
        )


def test_approval_waits_for_proposals() -> None:
    open_one = Criterion(id="C2", text="x", source="proposed")
    require_confirmed([Criterion(id="C1", text="y", source="stated"), open_one.confirm("o", AT)])
    with pytest.raises(Refused) as refusal:
        require_confirmed([open_one])
    assert refusal.value.code == "CRITERIA_UNCONFIRMED"
    assert refusal.value.data == {"criteria": ["C2"]}


def test_the_operators_own_word_takes_over_a_proposal() -> None:
    proposed = add([], "It prints 1.2.3", "proposed")
    own = add(proposed, "it prints  1.2.3.", "answered")
    assert [(each.id, each.source, each.text) for each in own] == [
        ("C1", "answered", "it prints  1.2.3.")
    ]
    assert add(own, "It prints 1.2.3", "proposed") == own
    for bad in ("", " ", "x" * 4_001):
        with pytest.raises(Invalid, match="4000"):
            add(own, bad, "stated")


def test_a_new_version_keeps_what_was_said_and_drops_stale_proposals() -> None:
    old = (
        Criterion(id="C1", text="stated one", source="stated"),
        Criterion(id="C2", text="confirmed one", source="proposed").confirm("operator", AT),
        Criterion(id="C3", text="stale one", source="proposed"),
        Criterion(id="C4", text="kept one", source="proposed"),
    )
    merged = merge(old, ["Kept one.", "confirmed one", "new one", "new one"])
    assert [(each.id, each.source) for each in merged] == [
        ("C1", "stated"),
        ("C2", "proposed"),
        ("C4", "proposed"),
        ("C5", "proposed"),
    ]
    assert merged[1].confirmed_at == AT


@given(
    old=st.lists(st.tuples(st.sampled_from(["a1", "b2", "c3", "d4"]), st.booleans()), max_size=6),
    new=st.lists(st.sampled_from(["a1", "b2", "c3", "d4", "e5"]), max_size=6),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_merging_loses_no_confirmation(old: list[tuple[str, bool]], new: list[str]) -> None:
    before = tuple(
        Criterion(
            id=f"C{place}",
            text=text,
            source="proposed",
            confirmed_by="operator" if yes else None,
            confirmed_at=AT if yes else None,
        )
        for place, (text, yes) in enumerate(old, start=1)
    )
    after = merge(before, new)
    assert [each for each in before if each.confirmed] == [each for each in after if each.confirmed]
    assert {each.text for each in after} >= set(new)
    assert len({each.id for each in after}) == len(after)
    assert merge(after, new) == after
