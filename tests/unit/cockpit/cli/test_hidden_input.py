"""What is typed at a prompt is not echoed, and never an argument."""

import io
import os
import pty
import subprocess
import sys

import pytest

from cockpit.cli.hidden_input import read_hidden
from core.errors import Invalid

ASK = """
import sys
from cockpit.cli.hidden_input import read_new
print(len(read_new("Secret")), flush=True)
"""


@pytest.mark.slow
def test_a_terminal_shows_nothing_of_it() -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", ASK],
        stdin=slave,
        stderr=slave,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        os.close(slave)
        seen = b""
        for prompt in (b"Secret: ", b"Secret again: "):
            while not seen.endswith(prompt):
                seen += os.read(master, 1024)
            os.write(master, b"hunter22hunter22\n")
        out, _ = process.communicate(timeout=60)
    os.close(master)
    assert out == "16\n"
    assert b"hunter" not in seen


@pytest.mark.parametrize("given", ["", "\n", "x" * 70_000])
def test_nothing_and_far_too_much(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    with pytest.raises(Invalid):
        read_hidden("Secret")


def test_the_line_end_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(" two words \r\n"))
    assert read_hidden("Secret") == " two words "
