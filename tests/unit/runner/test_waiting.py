"""What ``Retry-After`` asks for."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.waiting import seconds_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("0.25", 0.25),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 12:01:00 -0000", 60.0),
    ],
)
def test_seconds_and_dates(header: str, seconds: float) -> None:
    assert seconds_of(header, NOW) == seconds


@pytest.mark.parametrize(
    "header", [None, "", "-1", "nan", "inf", "1e300", "soon", "9" * 200, "0x1"]
)
def test_anything_else_asks_for_nothing(header: str | None) -> None:
    assert seconds_of(header, NOW) is None


@given(st.text(max_size=40))
def test_whatever_a_server_sends_is_a_wait_or_none(header: str) -> None:
    seconds = seconds_of(header, NOW)
    assert seconds is None or 0 <= seconds < 1e12
