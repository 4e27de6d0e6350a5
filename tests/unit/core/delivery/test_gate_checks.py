"""The ten checks: in order, fail closed, the first refusal is the answer."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.delivery.gate_checks import CHECKS, GateFacts, evaluate

FIELDS = {
    "remote_writes": "remote_writes",
    "repo_listed": "repo_listed",
    "repo_enabled": "repo_enabled",
    "remote_supported": "remote_supported",
    "base_on_remote": "base_on_remote",
    "no_forbidden_path": "no_forbidden_path",
    "no_secret": "no_secret",
    "validators": "validators_passed",
    "approval": "approved",
    "credential": "credential",
}
CODES = [
    "REMOTE_WRITES_DISABLED",
    "REPO_NOT_LISTED",
    "REPO_DISABLED",
    "REMOTE_MISSING",
    "BASE_NOT_ON_REMOTE",
    "FORBIDDEN_PATH",
    "SECRET_DETECTED",
    "VALIDATORS_NOT_PASSED",
    "APPROVAL_REQUIRED",
    "HOLD-GITHUB-AUTH",
]


def known(values: Iterable[bool | None], *, rehearsal: bool = False) -> GateFacts:
    named: dict[str, Any] = dict(zip(FIELDS.values(), values, strict=True))
    return GateFacts(rehearsal=rehearsal, **named)


OPEN = known([True] * 10)


def test_the_ten_stand_in_the_domains_order() -> None:
    assert [check.id for check in CHECKS] == list(FIELDS)
    assert [check.code for check in CHECKS] == CODES
    assert len({check.question for check in CHECKS}) == 10


def test_all_ten_open_it() -> None:
    answer = evaluate(OPEN)
    assert (answer.open, answer.code, answer.reason, answer.pending) == (True, None, "", "")
    assert {check.status for check in answer.checks} == {"passed"}


def test_nothing_known_is_closed() -> None:
    answer = evaluate(GateFacts(rehearsal=False))
    assert not answer.open
    assert answer.pending == "remote_writes"
    assert {check.status for check in answer.checks} == {"not_checked"}


@given(
    first=st.integers(0, 9),
    refused=st.booleans(),
    rest=st.lists(st.sampled_from([True, False, None]), min_size=10, max_size=10),
)
def test_the_first_that_does_not_pass_is_the_answer(
    first: int, refused: bool, rest: list[bool | None]
) -> None:
    values = [True] * first + [False if refused else None] + rest[first + 1 :]
    answer = evaluate(known(values))
    statuses = [check.status for check in answer.checks]
    assert not answer.open
    assert statuses[:first] == ["passed"] * first
    assert set(statuses[first + 1 :]) <= {"not_checked"}
    assert len(statuses) == 10
    assert statuses[first] == ("refused" if refused else "not_checked")
    assert answer.code == answer.checks[first].code == (CODES[first] if refused else None)
    assert answer.pending == ("" if refused else CHECKS[first].id)


@pytest.mark.parametrize("value", ["true", 1, "yes", [True], "false", 0, ""])
@pytest.mark.parametrize("name", list(FIELDS.values()))
def test_only_true_itself_passes(name: str, value: object) -> None:
    assert not evaluate(replace(OPEN, **{name: value})).open  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("push", "forge", "opens"),
    [
        ("/srv/git/a.git", "http://127.0.0.1:8080", True),
        ("file:///srv/git/a.git", "http://[::1]:8080/api", True),
        ("ssh://git@127.0.0.1:2222/a.git", "https://127.9.9.9/", True),
        ("https://github.com/a/b.git", "http://127.0.0.1:8080", False),
        ("/srv/git/a.git", "https://api.github.com", False),
        ("/srv/git/a.git", "http://localhost:8080", False),
        ("git@github.com:a/b.git", "http://127.0.0.1", False),
        (None, "http://127.0.0.1", False),
        ("/srv/git/a.git", None, False),
        ("", "", False),
    ],
)
def test_a_rehearsal_stays_on_this_machine(
    push: str | None, forge: str | None, opens: bool
) -> None:
    answer = evaluate(replace(OPEN, rehearsal=True, push_url=push, forge_url=forge))
    assert answer.open is opens
    if not opens:
        assert (answer.code, answer.reason) == ("VALIDATORS_NOT_PASSED", "rehearsal")
        assert answer.checks[7].reason == "rehearsal"
    assert evaluate(replace(OPEN, push_url=push, forge_url=forge)).open


def test_a_local_rehearsal_still_needs_its_verdicts() -> None:
    local = replace(OPEN, rehearsal=True, push_url="/a.git", forge_url="http://127.0.0.1")
    answer = evaluate(replace(local, validators_passed=False))
    assert (answer.code, answer.reason) == ("VALIDATORS_NOT_PASSED", "")
    assert evaluate(replace(local, validators_passed=None)).pending == "validators"


@given(
    values=st.tuples(*[st.sampled_from([True, False, None])] * 10),
    push=st.text(max_size=30),
    forge=st.text(max_size=30),
)
def test_a_rehearsal_is_never_more_open(
    values: tuple[bool | None, ...], push: str, forge: str
) -> None:
    facts = replace(known(values, rehearsal=True), push_url=push, forge_url=forge)
    assert evaluate(facts).open <= evaluate(replace(facts, rehearsal=False)).open
