"""Text from models, repositories and others, made safe for a terminal: nothing in it can act.

Escape sequences, control characters and what reorders or hides text are shown as what they are.
"""

import unicodedata

_KEPT = frozenset("\n\t\u200c\u200d")  # the joiners belong to scripts and to emoji
_HIDING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """``text`` with every character that would not be seen as itself written as its escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in _KEPT or not _hides(c) else _escape(c) for c in text)


def one_line(text: str, limit: int | None = None) -> str:
    """``text`` on one line, cut with an ellipsis to ``limit`` characters."""
    line = " ".join(visible(text).split())
    return line if limit is None or len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _hides(char: str) -> bool:
    return unicodedata.category(char) in _HIDING


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
