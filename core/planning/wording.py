"""Reading an operator's words: code spans, words of a list, target surfaces.

Pure and linear in the text. Positions are those of the text as it was given.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

_LATIN = "A-Za-z0-9_\u00c0-\u024f"
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)")
_TICKS = re.compile(r"`+")
_GAP = re.compile(r"\n[ \t]*(?=\n)")
_ASCII_RUN = re.compile(r"[A-Za-z0-9_./@+\-]+")
_RUN = re.compile(r"[\w./@+\-]+")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,20}://\S*")
_MASK = "\0"

SpanKind = Literal["inline", "block"]


class Span(NamedTuple):
    """A stretch of a text: from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    def overlaps(self, other: "Span") -> bool:
        return self.start < other.end and other.start < self.end


class WordList(BaseModel):
    """Words in both languages.

    中文 has no word boundaries: ``zh_within`` lists longer words that only look as if they held
    one (变更好友 is no 更好), and a hit that touches one is dropped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    en: tuple[str, ...]
    zh: tuple[str, ...]
    zh_within: tuple[str, ...] = ()


class SurfaceRule(BaseModel):
    """What names a place in a repo (domain.md §4).

    Attributes:
        extensions: known endings of file names, without the dot.
        names: words that name a place in nearly every repo (README, src, …).
        not_files: product names that look like files (Node.js).
        common_words: everyday words that name nothing even if a symbol is called so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    extensions: frozenset[str]
    names: frozenset[str]
    not_files: frozenset[str] = frozenset()
    common_words: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RepoSurface:
    """What exists in the repo: asked by exact repo-relative path, or by symbol name."""

    path_exists: Callable[[str], bool]
    symbol_exists: Callable[[str], bool]

    @classmethod
    def of(cls, paths: Collection[str] = (), symbols: Collection[str] = ()) -> "RepoSurface":
        """From the list of files (as ``git ls-files`` gives it: folders follow) and of symbols."""
        known = set(paths)
        for path in paths:
            parts = path.split("/")
            known.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
        known.discard("")
        return cls(frozenset(known).__contains__, frozenset(symbols).__contains__)


def code_spans(text: str) -> list[tuple[Span, SpanKind]]:
    """Back-ticked spans and fenced blocks, in order. What is not closed hides nothing."""
    blocks = _blocks(text)
    inline = _inline(text, blocks)
    found: list[tuple[Span, SpanKind]] = [(span, "block") for span in blocks]
    found += [(span, "inline") for span in inline]
    return sorted(found)


def find_words(text: str, words: WordList, hidden: Collection[Span] = ()) -> list[Span]:
    """Whole words of the list, any case, outside ``hidden`` (domain.md §4)."""
    shown = _fold(_mask(text, hidden))
    spans = [Span(*found.span()) for found in _latin_pattern(words.en).finditer(shown)]
    within = [Span(*found.span()) for found in _plain_pattern(words.zh_within).finditer(shown)]
    starts = [span.start for span in within]
    for found in _plain_pattern(words.zh).finditer(shown):
        span = Span(*found.span())
        if not _touches(span, within, starts):
            spans.append(span)
    return sorted(spans)


def find_surfaces(text: str, rule: SurfaceRule, repo: RepoSurface) -> list[Span]:
    """Places in the repo that ``text`` names: code spans, files, paths, symbols (domain.md §4)."""
    spans = [
        span
        for span, kind in code_spans(text)
        if kind == "inline" and text[span.start : span.end].strip("` \t\n")
    ]
    shown = _mask(text, [*spans, *(Span(*hit.span()) for hit in _ADDRESS.finditer(text))])
    seen: dict[str, bool] = {}
    for span in _runs(shown):
        name = text[span.start : span.end]
        if name not in seen:
            seen[name] = _names_place(name, rule, repo)
        if seen[name] and not any(span.overlaps(last) for last in spans[-1:]):
            spans.append(span)
    return sorted(spans)


def file_names(text: str, rule: SurfaceRule, repo: RepoSurface) -> list[Span]:
    """File names and written-out paths only: ``better.py`` is a name, not a wish."""
    return [
        span
        for span in _runs(text)
        if _is_file(text[span.start : span.end], rule)
        or ("/" in text[span.start : span.end] and _exists(text[span.start : span.end], repo))
    ]


def _runs(text: str) -> Iterator[Span]:
    """Stretches that may be a name: of Latin letters, and (a 中文 file name) of any letters."""
    for found in _RUN.finditer(text):
        whole = found.group()
        if whole.isascii():
            yield _trimmed(text, Span(*found.span()))
            continue
        for part in _ASCII_RUN.finditer(whole):
            start = found.start() + part.start()
            yield _trimmed(text, Span(start, start + len(part.group())))
        yield _trimmed(text, Span(*found.span()))


def _trimmed(text: str, span: Span) -> Span:
    run = text[span.start : span.end]
    if run.startswith("./"):
        span = Span(span.start + 2, span.end)
    cut = len(run) - len(run.rstrip(".-+@"))
    return Span(min(span.start, span.end - cut), span.end - cut)


def _names_place(name: str, rule: SurfaceRule, repo: RepoSurface) -> bool:
    return (
        name.casefold().split("/")[0] in rule.names
        or _is_file(name, rule)
        or _exists(name, repo)
        or _is_symbol(name, rule, repo)
    )


def _is_file(name: str, rule: SurfaceRule) -> bool:
    stem, dot, extension = name.rpartition(".")
    return (
        bool(dot)
        and bool(stem.rpartition("/")[2].strip("."))
        and extension.casefold() in rule.extensions
        and name.casefold() not in rule.not_files
    )


def _exists(name: str, repo: RepoSurface) -> bool:
    path = name.rstrip("/")
    if not path or path.startswith("/") or ".." in path.split("/") or path == ".":
        return False
    return repo.path_exists(path)


def _is_symbol(name: str, rule: SurfaceRule, repo: RepoSurface) -> bool:
    return any(
        len(each) > 1 and each.casefold() not in rule.common_words and repo.symbol_exists(each)
        for each in {name, *name.split(".")}
    )


def _mask(text: str, hidden: Collection[Span]) -> str:
    pieces, at = [], 0
    for span in sorted(hidden):
        if span.end <= at:
            continue
        start = max(at, span.start)
        pieces += [text[at:start], _MASK * (span.end - start)]
        at = span.end
    return "".join((*pieces, text[at:]))


def _fold(text: str) -> str:
    """Case and width folded, every character keeping its place."""
    return text.lower() if text.isascii() else "".join(map(_fold_char, text))


@lru_cache(maxsize=4096)
def _fold_char(char: str) -> str:
    folded = unicodedata.normalize("NFKC", char).casefold()
    return folded if len(folded) == 1 else char


@lru_cache(maxsize=64)
def _latin_pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted((each.casefold() for each in words), key=len, reverse=True)
    any_of = "|".join(r"[\s\-]+".join(map(re.escape, each.split())) for each in longest_first)
    return re.compile(f"(?<![{_LATIN}])(?:{any_of or '(?!)'})(?![{_LATIN}])")


@lru_cache(maxsize=64)
def _plain_pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted((each.casefold() for each in words), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def _touches(span: Span, within: list[Span], starts: list[int]) -> bool:
    last = bisect_right(starts, span.end - 1)
    return any(span.overlaps(each) for each in within[max(0, last - 2) : last])


def _blocks(text: str) -> list[Span]:
    spans, at, open_at, opened = [], 0, 0, ""
    for line in text.splitlines(keepends=True):
        fence = _FENCE.match(line)
        mark, info = (fence[1], fence[2].strip()) if fence else ("", "")
        if opened and mark[:1] == opened[0] and len(mark) >= len(opened) and not info:
            spans.append(Span(open_at, at + len(line)))
            opened = ""
        elif not opened and not (mark[:1] == "`" and "`" in info):
            opened, open_at = mark, at
        at += len(line)
    return spans


def _inline(text: str, blocks: list[Span]) -> list[Span]:
    shown = _mask(text, blocks)
    breaks = [found.start() for found in _GAP.finditer(shown)] + [each.start for each in blocks]
    breaks.sort()
    ticks = list(_TICKS.finditer(shown))
    closing = _next_of_same_length(ticks)
    spans, at = [], 0
    for place, tick in enumerate(ticks):
        end = closing[place]
        if tick.start() < at or end is None or shown[max(0, tick.start() - 1)] == "\\":
            continue
        if bisect_right(breaks, tick.start()) == bisect_right(breaks, end - 1):
            spans.append(Span(tick.start(), end))
            at = end
    return spans


def _next_of_same_length(ticks: list[re.Match[str]]) -> list[int | None]:
    nearest: dict[int, int] = {}
    ends: list[int | None] = []
    for tick in reversed(ticks):
        length = len(tick.group())
        ends.append(nearest.get(length))
        nearest[length] = tick.end()
    return ends[::-1]
