"""Any answer can be shown, on a screen and in a text message, and nothing in it can act."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cockpit.cli.rendering import PLAIN_LINES, PLAIN_WIDTH, columns_of, plain, show

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=15,
)
VIEWS = st.dictionaries(st.text(max_size=8), JSON, max_size=6)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _shown(view: Any, out: io.StringIO | None = None) -> str:
    out = out or io.StringIO()
    show(view, out)
    return out.getvalue()


def test_key_and_value() -> None:
    text = _shown({"id": "m-1", "held": False, "head": None, "text": "one\ntwo"})
    assert text.splitlines() == ["id    m-1", "held  no", "head  -", "text:", "  one", "  two"]


def test_rows_are_a_table_without_empty_columns() -> None:
    text = _shown({"missions": [{"id": "m-1", "n": 3, "x": ""}, {"id": "m-22", "n": 10, "x": ""}]})
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines[0] == "missions"
    assert lines[1].split() == ["id", "n"]
    assert lines[3].split() == ["m-1", "3"]
    assert lines[4].split() == ["m-22", "10"]
    assert columns_of([{"a": 1, "b": ""}, {"c": [], "a": 2}]) == ["a"]


def test_structures_nest() -> None:
    text = _shown({"health": {"state": "healthy", "reasons": []}, "tasks": ["a", "b"]})
    assert "  state    healthy" in text
    assert "  - a\n  - b" in text


def test_a_long_table_is_whole_where_nobody_looks_and_fits_where_somebody_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = {"rows": [{"title": "word " * 60, "id": "m-1"}]}
    assert "word " * 59 in _shown(view)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    assert all(len(line) <= 60 for line in _shown(view, Terminal()).splitlines())


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    view = {"rows": [{"id": "m-1"}]}
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" not in _shown(view)
    assert "\x1b[" in _shown(view, Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in _shown(view, Terminal())


HOSTILE = "\x1b]0;title\x07\x1b[2J\u202e[red]x[/red] :boom:"


@pytest.mark.parametrize(
    "view",
    [
        {"text": HOSTILE},
        {"text": HOSTILE + "\nmore"},
        {"rows": [{"text": HOSTILE}]},
        {"list": [HOSTILE]},
        {"in": {"text": HOSTILE}},
        {HOSTILE: 1},
        {HOSTILE: [{HOSTILE: HOSTILE}]},
    ],
)
def test_hostile_text_is_seen_and_does_nothing(view: Any) -> None:
    for text in (_shown(view), "\n".join(plain(view))):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "[red]" in _shown(view)


@settings(max_examples=40)
@given(VIEWS)
def test_anything_can_be_shown(view: dict[str, Any]) -> None:
    text = _shown(view)
    assert "\x1b" not in text


@settings(max_examples=40)
@given(VIEWS)
def test_plain_fits_a_text_message(view: dict[str, Any]) -> None:
    lines = plain(view)
    assert len(lines) <= PLAIN_LINES
    assert all(len(line) <= PLAIN_WIDTH and "\n" not in line for line in lines)


def test_plain_says_how_much_is_left_out() -> None:
    lines = plain({"rows": [{"id": str(n)} for n in range(100)]})
    assert len(lines) == PLAIN_LINES
    assert lines[0] == "rows: 100"
    assert lines[-1] == "… 82 more lines"
