"""Lines come out as they went in, however they were cut, and none costs more than the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.rpc.frames import Frames

LINES = st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b" ")), max_size=12)


def _fed(frames: Frames, data: bytes, cuts: list[int]) -> list[bytes | None]:
    found: list[bytes | None] = []
    at = 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        found += frames.feed(data[at:cut])
        at = cut
    return found


@given(LINES, st.lists(st.integers(0, 1000), max_size=8), st.binary(max_size=10))
def test_cuts_do_not_matter(lines: list[bytes], cuts: list[int], tail: bytes) -> None:
    tail = tail.replace(b"\n", b" ")
    frames = Frames(1000)
    data = b"".join(line + b"\n" for line in lines) + tail
    assert _fed(frames, data, cuts) == lines
    assert frames.kept == len(tail)


@given(LINES, st.integers(1, 20), st.lists(st.integers(0, 1000), max_size=8))
def test_each_long_line_is_told_once(lines: list[bytes], limit: int, cuts: list[int]) -> None:
    frames = Frames(limit)
    data = b"".join(line + b"\n" for line in lines)
    expected = [line if len(line) <= limit else None for line in lines]
    assert _fed(frames, data, cuts) == expected


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=30), st.integers(1, 60))
def test_memory_is_bounded(chunks: list[bytes], limit: int) -> None:
    frames = Frames(limit)
    for chunk in chunks:
        frames.feed(chunk)
        assert frames.kept <= limit


def test_a_long_line_is_told_before_it_ends() -> None:
    frames = Frames(4)
    assert frames.feed(b"12345") == [None]
    assert frames.feed(b"67890") == []
    assert frames.skipped == 10
    assert frames.feed(b"x\nok\n") == [b"ok"]
    assert frames.skipped == 0


@pytest.mark.parametrize("data", [b"\n", b"\n\n\n"])
def test_empty_lines_are_lines(data: bytes) -> None:
    assert Frames(4).feed(data) == [b""] * len(data)
