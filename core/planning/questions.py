"""Clarification questions and their answers: choices, blanks to fill in, free text.

Pure. A ready-made sentence with a blank never becomes an answer as it stands (domain.md §4).
"""

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import Invalid
from core.planning.criteria import CriterionRule, flaw_of, has_blank

GateField = Literal["acceptance-criteria", "done-definition", "target", "scope"]
Language = Literal["en", "zh"]
GATE_FIELDS: tuple[GateField, ...] = ("acceptance-criteria", "done-definition", "target", "scope")

MAX_ANSWER_CHARS = 4_000
MIN_ANSWER_CHARS = 3
_BLANK = re.compile(r"[`\"“”]?_{3,}[`\"“”]?")
_NOTHING = " \t\r\n`'\"“”.…,。，-–—?？"


class LocalText(BaseModel):
    """One text of the policy in both languages."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    en: Annotated[str, Field(min_length=1)]
    zh: Annotated[str, Field(min_length=1)]


class Choice(BaseModel):
    """One offered answer. ``title`` is what is stored, so a title with a blank must be filled.

    ``criterion_id`` names the planner's proposal that is offered here, if it is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    title: LocalText
    consequence: LocalText | None = None
    recommended: bool = False
    criterion_id: str | None = None

    @property
    def needs_filling(self) -> bool:
        """Whether the operator has to fill a blank before this is an answer."""
        return has_blank(self.title.en) or has_blank(self.title.zh)


class Question(BaseModel):
    """One card. ``field`` is a gate field, or None for a question of the planner's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    field: GateField | None
    text: LocalText
    why: LocalText
    choices: Annotated[tuple[Choice, ...], Field(min_length=2, max_length=4)]
    words: tuple[str, ...] = ()
    required: bool = True


class Answer(BaseModel):
    """What the operator said to one question, verbatim; ``choice`` where an offer was taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    question_id: str
    field: GateField | None
    text: Annotated[str, Field(min_length=1, max_length=MAX_ANSWER_CHARS)]
    choice: str | None = None


def validate_answer(
    question: Question,
    choice: str | None = None,
    text: str | None = None,
    *,
    rule: CriterionRule,
    language: Language = "en",
) -> Answer:
    """Check one answer before it is stored.

    Args:
        question: the question that is answered.
        choice: the id of an offered choice, or its number from 1.
        text: free text, or the filled-in template of ``choice``.
        rule: what counts as a criterion, for the acceptance question.
        language: which of a choice's two titles is stored.

    Raises:
        Invalid: ``choice`` for an unknown one, ``answer`` for a text that is missing, too short,
            too long, still has its blank, or is no verifiable criterion where one is asked.
    """
    taken = _chosen(question, choice) if choice is not None else None
    if text is not None and text.strip():
        said = text.strip()
    elif taken is not None:
        said = getattr(taken.title, language)
    else:
        said = ""
    _check_size(said)
    _check_filled(question, said)
    if question.field == "acceptance-criteria":
        _check_criterion(said, rule)
    elif flaw_of(said, rule) == "placeholder":
        raise _unfit("This is a placeholder, not an answer.", "Say what you want instead.")
    return Answer(
        question_id=question.id,
        field=question.field,
        text=said,
        choice=taken.id if taken is not None else None,
    )


def clears(field: GateField, text: str, rule: CriterionRule) -> bool:
    """Whether a stored answer clears its signal; the gate asks again, whoever stored it."""
    said = text.strip()
    flaw = flaw_of(said, rule)
    if field == "acceptance-criteria":
        return flaw is None
    return _long_enough(said) and flaw not in {"blank_left", "placeholder"}


def unfilled(template: str, said: str) -> bool:
    """Whether ``said`` is ``template`` with a blank left empty or holding nothing but marks.

    A text that is not made from the template is not unfilled.
    """
    first, *others = (" ".join(piece.split()) for piece in _BLANK.split(template))
    rest = " ".join(said.split())
    if not others or not rest.startswith(first):
        return False
    rest = rest[len(first) :]
    filled = []
    for piece in others[:-1]:
        before, found, rest = rest.partition(piece)
        if not found:
            return False
        filled.append(before)
    filled.append(rest.removesuffix(others[-1]))
    return any(not each.strip(_NOTHING) for each in filled)


def _chosen(question: Question, choice: str) -> Choice:
    for number, each in enumerate(question.choices, start=1):
        if choice in {each.id, str(number)}:
            return each
    offered = ", ".join(each.id for each in question.choices)
    raise Invalid(
        "choice",
        f"Question {question.id} has no choice {choice[:60]!r}.",
        recovery=f"Choose one of {offered}, or answer in your own words.",
        data={"question": question.id},
    )


def _check_size(said: str) -> None:
    if not _long_enough(said):
        raise _unfit("The answer is empty or too short.", "Choose, or write 3 characters or more.")
    if len(said) > MAX_ANSWER_CHARS:
        raise _unfit(
            f"The answer has {len(said)} characters; {MAX_ANSWER_CHARS} is the most.",
            "Shorten it, or put the detail into a file of the repo and name that file.",
        )


def _check_filled(question: Question, said: str) -> None:
    templates = [
        title
        for each in question.choices
        if each.needs_filling
        for title in (each.title.en, each.title.zh)
    ]
    if has_blank(said) or any(unfilled(each, said) for each in templates):
        raise _unfit("A blank is not filled in.", "Replace every ___ by what you mean.")


def _check_criterion(said: str, rule: CriterionRule) -> None:
    flaw = flaw_of(said, rule)
    if flaw is not None:
        raise Invalid(
            "answer",
            "This cannot be checked, so it is no acceptance criterion.",
            recovery="Name a command, an input or a place, and what must be seen there.",
            data={"flaw": flaw},
        )


def _unfit(sentence: str, recovery: str) -> Invalid:
    return Invalid("answer", sentence, recovery=recovery)


def _long_enough(said: str) -> bool:
    wide = sum(unicodedata.category(char) == "Lo" for char in said)
    return len(said) + wide >= MIN_ANSWER_CHARS
