"""No text of others can act on a terminal or hide in it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.visible import one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("中文 é 🚢", "中文 é 🚢"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb", "a\\x0db"),
        ("a\x9bb", "a\\x9bb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u200bb", "a\\u200bb"),
        ("a\ufeffb", "a\\ufeffb"),
        ("a\U000e0041b", "a\\U000e0041b"),
        ("a\udc80b", "a\\udc80b"),
        ("two\nlines\tand", "two\nlines\tand"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_hidden_is_left(text: str) -> None:
    left = set(visible(text)) - set("\n\t\u200c\u200d")
    assert all(unicodedata.category(c)[0] != "C" for c in left)
    assert visible(visible(text)) == visible(text)


@given(st.text(), st.integers(1, 80))
def test_one_line_is_one_short_line(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert "\n" not in line
    assert len(line) <= limit
