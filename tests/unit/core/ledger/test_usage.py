"""Usage rows and exact sums: nothing is rounded, and what is unknown stays unknown."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.context import MissionId, RepoId
from core.errors import Invalid
from core.ledger.model_usage import ModelUsage
from core.ledger.usage import (
    CallOrigin,
    Total,
    Usage,
    attributed,
    call_id,
    per_day,
    per_mission,
    per_pull_request,
    per_repo,
    total,
)

NOW = datetime(2030, 5, 17, 12, tzinfo=UTC)


def row(**changes: Any) -> Usage:
    facts = {
        "id": "r-1:m",
        "role": "coder",
        "auth_mode": "api",
        "provider": "anthropic",
        "model": "m",
        "at": NOW,
        **changes,
    }
    return Usage(**facts)


COSTS = st.none() | st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=12)
COUNTS = st.integers(0, 10**9)
ROWS = st.lists(
    st.builds(
        row,
        mission=st.sampled_from([None, "m-1", "m-2"]),
        repo=st.sampled_from(["app", "lib"]),
        at=st.integers(0, 20).map(lambda n: NOW - timedelta(hours=12 * n)),
        input_tokens=COUNTS,
        output_tokens=COUNTS,
        cache_read_tokens=COUNTS,
        cache_write_tokens=COUNTS,
        cost_usd=COSTS,
    ),
    max_size=30,
)


@given(ROWS)
def test_sums_are_exact(rows: list[Usage]) -> None:
    found = total(rows)
    priced = [each.cost_usd for each in rows if each.cost_usd is not None]
    assert Fraction(found.known_cost_usd) == sum(map(Fraction, priced), Fraction(0))
    assert found.unpriced == len(rows) - len(priced)
    assert found.calls == len(rows)
    assert found.tokens == sum(each.tokens for each in rows)
    assert (found.cost_usd is None) == (found.unpriced > 0)


@given(ROWS)
def test_sums_are_exact_whatever_the_precision_around_them(rows: list[Usage]) -> None:
    with localcontext(prec=3):
        found = total(rows)
    assert found == total(rows)


@given(ROWS)
def test_groups_add_up_to_the_whole(rows: list[Usage]) -> None:
    for grouped in (per_repo(rows).values(), per_day(rows).values()):
        assert sum(each.calls for each in grouped) == len(rows)
        known = sum((Fraction(each.known_cost_usd) for each in grouped), Fraction(0))
        assert known == Fraction(total(rows).known_cost_usd)
    missions = per_mission(rows)
    assert sum(each.calls for each in missions.values()) == sum(r.mission is not None for r in rows)


def test_unknown_cost_is_never_zero() -> None:
    found = total([row(cost_usd=None), row(cost_usd=Decimal("0.5"))])
    assert found.cost_usd is None
    assert (found.known_cost_usd, found.unpriced) == (Decimal("0.5"), 1)
    assert total([]).cost_usd == Decimal(0)
    assert Total() == total([])


def test_days_are_utc_days() -> None:
    rows = [
        row(at=datetime(2030, 5, 17, 23, 59, tzinfo=UTC)),
        row(at=datetime(2030, 5, 18, tzinfo=UTC)),
    ]
    assert {day: each.calls for day, each in per_day(rows).items()} == {
        date(2030, 5, 17): 1,
        date(2030, 5, 18): 1,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("provider", ""),
        ("model", ""),
        ("input_tokens", -1),
        ("output_tokens", 1.5),
        ("cache_read_tokens", True),
        ("cache_write_tokens", 10**30),
        ("input_tokens", "3"),
        ("duration_ms", -1),
        ("cost_usd", Decimal("-0.01")),
        ("cost_usd", Decimal("NaN")),
        ("cost_usd", Decimal("Infinity")),
        ("cost_usd", 0.5),
        ("cost_usd", Decimal("1e20")),
        ("cost_usd", Decimal("1e-900")),
        ("at", datetime(2030, 5, 17)),  # noqa: DTZ001
        ("at", datetime(2030, 5, 17, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_field(field: str, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        row(**{field: value})
    assert caught.value.data["field"] == field


def test_a_row_is_the_providers_report_and_its_origin() -> None:
    reported = ModelUsage(call_id("r-1", "opus"), "anthropic", "opus", 10, 2, 3, 4, None, 50)
    origin = CallOrigin("coder", "subscription", NOW, MissionId("m-1"), repo=RepoId("app"))
    found = attributed(reported, origin, Decimal("0.1"))
    assert (found.id, found.tokens, found.cost_usd) == ("r-1:opus", 19, Decimal("0.1"))
    assert (found.mission, found.repo, found.duration_ms) == ("m-1", "app", 50)


def test_pull_requests_of_seven_days() -> None:
    rows = [
        row(mission="m-1", cost_usd=Decimal("0.10"), at=NOW - timedelta(days=9)),
        row(mission="m-1", cost_usd=Decimal("0.20")),
        row(mission="m-2", cost_usd=Decimal(5)),
        row(mission="m-3", cost_usd=Decimal(7)),
    ]
    opened = {
        MissionId("m-1"): NOW - timedelta(days=6),
        MissionId("m-2"): NOW - timedelta(days=7),
        MissionId("m-4"): NOW,
    }
    found = per_pull_request(rows, opened, NOW)
    assert set(found.each) == {"m-1", "m-4"}
    assert found.whole.known_cost_usd == Decimal("0.30")
    assert found.mean_usd == Decimal("0.15")
    assert per_pull_request(rows, {}, NOW).mean_usd is None
    unknown = per_pull_request([*rows, row(mission="m-1")], opened, NOW)
    assert unknown.mean_usd is None
