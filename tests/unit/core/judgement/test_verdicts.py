"""What a validator's reply means: nothing malformed is ever a pass."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.judgement.verdicts import (
    MAX_REPLY_CHARS,
    Judgement,
    Reply,
    Verdict,
    VerdictKind,
    disagree,
    failed_call,
    is_stale,
    parse_reply,
    reply_schema,
)

IDS = ["C1", "C2"]


def reply(**more: Any) -> dict[str, Any]:
    return {
        "verdict": "pass",
        "confidence": 0.9,
        "summary": "All criteria are met.",
        "criteria": [{"id": each, "status": "pass", "where": "tests.json"} for each in IDS],
        "blocking_issues": [],
        "non_blocking_issues": ["naming"],
        "evidence_gaps": [],
        **more,
    }


def judged(value: Any) -> Judgement:
    return parse_reply(json.dumps(value), IDS)


def criteria(*pairs: str) -> list[dict[str, str]]:
    return [
        {"id": pair.split(":")[0], "status": pair.split(":")[1], "where": "x"} for pair in pairs
    ]


def test_a_good_reply_is_taken_as_it_stands() -> None:
    found = judged(reply())
    assert (found.verdict, found.cause, found.confidence) == ("pass", "", 0.9)
    assert found.non_blocking_issues == ("naming",)
    assert [each.id for each in found.criteria] == IDS
    assert parse_reply(json.dumps(reply()).encode(), IDS) == found


def test_a_fail_and_an_inconclusive_stand() -> None:
    assert judged(reply(verdict="fail", blocking_issues=["wrong"])).verdict == "fail"
    mixed = criteria("C1:pass", "C2:fail")
    assert judged(reply(verdict="fail", criteria=mixed)).verdict == "fail"
    unsure = judged(reply(verdict="inconclusive"))
    assert (unsure.verdict, unsure.cause) == ("inconclusive", "")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"verdict": "PASS"}, "unknown_verdict"),
        ({"verdict": "passed"}, "unknown_verdict"),
        ({"verdict": None}, "unknown_verdict"),
        ({"verdict": ["pass"]}, "unknown_verdict"),
        ({"confidence": 1.01}, "bad_confidence"),
        ({"confidence": -0.1}, "bad_confidence"),
        ({"confidence": "0.9"}, "bad_confidence"),
        ({"confidence": True}, "bad_confidence"),
        ({"confidence": None}, "bad_confidence"),
        ({"confidence": 10**400}, "bad_confidence"),
        ({"summary": 7}, "bad_field"),
        ({"blocking_issues": "none"}, "bad_field"),
        ({"blocking_issues": [None]}, "bad_field"),
        ({"evidence_gaps": {}}, "bad_field"),
        ({"criteria": {}}, "bad_criterion"),
        ({"criteria": [{"id": "C1", "status": "pass"}]}, "bad_criterion"),
        ({"criteria": criteria("C1:pass", "C2:ok")}, "bad_criterion"),
        ({"criteria": [*criteria("C1:pass"), "C2"]}, "bad_criterion"),
        ({"criteria": []}, "criteria_missing"),
        ({"criteria": criteria("C1:pass")}, "criteria_missing"),
        ({"criteria": criteria("C1:pass", "C2:pass", "C3:pass")}, "criteria_unknown"),
        ({"criteria": criteria("C1:pass", "c2:pass")}, "criteria_unknown"),
        ({"criteria": criteria("C1:pass", "C2:pass", "C2:pass")}, "criteria_duplicate"),
        ({"criteria": criteria("C1:pass", "C2:fail")}, "criterion_not_pass"),
        ({"criteria": criteria("C1:pass", "C2:unknown")}, "criterion_not_pass"),
        ({"blocking_issues": ["it does not start"]}, "blocking_issue"),
        ({"note": "x"}, "unknown_field"),
    ],
)
def test_what_does_not_fit_is_inconclusive(change: dict[str, Any], cause: str) -> None:
    found = judged(reply(**change))
    assert (found.verdict, found.cause) == ("inconclusive", cause)


@pytest.mark.parametrize("field", list(reply()))
def test_every_field_is_needed(field: str) -> None:
    value = reply()
    del value[field]
    found = judged(value)
    assert (found.verdict, found.cause, found.field) == ("inconclusive", "missing_field", field)


GOOD = json.dumps(reply())


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (None, "empty"),
        ("", "empty"),
        (" \n", "empty"),
        (b"", "empty"),
        ("The change passes all criteria.", "prose"),
        (f"```json\n{GOOD}\n```", "prose"),
        (f"Here it is: {GOOD}", "prose"),
        (GOOD + GOOD, "prose"),
        (GOOD[:-1], "prose"),
        ("\ufeff" + GOOD, "prose"),
        (b"\xff\xfe\xff", "prose"),
        (GOOD.replace("0.9", "NaN"), "bad_number"),
        (GOOD.replace("0.9", "Infinity"), "bad_number"),
        (GOOD.replace("0.9", "1e999"), "bad_confidence"),
        (GOOD.replace("0.9", "9" * 10_000), "prose"),
        (GOOD.replace('"pass",', '"fail", "verdict": "pass",', 1), "duplicate_key"),
        ('{"refusal": "I can not help with that."}', "refusal"),
        (f"[{GOOD}]", "not_an_object"),
        ('"pass"', "not_an_object"),
        ("null", "not_an_object"),
        ("[" * 200_000, "too_deep"),
        ('{"a":' * 100_000, "too_deep"),
        (" " * (MAX_REPLY_CHARS + 1), "too_large"),
        (GOOD + " " * MAX_REPLY_CHARS, "too_large"),
        (b" " * 100_000_000, "too_large"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_reply_is_inconclusive(raw: str | bytes | None, cause: str) -> None:
    found = parse_reply(raw, IDS)
    assert (found.verdict, found.cause) == ("inconclusive", cause)


def test_what_was_said_is_kept_beside() -> None:
    found = judged(reply(criteria=criteria("C1:pass", "C2:fail")))
    assert (found.verdict, found.said) == ("inconclusive", "pass")
    assert judged(reply(verdict="fail", confidence=7)).said == "fail"


def test_texts_can_be_stored() -> None:
    found = judged(reply(summary="a\0b\ud800c", non_blocking_issues=["\udfff"]))
    assert found.verdict == "pass"
    assert found.model_dump_json().encode("utf-8")
    assert "\0" not in found.summary


def test_a_failed_call_is_inconclusive() -> None:
    assert failed_call("timed_out") == Judgement(verdict="inconclusive", cause="timed_out")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.sampled_from(["pass", "C1"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below),
    max_leaves=8,
)


@settings(max_examples=50)
@given(
    value=st.fixed_dictionaries(
        {}, optional=dict.fromkeys([*reply(), "extra"], JSON | st.just("pass"))
    ),
    raw=st.text() | st.binary(),
)
def test_any_reply_has_a_meaning(value: dict[str, Any], raw: str | bytes) -> None:
    for found in (parse_reply(json.dumps(value), IDS), parse_reply(raw, IDS)):
        assert found.verdict == "inconclusive"
        assert Judgement.model_validate_json(found.model_dump_json()) == found


@given(
    said=st.sampled_from(["pass", "fail", "inconclusive"]),
    statuses=st.lists(st.sampled_from(["pass", "fail", "unknown"]), min_size=2, max_size=2),
    ids=st.lists(st.sampled_from(["C1", "C2", "C3"]), min_size=2, max_size=2),
    blocking=st.lists(st.just("x"), max_size=1),
)
def test_a_pass_needs_every_criterion(
    said: str, statuses: list[str], ids: list[str], blocking: list[str]
) -> None:
    results = [f"{each}:{status}" for each, status in zip(ids, statuses, strict=True)]
    value = reply(verdict=said, criteria=criteria(*results), blocking_issues=blocking)
    whole = sorted(ids) == IDS
    passes = said == "pass" and statuses == ["pass", "pass"] and whole and not blocking
    found = judged(value)
    assert (found.verdict == "pass") == passes
    assert (found.verdict == "fail") == (said == "fail" and whole)


def verdict(said: VerdictKind, digest: str = "d1", family: str = "openai") -> Verdict:
    return Verdict(
        verdict=said,
        family=family,
        provider=family,
        model="m",
        digest=digest,
        tokens=10,
        cost_usd=Decimal("0.01"),
        duration_ms=3,
    )


def test_new_evidence_makes_a_verdict_stale() -> None:
    assert not is_stale(verdict("pass"), "d1")
    assert is_stale(verdict("pass"), "d2")
    assert is_stale(verdict("pass", digest=""), "")


def test_disagreement_is_one_pass_and_one_fail_on_the_same_digest() -> None:
    assert disagree([verdict("pass"), verdict("fail", family="gemini")], "d1")
    assert not disagree([verdict("pass"), verdict("inconclusive")], "d1")
    assert not disagree([verdict("pass"), verdict("fail", digest="d0")], "d1")
    assert not disagree([], "d1")


def test_a_verdict_is_stored_and_read_again() -> None:
    found = Verdict(
        **judged(reply()).model_dump(),
        family="gemini",
        provider="google",
        model="g",
        digest="d1",
        tokens=1,
        cost_usd=None,
        duration_ms=0,
        request_id="r",
    )
    assert Verdict.model_validate_json(found.model_dump_json()) == found


def objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    found = [schema] if schema.get("type") == "object" else []
    below = [*schema.get("properties", {}).values()]
    below += [schema["items"]] if "items" in schema else []
    for each in below:
        found += objects(each)
    return found


def test_the_schema_asks_for_exactly_the_reply() -> None:
    schema = reply_schema()
    assert set(schema["properties"]) == set(Reply.model_fields)
    for each in objects(schema):
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])
    text = json.dumps(schema)
    assert not any(word in text for word in ("$ref", "anyOf", "allOf", "pattern", "default"))
    schema["properties"].clear()
    assert reply_schema()["properties"]
