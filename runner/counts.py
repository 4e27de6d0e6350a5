"""How many tests passed, failed, were skipped or broke, read from what a command printed.

A help for people, never a judgement: whether a command is green is its exit code's to say. What is
printed by the tests themselves can look like a summary; the last one counts.
"""

import re
from collections.abc import Callable, Iterator

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PYTEST = re.compile(
    r"^(?:=+ )?(?P<said>[0-9]{1,9} [a-z ]+?(?:, [0-9]{1,9} [a-z ]+?)*) in [0-9.]+s\b", re.MULTILINE
)
_UNITTEST = re.compile(
    r"^Ran (?P<ran>[0-9]{1,9}) tests? in [0-9.]+s\s+"
    r"(?:OK|FAILED|NO TESTS RAN)(?: \((?P<said>[a-z0-9=, ]*)\))?$",
    re.MULTILINE,
)
_NODE = re.compile(
    r"^(?:#|ℹ) pass (?P<passed>[0-9]{1,9})\n(?:#|ℹ) fail (?P<failed>[0-9]{1,9})\n"
    r"(?:#|ℹ) cancelled (?P<errors>[0-9]{1,9})\n(?:#|ℹ) skipped (?P<skipped>[0-9]{1,9})$",
    re.MULTILINE,
)
_WORD = re.compile(r"([0-9]{1,9}) ([a-z ]+)")
_PAIR = re.compile(r"([a-z ]+)=([0-9]{1,9})")

Counts = dict[str, int]


def counts_of(output: str) -> Counts:
    """Passed, failed, skipped and errors, where the output ends with a summary that is known.

    Known are those of pytest, unittest and Node's own test runner.
    """
    plain = _COLOUR.sub("", output).replace("\r\n", "\n")
    found = [(match.start(), match, read) for match, read in _summaries(plain)]
    if not found:
        return {}
    _, match, read = max(found, key=lambda each: each[0])
    return read(match)


def _summaries(output: str) -> Iterator[tuple[re.Match[str], Callable[[re.Match[str]], Counts]]]:
    for pattern, read in ((_PYTEST, _of_pytest), (_UNITTEST, _of_unittest), (_NODE, _of_node)):
        *_, last = [None, *pattern.finditer(output)]
        if last is not None:
            yield last, read


def _of_pytest(match: re.Match[str]) -> Counts:
    said = {word.strip(): int(number) for number, word in _WORD.findall(match["said"])}
    said["errors"] = said.get("errors", 0) + said.get("error", 0)
    return {name: said.get(name, 0) for name in ("passed", "failed", "skipped", "errors")}


def _of_unittest(match: re.Match[str]) -> Counts:
    """It tells how many ran; one test with several failing parts is counted several times."""
    said = {name.strip(): int(number) for name, number in _PAIR.findall(match["said"] or "")}
    failed = said.get("failures", 0) + said.get("unexpected successes", 0)
    errors, skipped = said.get("errors", 0), said.get("skipped", 0)
    bad = failed + errors + skipped + said.get("expected failures", 0)
    passed = max(0, int(match["ran"]) - bad)
    return {"passed": passed, "failed": failed, "skipped": skipped, "errors": errors}


def _of_node(match: re.Match[str]) -> Counts:
    names = ("passed", "failed", "skipped", "errors")
    return {name: int(match[name]) for name in names}
