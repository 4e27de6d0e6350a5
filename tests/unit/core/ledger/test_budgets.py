"""Budgets: a call that could pass a cap is not started."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ledger.budgets import (
    Account,
    BudgetHold,
    PlannedCall,
    Spent,
    account_of,
    check,
)
from core.ledger.usage import AuthMode, Role, Usage
from core.settings import Budgets

AT = datetime(2030, 5, 17, tzinfo=UTC)
USD = st.decimals(0, 20, places=4, allow_nan=False, allow_infinity=False)
ROLES: list[Role] = ["planner", "coder", "reviewer", "validator"]
MODES: list[AuthMode] = ["subscription", "api", "rehearsal"]
CALLS = st.builds(
    PlannedCall,
    st.sampled_from(ROLES),
    st.sampled_from(MODES),
    st.none() | USD,
    st.integers(0, 500),
)
BUDGETS = st.builds(
    Budgets,
    calls_per_mission=st.integers(0, 6),
    calls_per_day=st.integers(0, 8),
    coder_api_usd=USD,
    planner_api_usd=USD,
    validators_mission_usd=USD,
    validators_day_usd=USD,
    tokens_per_mission=st.none() | st.integers(0, 2000),
    tokens_per_day=st.none() | st.integers(0, 2000),
)


@given(st.lists(CALLS, max_size=40), BUDGETS)
def test_no_sequence_of_started_calls_passes_a_cap(
    calls: list[PlannedCall], budgets: Budgets
) -> None:
    spent = Spent()
    for call in calls:
        if check(call, spent, budgets) is None:
            spent = spent.plus(call)
    assert spent.mission.calls <= budgets.calls_per_mission
    assert spent.day.calls <= budgets.calls_per_day
    for account, validators in (
        (spent.mission, budgets.validators_mission_usd),
        (spent.day, budgets.validators_day_usd),
    ):
        assert account.usd.get("validators", 0) <= validators
        assert account.usd.get("coder_api", 0) <= budgets.coder_api_usd
        assert account.usd.get("planner_api", 0) <= budgets.planner_api_usd
        assert not account.unknown
    for account, limit in (
        (spent.mission, budgets.tokens_per_mission),
        (spent.day, budgets.tokens_per_day),
    ):
        assert limit is None or account.tokens <= limit


@given(CALLS, BUDGETS)
def test_a_held_call_stays_held_when_more_is_spent(call: PlannedCall, budgets: Budgets) -> None:
    if check(call, Spent(), budgets) is not None:
        assert check(call, Spent().plus(call), budgets) is not None


@pytest.mark.parametrize("role", ["planner", "coder", "reviewer"])
@pytest.mark.parametrize("worst", [None, Decimal(0), Decimal("0.01")])
def test_no_paid_call_starts_under_the_default_caps(role: Role, worst: Decimal | None) -> None:
    found = check(PlannedCall(role, "api", worst), Spent(), Budgets())
    assert found is not None
    assert found.limit == 0


@pytest.mark.parametrize("mode", ["subscription", "rehearsal"])
@pytest.mark.parametrize("role", ROLES)
def test_what_costs_nothing_by_the_call_needs_no_dollars(role: Role, mode: AuthMode) -> None:
    none = Budgets(validators_mission_usd=Decimal(0), validators_day_usd=Decimal(0))
    assert check(PlannedCall(role, mode), Spent(), none) is None


def test_thirty_headless_calls_a_mission() -> None:
    call = PlannedCall("coder", "subscription")
    assert check(call, Spent(Account(calls=29), Account(calls=29)), Budgets()) is None
    assert check(call, Spent(Account(calls=30), Account(calls=30)), Budgets()) == BudgetHold(
        "calls_per_mission", 30, 30
    )


def test_a_hundred_and_twenty_headless_calls_a_day() -> None:
    call = PlannedCall("planner", "subscription")
    assert check(call, Spent(Account(), Account(calls=119)), Budgets()) is None
    assert check(call, Spent(Account(), Account(calls=120)), Budgets()) == BudgetHold(
        "calls_per_day", 120, 120
    )


def test_a_validator_is_no_headless_call() -> None:
    full = Spent(Account(calls=999), Account(calls=999))
    assert check(PlannedCall("validator", "api", Decimal("0.1")), full, Budgets()) is None


def test_a_validator_that_could_pass_its_cap_is_not_started() -> None:
    spent = Spent(Account(usd={"validators": Decimal("1.95")}), Account())
    assert check(PlannedCall("validator", "api", Decimal("0.05")), spent, Budgets()) is None
    assert check(PlannedCall("validator", "api", Decimal("0.06")), spent, Budgets()) == BudgetHold(
        "validators_mission_usd", Decimal("1.95"), Decimal(2)
    )


def test_the_day_holds_what_the_mission_allows() -> None:
    spent = Spent(Account(), Account(usd={"validators": Decimal("9.99")}))
    found = check(PlannedCall("validator", "api", Decimal("0.05")), spent, Budgets())
    assert found is not None
    assert found.cap == "validators_day_usd"


def test_what_nobody_can_bound_is_held() -> None:
    unknown = check(PlannedCall("validator", "api", None), Spent(), Budgets())
    assert unknown is not None
    before = Spent().plus(PlannedCall("validator", "api", None))
    found = check(PlannedCall("validator", "api", Decimal("0.01")), before, Budgets())
    assert found is not None
    assert found.spent is None
    capped = Budgets(tokens_per_day=1000)
    assert check(PlannedCall("coder", "subscription"), Spent(), capped) is not None


def test_calls_side_by_side_are_judged_together() -> None:
    call = PlannedCall("validator", "api", Decimal("1.5"))
    assert check(call, Spent(), Budgets()) is None
    assert check(call, Spent().plus(call), Budgets()) is not None


def usage(cost: Decimal | None, role: Role = "validator", mode: AuthMode = "api") -> Usage:
    return Usage(
        id="x", role=role, auth_mode=mode, provider="openai", model="m", at=AT,
        cost_usd=cost, input_tokens=10,
    )  # fmt: skip


def test_an_account_counts_unpriced_calls_at_their_ceiling() -> None:
    rows = [
        usage(Decimal("0.5")),
        usage(None),
        usage(Decimal(9), mode="subscription"),
        usage(Decimal(1), role="reviewer"),
    ]
    found = account_of(rows, calls=3, ceiling=lambda _: Decimal("0.25"))
    assert found.usd == {"validators": Decimal("0.75"), "coder_api": Decimal(1)}
    assert (found.calls, found.tokens, found.unknown) == (3, 40, frozenset())
    blind = account_of(rows, calls=3, ceiling=lambda _: None)
    assert blind.unknown == {"validators"}
