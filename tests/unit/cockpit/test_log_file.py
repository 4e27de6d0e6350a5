"""The log: whole lines, no secrets, private, bounded, and read from its end."""

import io
import json
import logging
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from cockpit.log_file import Tail, last_lines, log_to, log_to_stderr

TOKEN = "ghp_" + "a1B2c3D4" * 5


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_an_object_without_secrets(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    also = io.StringIO()
    handler = log_to(path, also=also)
    structlog.get_logger("a").info("said", text=f"token {TOKEN}", deep={"x": [TOKEN]}, n=1)
    logging.getLogger("b").warning("foreign %s", TOKEN)
    try:
        raise ValueError(TOKEN)
    except ValueError as error:
        structlog.get_logger("c").error("failed", exc_info=error)
    handler.close()
    text = path.read_text()
    assert TOKEN not in text
    assert TOKEN not in also.getvalue()
    first, second, third = (json.loads(line) for line in text.splitlines())
    assert (first["event"], first["level"], first["n"]) == ("said", "info", 1)
    assert second["logger"] == "b"
    assert "ValueError" in third["exception"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_is_put_aside_when_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    handler = log_to(path, max_bytes=2_000, max_files=3)
    tail = Tail(path)
    seen = []
    for number in range(100):
        structlog.get_logger("a").info("said", number=number)
        seen += list(tail.news())
    handler.close()
    tail.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert all(file.stat().st_size <= 2_000 for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert [json.loads(line)["number"] for line in seen] == list(range(100))


def test_debug_is_said_when_asked_for(tmp_path: Path) -> None:
    for verbose in (False, True):
        path = tmp_path / f"{verbose}.log"
        handler = log_to(path, verbose=verbose)
        structlog.get_logger("a").debug("detail")
        handler.close()
        assert ("detail" in path.read_text()) is verbose


def test_a_command_keeps_its_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_to_stderr(verbose=False)
    structlog.get_logger("a").info("quiet")
    structlog.get_logger("a").warning("loud", text=TOKEN)
    found = capsys.readouterr()
    assert found.out == ""
    assert "quiet" not in found.err
    assert "loud" in found.err
    assert TOKEN not in found.err
    assert sys.stderr is not None


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]))), st.integers(0, 20))
def test_last_lines(lines: list[str], count: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.log"
        assert last_lines(path, count) == []
        path.write_text("".join(line + "\n" for line in lines))
        assert last_lines(path, count) == (lines[-count:] if count else [])


def test_a_log_that_is_made_later_is_followed(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "later.log")
    assert list(tail.news()) == []
    (tmp_path / "later.log").write_text("one\nhal")
    assert list(tail.news()) == ["one"]
    with (tmp_path / "later.log").open("a") as file:
        file.write("f\n")
    assert list(tail.news()) == ["half"]
    tail.close()
