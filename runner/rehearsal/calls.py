"""Who is asking: read from the request itself, because the server remembers nothing between two.

A prompt for a CLI carries one line ``cockpit-call: {…}``; a validator's request carries the judge
input. What a tool returned, and what the CLI adds by itself, is never taken for either.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from core.errors import Invalid

_HEADER = re.compile(r"^[ \t]*cockpit-call:[ \t]*(\{.*\})[ \t]*\r?$", re.MULTILINE)
_REMINDER = "<system-reminder>"
_MAX_DOCUMENTS = 2_000
_FIELD = "cockpit-call"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a request: who speaks, and its texts without the results of tools."""

    role: Literal["user", "assistant"]
    texts: tuple[str, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CoderCall(_Strict):
    """The coder works on a task."""

    role: Literal["coder"]
    task: str
    attempt: Annotated[int, Field(ge=1)]
    cwd: str


class PlannerCall(_Strict):
    """The planner converses, or writes the plan; attempt 2 of a plan is its repair."""

    role: Literal["planner"]
    step: Literal["converse", "plan"]
    attempt: Annotated[int, Field(ge=1)]
    cwd: str
    criteria: tuple[str, ...] = ()


class ReviewerCall(_Strict):
    """The reviewer looks at a task's result."""

    role: Literal["reviewer"]
    task: str
    attempt: Annotated[int, Field(ge=1)]
    cwd: str = ""


class ValidatorCall(BaseModel):
    """A validator judges a run package; its criteria come out of the judge input."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: Literal["validator"]
    package: Annotated[int, Field(ge=1)]
    criteria: tuple[str, ...] = ()


Call = CoderCall | PlannerCall | ReviewerCall | ValidatorCall
_CALL: TypeAdapter[CoderCall | PlannerCall | ReviewerCall] = TypeAdapter(
    Annotated[CoderCall | PlannerCall | ReviewerCall, Field(discriminator="role")]
)


def identify(messages: tuple[Message, ...]) -> tuple[Call, int] | None:
    """Who asks, and which turn of its process this is (0 for the first); None if nobody says so.

    The turn is the number of assistant messages after the prompt that names the caller.

    Raises:
        Invalid: a ``cockpit-call`` line or a judge input that does not fit.
    """
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].role != "user":
            continue
        call = _from_texts(messages[index].texts)
        if call is not None:
            return call, sum(later.role == "assistant" for later in messages[index:])
    return None


def _from_texts(texts: tuple[str, ...]) -> Call | None:
    spoken = [text for text in texts if not text.lstrip().startswith(_REMINDER)]
    for text in spoken:
        found = _HEADER.search(text)
        if found is not None:
            return _from_header(found.group(1))
    for text in spoken:
        judged = _from_judge_input(text)
        if judged is not None:
            return judged
    return None


def _from_header(line: str) -> Call:
    try:
        return _CALL.validate_json(line)
    except ValidationError as error:
        raise _unfit(error, _FIELD) from error


def _from_judge_input(text: str) -> ValidatorCall | None:
    for document in _documents(text):
        call = document.get("call")
        if isinstance(call, dict) and call.get("role") == "validator":
            return _validator(call, document.get("criteria"))
    return None


def _validator(call: dict[str, Any], criteria: Any) -> ValidatorCall:
    entries = criteria if isinstance(criteria, list) else []
    ids = [entry["id"] for entry in entries if isinstance(entry, dict) and "id" in entry]
    if not isinstance(criteria, list) or len(ids) != len(criteria):
        raise Invalid(
            "judge-input.criteria",
            "The judge input has no list of criteria with an id each.",
            recovery='Send "criteria": [{"id": "C1", "text": "…"}].',
        )
    try:
        return ValidatorCall.model_validate({**call, "criteria": ids})
    except ValidationError as error:
        raise _unfit(error, "judge-input") from error


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, outermost only, at most so many beginnings tried."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    for _ in range(_MAX_DOCUMENTS):
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(value, dict):
                yield value
        at = text.find("{", end)


def _unfit(error: ValidationError, field: str) -> Invalid:
    first = error.errors()[0]
    where = ".".join((field, *map(str, first["loc"])))
    return Invalid(where, f"{where}: {first['msg']}", recovery="Correct this field of the prompt.")
