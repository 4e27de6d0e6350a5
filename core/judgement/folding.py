"""How file systems may read a name: case, Unicode forms, invisible characters, Windows names.

Pure. Each reading is a candidate to look up; none of them is ever opened.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0") | frozenset(
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0x180B, 0x1810))
)
_CONTROL = dict.fromkeys((*range(32), 127, 133, 8232, 8233), "�")
_SHORT = re.compile(r"[^.~/]{1,6}~[0-9]{1,6}(?:\.[^./]{0,3})?")
_WILD = frozenset("*?[]!\\")

# What NTFS calls these if the plain short name is taken, as git itself knows them.
_HASHED = {"gi7eba": ".gitmodules", "gi7d29": ".gitattributes", "gi250a": ".gitignore"}


def as_matched(path: str) -> str:
    """``path`` with control characters replaced, which pattern matchers stumble over."""
    return path.translate(_CONTROL)


def foldings(
    path: str, short: Mapping[str, str] | None = None, *, plain: bool = False
) -> Iterator[str]:
    """The ways in which ``path`` may be read, the plainest first, each once.

    Args:
        short: 8.3 names (as ``short_names`` gives them) and what they stand for.
        plain: only the first one: case folded, Unicode composed.
    """
    folded = unicodedata.normalize("NFKC", as_matched(path).casefold()).casefold()
    folded = unicodedata.normalize("NFC", folded)
    yield folded
    if plain:
        return
    seen = {folded}
    visible = unicodedata.normalize("NFKC", _visible(folded)).casefold()
    for each in (visible, _on_windows(visible, short or {})):
        if each not in seen:
            seen.add(each)
            yield each


def short_names(patterns: Sequence[str]) -> Mapping[str, str]:
    """The stems of the 8.3 names that the literal names in ``patterns`` have on Windows."""
    found = {stem: name.casefold() for stem, name in _HASHED.items()}
    found["git"] = ".git"
    for pattern in patterns:
        for part in pattern.casefold().split("/"):
            if part and not _WILD & set(part):
                stem = part.strip(".").rpartition(".")[0] or part.strip(".")
                found.setdefault(stem.replace(" ", "").replace(".", "")[:6], part)
    return found


def _visible(text: str) -> str:
    if text.isascii():
        return text
    return "".join(
        char for char in text if char not in _INVISIBLE and unicodedata.category(char) != "Cf"
    )


def _on_windows(path: str, short: Mapping[str, str]) -> str:
    parts = []
    for part in path.replace("\\", "/").split("/"):
        name = part.split(":", 1)[0].rstrip(" .") or part
        if _SHORT.fullmatch(name):
            name = short.get(name.partition("~")[0], name)
        parts.append(name)
    return "/".join(parts)
