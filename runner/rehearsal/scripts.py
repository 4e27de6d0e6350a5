"""What a rehearsal plays: scripts read from TOML, checked key by key before anything starts.

A script says what a model answers to a role and a turn, and nothing else (domain.md §16). It never
decides a risk, a merge or a hold: those come out of the real path.
"""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import Invalid, NotFound

Family = Literal["claude", "openai", "gemini"]
Outcome = Literal["pass", "fail", "unknown"]
Verdict = Literal["pass", "fail", "inconclusive"]
Text = Annotated[str, Field(min_length=1)]

_MAX_BYTES = 1_000_000


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Usage(_Strict):
    """Tokens of one reply; the four counts do not overlap."""

    input: Annotated[int, Field(ge=0)]
    output: Annotated[int, Field(ge=0)]
    cache_write: Annotated[int, Field(ge=0)] = 0
    cache_read: Annotated[int, Field(ge=0)] = 0


class Fault(_Strict):
    """A failure instead of an answer: an HTTP status, a silence, or a cut stream.

    ``reset_in_seconds`` makes a 429 the subscription's own, with the time of its reset.
    ``body_type`` is the provider's name of the error, the wire format's usual one by default.
    """

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    headers: dict[str, str] = {}
    body_type: str | None = None
    message: Text = "This failure was written into the rehearsal script."
    reset_in_seconds: Annotated[int, Field(ge=0)] | None = None
    hang: bool = False
    cut_after_events: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Fault":
        kinds = (self.status is not None, self.hang, self.cut_after_events is not None)
        if sum(kinds) != 1:
            raise ValueError("give exactly one of status, hang = true and cut_after_events")
        if self.status is None and (self.headers or self.body_type):
            raise ValueError("headers and body_type belong to a fault with a status")
        if self.reset_in_seconds is not None and self.status != 429:
            raise ValueError("reset_in_seconds belongs to a fault with status = 429")
        return self


class ToolUse(_Strict):
    """One use of a tool of the CLI; ``{cwd}`` in its strings is the caller's working folder."""

    name: Text
    input: dict[str, Any] = {}


class Turn(_Strict):
    """One answer of a coder, planner or reviewer.

    ``text`` is prose. ``structured`` is handed over through the CLI's own tool for structured
    output where it is offered, as JSON text otherwise. ``raw`` is sent as it stands, in place of
    a structure that was asked for.
    """

    text: Text | None = None
    tools: Annotated[tuple[ToolUse, ...], Field(strict=False)] = ()
    structured: dict[str, Any] | None = None
    raw: Text | None = None
    refusal: Text | None = None
    fault: Fault | None = None
    usage: Usage | None = None
    chunk_delay_ms: Annotated[int, Field(ge=0, le=10_000)] = 0

    @model_validator(mode="after")
    def _says_something(self) -> "Turn":
        says = self.text or self.tools or self.structured is not None or self.raw or self.refusal
        streamed = self.fault is None or self.fault.cut_after_events is not None
        if streamed and not says:
            raise ValueError("a turn needs text, tools, structured, raw, refusal or a fault")
        if not streamed and says:
            raise ValueError("a fault with status or hang takes the place of the whole answer")
        return self

    @property
    def ends(self) -> bool:
        """Whether the caller has nothing to do after this turn but to finish or to fail."""
        return not self.tools


class _Part(_Strict):
    attempt: Annotated[int, Field(ge=1)] | None = None
    turns: Annotated[tuple[Turn, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _comes_to_an_end(self) -> "_Part":
        if not self.turns[-1].ends:
            raise ValueError("the last turn must not use a tool, or the caller never finishes")
        return self


class CoderPart(_Part):
    """What the coder does for one task (any task without ``task``), in one attempt (any)."""

    task: Text | None = None


class PlannerPart(_Part):
    """What the planner answers in one step; attempt 2 of ``plan`` is the repair turn."""

    step: Literal["converse", "plan"]


class ReviewerPart(_Part):
    """What the reviewer answers for one task."""

    task: Text | None = None


class ValidatorPart(_Strict):
    """The verdict of one family (any without ``family``) on one package (any without it).

    ``criteria`` is one outcome for every criterion in the input, or one for each id.
    """

    family: Family | None = None
    package: Annotated[int, Field(ge=1)] | None = None
    verdict: Verdict = "pass"
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.9
    summary: Text = "Judged from the evidence alone."
    criteria: Outcome | dict[str, Outcome] = "pass"
    where: str = "mission diff"
    blocking_issues: list[str] = []
    non_blocking_issues: list[str] = []
    evidence_gaps: list[str] = []
    raw: Text | None = None
    refusal: Text | None = None
    fault: Fault | None = None
    usage: Usage | None = None
    chunk_delay_ms: Annotated[int, Field(ge=0, le=10_000)] = 0


class Script(_Strict):
    """One rehearsal: the goal it was written for and what each role answers."""

    title: Text
    description: Text
    goal: Text
    criteria: Annotated[list[Text], Field(min_length=1)]
    goal_attempted: bool
    planner: list[PlannerPart]
    coder: list[CoderPart]
    reviewer: list[ReviewerPart] = []
    validator: list[ValidatorPart] = []


def load_all(folder: Path | None = None) -> Mapping[str, Script]:
    """Every script by name, in the order of the names.

    Args:
        folder: where the ``*.toml`` files are; the shipped ones without it.

    Raises:
        Invalid: a file that does not fit, with its name and the key.
    """
    sources = {Path(entry.name).stem: entry for entry in _entries(folder)}
    return {name: _parse(sources[name]) for name in sorted(sources)}


def load(name: str, folder: Path | None = None) -> Script:
    """The script called ``name``.

    Raises:
        NotFound: no such script.
        Invalid: a file that does not fit, with its name and the key.
    """
    for entry in _entries(folder):
        if entry.name == f"{name}.toml":
            return _parse(entry)
    raise NotFound("rehearsal", name)


def names(folder: Path | None = None) -> tuple[str, ...]:
    """The names of the scripts, sorted."""
    return tuple(sorted(Path(entry.name).stem for entry in _entries(folder)))


def _entries(folder: Path | None) -> list[Traversable]:
    root: Traversable = folder if folder is not None else files("resources") / "rehearsal"
    if not root.is_dir():
        raise Invalid(
            "rehearsal.folder",
            f"The folder of rehearsal scripts {root} does not exist.",
            recovery="Name a folder that holds *.toml scripts.",
        )
    return [entry for entry in root.iterdir() if entry.name.endswith(".toml") and entry.is_file()]


def _parse(entry: Traversable) -> Script:
    raw = entry.read_bytes()
    if len(raw) > _MAX_BYTES:
        raise _unfit(entry.name, "", f"is larger than {_MAX_BYTES} bytes")
    try:
        return Script.model_validate(tomllib.loads(raw.decode("utf-8")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _unfit(entry.name, "", f"is not TOML in UTF-8: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise _unfit(entry.name, ".".join(map(str, first["loc"])), first["msg"]) from error


def _unfit(file: str, key: str, why: str) -> Invalid:
    where = f"{file}: {key}" if key else file
    return Invalid(
        where,
        f"Rehearsal script {where}: {why}",
        recovery="Correct the named key and load the script again.",
        data={"file": file, "key": key},
    )
