"""Putting words of others where they cannot act: into Markdown as text, into prompts as data.

Pure. The caller brings the randomness that a fence needs.
"""

import re
import unicodedata
from collections.abc import Callable

from core.planning.wording import code_spans

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ANYWHERE = re.compile(r"[\\`*\[\]<>|~&$^@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=[wW]{3})\.")
_NUMBERED = re.compile(r"\d{1,9}(?=[.)])")


def forbidden_character(text: str, *, lines: bool) -> str | None:
    """The first character that has no place in a text: control, surrogate, direction override.

    Args:
        text: what somebody else wrote.
        lines: whether line ends and tabs are welcome.
    """
    return next((char for char in text if _forbidden(char, lines=lines)), None)


def visible(text: str) -> str:
    """``text`` with everything that acts unseen replaced by U+FFFD; line ends become ``\\n``."""
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join("\ufffd" if _forbidden(char, lines=True) else char for char in unix)


def inline(text: str) -> str:
    """``text`` as one line of Markdown that reads as itself: no heading, row, link, tag or list.

    Spans of code keep their back-ticks, so that a command looks like one.
    """
    line = " ".join(visible(text).split())
    pieces, at = [], 0
    for span, _ in code_spans(line):
        pieces.append(_escaped(line[at : span.start]))
        pieces.append(_code(line[span.start : span.end]))
        at = span.end
    pieces.append(_escaped(line[at:]))
    return _escaped_start("".join(pieces))


def block(text: str) -> str:
    """``text`` as Markdown paragraphs that keep their line ends and nothing else."""
    paragraphs = re.split(r"\n\s*\n", visible(text).strip())
    return "\n\n".join(
        "\\\n".join(inline(line) for line in paragraph.splitlines() if line.strip())
        for paragraph in paragraphs
    )


def quote(text: str) -> str:
    """``text`` as a Markdown block quote that its own lines cannot leave."""
    shown = block(text) or "(empty)"
    return "\n".join(f"> {line}".rstrip() for line in shown.split("\n"))


def fenced(label: str, text: str, token: Callable[[int], str]) -> str:
    """``text`` for a model, between two lines with a random mark that it cannot hold.

    Args:
        label: what it is, in our own words.
        text: what somebody else wrote; shown as it is but for unseen characters.
        token: the source of unguessable strings (``Context.token``).
    """
    shown = visible(text)
    mark = token(9)
    while mark in shown:
        mark += "-" + token(9)
    return f"<<<DATA {mark} {label}\n{shown.rstrip()}\nDATA {mark}>>>"


def cut(text: str, limit: int) -> str:
    """At most ``limit`` characters of ``text``; what is missing is said."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut here: {len(text) - limit} more characters]"


def _forbidden(char: str, *, lines: bool) -> bool:
    if char in "\n\t\r":
        return not lines
    return char in _BIDI or unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}


def _escaped(text: str) -> str:
    return _ANYWHERE.sub(lambda found: "\\" + found.group(), text)


def _escaped_start(line: str) -> str:
    number = _NUMBERED.match(line)
    place = number.end() if number else 0
    if number or line[:1] in {"#", "+", "=", "-", ":", ">"}:
        return f"{line[:place]}\\{line[place:]}"
    return line


def _code(span: str) -> str:
    """A span of code with a fence longer than any run of back-ticks in it."""
    inner = span.strip("`")
    if not inner.strip():
        return _escaped(span)
    longest = max((len(run) for run in re.findall(r"`+", inner)), default=0)
    mark = "`" * (longest + 1)
    return f"{mark}{inner}{mark}" if longest == 0 else f"{mark} {inner.strip()} {mark}"
