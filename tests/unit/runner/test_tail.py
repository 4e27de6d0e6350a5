"""A file that another process writes, followed line by line."""

import asyncio
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.tail import Tail

pytestmark = pytest.mark.asyncio


async def test_lines_are_heard_while_they_are_written(tmp_path: Path) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    file = tmp_path / "log"
    async with Tail(file, heard.put_nowait), asyncio.timeout(10):
        with file.open("wb", buffering=0) as writing:
            for line in (b"one", b"two"):
                writing.write(line + b"\n")
                assert await heard.get() == line


async def test_they_are_heard_on_the_loop(tmp_path: Path) -> None:
    threads: set[int] = set()
    file = tmp_path / "log"
    file.write_bytes(b"one\ntwo\n")
    async with Tail(file, lambda _: threads.add(threading.get_ident())):
        pass
    assert threads == {threading.get_ident()}


async def test_the_rest_is_read_at_the_end(tmp_path: Path) -> None:
    heard: list[bytes] = []
    file = tmp_path / "log"
    async with Tail(file, heard.append):
        file.write_bytes(b"one\n" + b"x" * 3_000_000 + b"\nlast")
    assert [len(line) for line in heard] == [3, 3_000_000, 4]


async def test_a_file_that_never_comes_is_silent(tmp_path: Path) -> None:
    heard: list[bytes] = []
    async with Tail(tmp_path / "none", heard.append):
        pass
    assert heard == []


@pytest.mark.slow
async def test_silence_is_counted_from_the_last_output(tmp_path: Path) -> None:
    silent: asyncio.Queue[float] = asyncio.Queue()
    file = tmp_path / "log"
    async with Tail(file, lambda _: None, on_silence=silent.put_nowait), asyncio.timeout(10):
        first, second = await silent.get(), await silent.get()
        assert second > first
        file.write_bytes(b"one\n")
        while await silent.get() > second:
            pass


@pytest.mark.slow
async def test_silence_can_be_forgotten(tmp_path: Path) -> None:
    silent: asyncio.Queue[float] = asyncio.Queue()
    tail = Tail(tmp_path / "none", lambda _: None, on_silence=silent.put_nowait)
    async with tail, asyncio.timeout(10):
        before = [await silent.get() for _ in range(3)][-1]
        tail.forget_silence()
        assert await silent.get() < before


async def test_a_failure_inside_ends_it_at_once(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Tail(tmp_path / "none", lambda _: None):
            raise ZeroDivisionError


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(chunks=st.lists(st.binary(max_size=50), max_size=8))
async def test_however_it_is_written_the_lines_are_the_same(
    tmp_path: Path, chunks: list[bytes]
) -> None:
    file = tmp_path / "log"
    file.unlink(missing_ok=True)
    heard: list[bytes] = []
    async with Tail(file, heard.append):
        with file.open("wb", buffering=0) as writing:
            for chunk in chunks:
                writing.write(chunk)
                await asyncio.sleep(0)
    whole = b"".join(chunks).split(b"\n")
    assert heard == (whole if whole[-1] else whole[:-1])
