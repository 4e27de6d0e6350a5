"""What a diff says about a path."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.judgement.changes import PathChange, shown_path


@pytest.mark.parametrize(
    ("path", "shown"),
    [("a/b.py", "a/b.py"), ("caf\udce9", "caf\\xe9"), ("\ud800", "\\ud800"), ("中\n", "中\n")],
)
def test_a_path_is_shown_with_foreign_bytes_escaped(path: str, shown: str) -> None:
    assert shown_path(path) == shown


@given(path=st.text(st.characters(codec=None)))
@example(path="\udcc3\udca9")
def test_any_path_can_be_shown(path: str) -> None:
    assert shown_path(path).encode("utf-8").decode("utf-8") == shown_path(path)
    assert shown_path(shown_path(path)) == shown_path(path)


def test_names_links_and_submodules() -> None:
    assert PathChange("M", "a").names == ("a",)
    assert PathChange("R", "a", old_path="b").names == ("a", "b")
    assert PathChange("M", "a", old_path="a").names == ("a",)
    assert PathChange("A", "a", mode="120000").is_symlink
    assert PathChange("A", "a", symlink_target="b").is_symlink
    assert not PathChange("T", "a", old_mode="120000").is_symlink
    assert PathChange("T", "a", old_mode="160000").touches_submodule
