"""The packaged policy, and what a repo may lay over it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.policy import Policy, load_policy


def test_the_packaged_values_are_the_domains() -> None:
    policy = load_policy()
    assert (policy.risk.low, policy.risk.medium) == (30, 70)
    assert policy.paths.forbidden == (
        ".env",
        ".env.*",
        "**/.env",
        "**/.env.*",
        "secrets/**",
        "**/secrets/**",
        ".github/**",
        ".gitlab-ci.yml",
        "AGENTS.md",
        "CLAUDE.md",
        "**/AGENTS.md",
        "**/CLAUDE.md",
        ".claude/**",
        ".cockpit/**",
        ".git/**",
        ".gitattributes",
        ".gitmodules",
    )
    merge = policy.auto_merge
    assert (merge.enabled, merge.max_risk_score, merge.max_changed_lines) == (False, 30, 300)
    assert (policy.rework.after_merge, policy.rework.review_cycles) == (2, 2)
    assert (policy.limits.coder_seconds, policy.limits.validator_seconds) == (1800, 60)
    assert (policy.limits.stall_mark_seconds, policy.limits.stall_hold_seconds) == (90, 1800)
    assert (policy.limits.validator_retries, policy.limits.capability_seconds) == (2, 300)
    assert (policy.budgets.calls_per_mission, policy.budgets.calls_per_day) == (30, 120)
    assert (policy.budgets.coder_api_usd, policy.budgets.planner_api_usd) == (Decimal(0),) * 2
    assert policy.budgets.validators_mission_usd == Decimal(2)
    assert policy.budgets.validators_day_usd == Decimal(10)


def test_a_repos_values_lie_over_the_packaged_ones() -> None:
    policy = load_policy({"risk": {"points": {"large_deletion": 50}}})
    assert policy.risk.points.large_deletion == 50
    assert policy.risk.points.workflow_change == 40
    assert load_policy().risk.points.large_deletion == 20


def test_a_new_language_is_added() -> None:
    policy = load_policy({"risk": {"languages": {"zig": {"extensions": ["zig"]}}}})
    assert policy.risk.languages["zig"].extensions == ("zig",)
    assert "python" in policy.risk.languages


PATTERNS = st.text(st.characters(codec="utf-8", exclude_characters="!"), min_size=1, max_size=99)


@given(more=st.lists(PATTERNS, max_size=5))
def test_forbidden_paths_are_added_and_never_replaced(more: list[str]) -> None:
    packaged = load_policy().paths.forbidden
    assert load_policy({"paths": {"forbidden": more}}).paths.forbidden == (*packaged, *more)


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"risks": {}}, "risks"),
        ({"risk": {"points": {"large_deletion": 101}}}, "risk.points.large_deletion"),
        ({"risk": {"points": {"large_deletion": True}}}, "risk.points.large_deletion"),
        ({"risk": {"points": {"large_deletion": "20"}}}, "risk.points.large_deletion"),
        ({"risk": {"points": {"luck": 1}}}, "risk.points.luck"),
        ({"risk": {"points": 7}}, "risk.points"),
        ({"risk": {"low": 80}}, "risk"),
        ({"risk": {"patterns": {"workflow": "x"}}}, "risk.patterns.workflow"),
        ({"paths": {"forbidden": "x"}}, "paths.forbidden"),
        ({"paths": {"forbidden": {"0": "x"}}}, "paths.forbidden"),
        ({"paths": {"forbidden": ["!.env"]}}, "paths"),
        ({"paths": {"forbidden": [""]}}, "paths.forbidden.17"),
        ({"paths": []}, "paths"),
        ({"auto_merge": {"enabled": "true"}}, "auto_merge.enabled"),
        ({"auto_merge": {"enabled": 1}}, "auto_merge.enabled"),
        ({"limits": {"coder_seconds": 0}}, "limits.coder_seconds"),
        ({"limits": {"stall_mark_seconds": 2000}}, "limits"),
        ({"budgets": {"coder_api_usd": float("nan")}}, "budgets.coder_api_usd"),
        ({"clarification": {"threshold": 0}}, "clarification.threshold"),
        ({7: {}}, "7"),
        ({"paths": {"forbidden": ["\ud800"]}}, "paths.forbidden.17"),
    ],
)
def test_what_does_not_fit_is_named(overrides: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        load_policy(overrides)
    assert refused.value.data["field"] == field
    assert refused.value.recovery


def test_a_policy_is_frozen() -> None:
    policy = load_policy()
    with pytest.raises(ValueError, match="frozen"):
        policy.risk.low = 0  # type: ignore[misc]
    assert Policy.model_validate(policy.model_dump()) == policy
