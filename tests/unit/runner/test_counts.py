"""Summaries of real test runners, and of anything that looks like one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.counts import counts_of
from tests import servers

MIXED = """
import unittest


class T(unittest.TestCase):
    def test_a(self):
        pass

    @unittest.expectedFailure
    def test_b(self):
        self.fail()

    @unittest.expectedFailure
    def test_c(self):
        pass

    @unittest.skip("not now")
    def test_d(self):
        pass

    def test_e(self):
        self.fail("no")

    def test_f(self):
        raise ValueError
"""
NODE = """
const test = require("node:test");
test("a", () => {});
test("b", () => { throw new Error("no"); });
test("c", { skip: true }, () => {});
"""


def counts(passed: int = 0, failed: int = 0, skipped: int = 0, errors: int = 0) -> dict[str, int]:
    return {"passed": passed, "failed": failed, "skipped": skipped, "errors": errors}


def printed(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


@pytest.mark.slow
class TestRealRunners:
    def test_unittest(self, tmp_path: Path) -> None:
        (tmp_path / "test_mixed.py").write_text(MIXED)
        told = counts_of(printed(tmp_path, sys.executable, "-m", "unittest"))
        assert told == counts(passed=1, failed=2, skipped=1, errors=1)

    @pytest.mark.parametrize("flags", [[], ["-q"], ["-v", "--color=yes"], ["--durations=3"]])
    def test_pytest(self, tmp_path: Path, flags: list[str]) -> None:
        (tmp_path / "test_mixed.py").write_text(MIXED)
        (tmp_path / "test_broken.py").write_text("def test_g(no_such_fixture):\n    pass\n")
        plain = ("-c", "/dev/null", "--rootdir", ".", "-p", "no:cacheprovider")
        told = printed(tmp_path, sys.executable, "-m", "pytest", *plain, *flags)
        assert counts_of(told) == counts(passed=1, failed=3, skipped=1, errors=1)

    @pytest.mark.parametrize("reporter", ["spec", "tap"])
    def test_node(self, tmp_path: Path, reporter: str) -> None:
        (tmp_path / "a.test.js").write_text(NODE)
        node = str(servers.node_tools().NODE)
        told = printed(tmp_path, node, "--test", f"--test-reporter={reporter}")
        assert counts_of(told) == counts(passed=1, failed=1, skipped=1)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("", {}),
        ("All is well.\n", {}),
        ("no tests ran in 0.01s\n", {}),
        ("12 passed in 0.34s\n", counts(passed=12)),
        ("3 passed, 1 warning in 61.02s (0:01:01)\n", counts(passed=3)),
        ("1 error in 0.10s\n", counts(errors=1)),
        ("2 passed, 1 xfailed, 3 subtests passed in 1.00s\r\n", counts(passed=2)),
        ("\x1b[32m\x1b[1m4 passed\x1b[0m\x1b[32m in 0.02s\x1b[0m\n", counts(passed=4)),
        ("Ran 1 test in 0.000s\n\nOK\n", counts(passed=1)),
        ("Ran 0 tests in 0.000s\n\nNO TESTS RAN\n", counts()),
        ("Ran 3 tests in 0.1s\n\nOK (skipped=3)\n", counts(skipped=3)),
        ("Ran 1 test in 0.1s\n\nFAILED (failures=3)\n", counts(failed=3)),
        ("Ran 2 tests in 0.1s\n\nOK (expected failures=1)\n", counts(passed=1)),
        ("Ran 2 tests in 0.1s\n", {}),
    ],
)
def test_a_summary(output: str, told: dict[str, int]) -> None:
    assert counts_of(output) == told


def test_the_last_summary_counts_whatever_the_runner() -> None:
    pytest_said, unittest_said = "9 passed in 0.1s\n", "Ran 2 tests in 0.1s\n\nOK\n"
    assert counts_of(pytest_said + unittest_said) == counts(passed=2)
    assert counts_of(unittest_said + pytest_said) == counts(passed=9)


def test_what_follows_the_summary_does_not_matter() -> None:
    trailer = "Coverage report written to htmlcov in 2 files\nmake: leaving directory\n"
    assert counts_of(f"5 passed, 2 skipped in 0.5s\n{trailer}") == counts(passed=5, skipped=2)


@pytest.mark.parametrize("digits", [10, 20, 5000])
def test_a_number_that_nobody_can_mean_is_none(digits: int) -> None:
    number = "9" * digits
    assert counts_of(f"{number} passed in 0.1s\n") == {}
    assert counts_of(f"Ran {number} tests in 0.1s\n\nOK\n") == {}


def test_a_long_line_is_read_quickly() -> None:
    assert counts_of("1 " + "in passed " * 6_000 + "1 passed, " * 6_000) == {}


summaries = st.from_regex(
    re.compile(r"(=+ )?([0-9]{1,12} [a-z]+, )*[0-9]{1,12} [a-z]+ in [0-9]\.[0-9]s"), fullmatch=True
) | st.from_regex(
    re.compile(
        r"Ran [0-9]{1,12} tests? in [0-9]\.[0-9]s\n\nFAILED \(([a-z ]+=[0-9]{1,12}, )*errors=1\)"
    ),
    fullmatch=True,
)


@pytest.mark.slow
@given(st.lists(summaries | st.text(max_size=50), max_size=6))
def test_any_output_gives_small_numbers_or_none(parts: list[str]) -> None:
    told = counts_of("\n".join(parts))
    assert set(told) in (set(), set(counts()))
    assert all(type(n) is int and 0 <= n < 10**10 for n in told.values())
