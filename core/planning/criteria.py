"""Acceptance criteria: what counts as verifiable, who stated or confirmed it, and its id.

Pure values (domain.md §1 and §4). Nothing here talks to a model or remembers anything.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from core.errors import Invalid, Refused
from core.planning.wording import code_spans

Source = Literal["stated", "answered", "proposed"]
Flaw = Literal["too_short", "placeholder", "blank_left", "no_words"]

MAX_CRITERION_CHARS = 4_000
MAX_CRITERIA = 50
_BLANK = re.compile(r"_{3,}|＿{2,}")
_EDGE = " \t\r\n.,;:!?。，；：！？、…-–—*·\"'“”‘’()（）[]"
_BULLET = re.compile(
    r"(?P<indent>\s*)(?:[-*+•·]\s+(?:\[[ xX]\]\s+)?|\d{1,3}[.)]\s+|\d{1,3}[、．]\s*"
    r"|[(（]\d{1,3}[)）]\s*|[①-⑳]\s*)(?P<text>\S.*)"
)
_ID = r"^C[1-9][0-9]{0,5}$"


class CriterionRule(BaseModel):
    """The part of ``[clarification]`` that says which text is no criterion (domain.md §4).

    Attributes:
        min_length: shortest trimmed length, in characters.
        wide_weight: what one letter of a script without spaces (中文) counts for, because it
            carries about as much as two Latin letters.
        placeholder_prefixes: a text that starts with one of these words is a placeholder.
        placeholders: a text that is one of these, and nothing else, is a placeholder.
        lead_ins: openings such as "done when" that are skipped before a text is judged.
        headings: list headings under which a message states criteria.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    min_length: Annotated[int, Field(ge=1, le=200)] = 12
    wide_weight: Annotated[int, Field(ge=1, le=4)] = 2
    placeholder_prefixes: tuple[str, ...]
    placeholders: tuple[str, ...]
    lead_ins: tuple[str, ...] = ()
    headings: tuple[str, ...]


class Criterion(BaseModel):
    """One acceptance criterion. A stated or answered one is the operator's own word already."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: Annotated[str, Field(pattern=_ID)]
    text: Annotated[str, Field(min_length=1, max_length=MAX_CRITERION_CHARS)]
    source: Source
    confirmed_by: str | None = None
    confirmed_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _whole_confirmation(self) -> "Criterion":
        if (self.confirmed_by is None) != (self.confirmed_at is None):
            raise ValueError("a confirmation names both who and when")
        return self

    @property
    def confirmed(self) -> bool:
        """Whether the operator stands behind it: own words, or a proposal said yes to."""
        return self.source != "proposed" or self.confirmed_by is not None

    def confirm(self, by: str, at: AwareDatetime) -> "Criterion":
        """The same criterion, confirmed; a confirmation that stands already is kept."""
        if self.confirmed_by is not None:
            return self
        return self.model_copy(update={"confirmed_by": by, "confirmed_at": at})


def has_blank(text: str) -> bool:
    """Whether a template's blank (``___``) is still in ``text``."""
    return _BLANK.search(text) is not None


def flaw_of(text: str, rule: CriterionRule) -> Flaw | None:
    """Why ``text`` is not verifiable, or None when it is (domain.md §4).

    An empty lead-in ("Done when …") does not count towards the text.
    """
    if has_blank(text):
        return "blank_left"
    core = _without_lead_in(_plain(text), rule)
    if _is_placeholder(core, rule):
        return "placeholder"
    # A closing mark or a pair of quotes belongs to the sentence; a row of them is padding.
    padding = min(2, len(" ".join(text.split())) - len(core))
    if _weight(core, rule) + max(0, padding) < rule.min_length:
        return "too_short"
    return None if any(char.isalpha() for char in core) else "no_words"


def is_verifiable(text: str, rule: CriterionRule) -> bool:
    """Whether ``text`` may stand as an acceptance criterion (domain.md §4)."""
    return flaw_of(text, rule) is None


def counts(criterion: Criterion, rule: CriterionRule) -> bool:
    """Whether it clears the gate's first signal: confirmed and verifiable (domain.md §4)."""
    return criterion.confirmed and is_verifiable(criterion.text, rule)


def next_id(criteria: Iterable[Criterion], *, after: int = 0) -> str:
    """The next free id, ``C1`` first. ``after`` is the highest number that was ever given."""
    highest = max((int(each.id[1:]) for each in criteria), default=0)
    return f"C{max(highest, after) + 1}"


def add(
    criteria: Sequence[Criterion], text: str, source: Source, *, after: int = 0
) -> tuple[Criterion, ...]:
    """``criteria`` with ``text`` at the end, unless one of them says the same already.

    A proposal that the operator now states or answers becomes the operator's own and keeps its id.

    Raises:
        Invalid: ``criterion`` when the text is empty or longer than 4,000 characters.
    """
    _check_text(text)
    for place, each in enumerate(criteria):
        if same_text(each.text, text):
            if each.source != "proposed" or source == "proposed":
                return tuple(criteria)
            own = each.model_copy(update={"source": source, "text": text})
            return (*criteria[:place], own, *criteria[place + 1 :])
    new = Criterion(id=next_id(criteria, after=after), text=text, source=source)
    return (*criteria, new)


def merge(
    old: Sequence[Criterion], proposed: Sequence[str], *, after: int = 0
) -> tuple[Criterion, ...]:
    """The criteria of a new plan version: nothing that the operator said is lost.

    Stated, answered and confirmed ones stay with id and confirmation. An unconfirmed proposal
    stays only if the new list repeats it; a proposal that is new gets a fresh id.
    """
    kept = [
        each
        for each in old
        if each.confirmed or any(same_text(each.text, text) for text in proposed)
    ]
    highest = max((int(each.id[1:]) for each in old), default=0)
    merged: tuple[Criterion, ...] = tuple(kept)
    for text in proposed:
        merged = add(merged, text, "proposed", after=max(highest, after))
    return merged


def extract_criteria(message: str, rule: CriterionRule) -> tuple[str, ...]:
    """The criteria that a message states: list items under "Acceptance" or "Done when".

    At most 50 of at most 4,000 characters; indented lines continue an item; fenced code is not
    read (domain.md §4).
    """
    blocks = [span for span, kind in code_spans(message) if kind == "block"]
    headings = {each.casefold() for each in rule.headings}
    found: list[str] = []
    listening, at = False, 0
    for line in message.splitlines(keepends=True):
        hidden = any(span.start <= at < span.end for span in blocks)
        at += len(line)
        item = None if hidden else _BULLET.fullmatch(line.rstrip())
        if not hidden and _heading(line) in headings:
            listening = True
        elif listening and item:
            found.append(item["text"].strip())
        elif listening and found and not hidden and line.strip() and line[0] in " \t":
            found[-1] += " " + line.strip()
        elif line.strip() and not hidden:
            listening = False
    return tuple(each for each in found if len(each) <= MAX_CRITERION_CHARS)[:MAX_CRITERIA]


def require_confirmed(criteria: Iterable[Criterion]) -> None:
    """Refuse while a proposed criterion is neither confirmed nor removed (domain.md §4).

    Raises:
        Refused: ``CRITERIA_UNCONFIRMED`` naming the open ids.
    """
    open_ids = [each.id for each in criteria if not each.confirmed]
    if open_ids:
        raise Refused(
            "CRITERIA_UNCONFIRMED",
            f"Proposed criteria wait for you: {', '.join(open_ids)}.",
            recovery="Confirm, edit or remove each proposed criterion, then approve.",
            data={"criteria": open_ids},
        )


def same_text(one: str, other: str) -> bool:
    """Whether two criteria say the same but for case, spaces and closing punctuation."""
    return _plain(one) == _plain(other)


def _heading(line: str) -> str:
    return line.strip().strip("#*_ \t").rstrip(":：").strip("*_ \t").casefold()


def _check_text(text: str) -> None:
    if not text.strip() or len(text) > MAX_CRITERION_CHARS:
        raise Invalid(
            "criterion",
            f"A criterion has 1 to {MAX_CRITERION_CHARS} characters.",
            recovery="Say in one sentence what can be observed.",
        )


def _plain(text: str) -> str:
    """Folded for comparison: invisible characters out, spaces single, edges without punctuation."""
    shown = "".join(c for c in text if unicodedata.category(c) not in {"Cf", "Cc"} or c.isspace())
    folded = unicodedata.normalize("NFKC", shown).casefold()
    return " ".join(folded.split()).strip(_EDGE)


def _without_lead_in(plain: str, rule: CriterionRule) -> str:
    for lead in rule.lead_ins:
        if _starts_with_words(plain, lead.casefold()):
            return plain[len(lead) :].strip(_EDGE)
    return plain


def _starts_with_words(plain: str, words: str) -> bool:
    rest = plain[len(words) :]
    latin_goes_on = words[-1:].isascii() and rest[:1].isascii() and (rest[:1].isalnum())
    return plain.startswith(words) and not latin_goes_on


def _is_placeholder(plain: str, rule: CriterionRule) -> bool:
    if any(_starts_with_words(plain, each.casefold()) for each in rule.placeholder_prefixes):
        return True
    return plain in _alone(rule.placeholders)


@lru_cache(maxsize=16)
def _alone(placeholders: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_plain(each) for each in placeholders)


def _weight(plain: str, rule: CriterionRule) -> int:
    wide = sum(unicodedata.category(c) == "Lo" for c in plain)
    return len(plain) + wide * (rule.wide_weight - 1)
