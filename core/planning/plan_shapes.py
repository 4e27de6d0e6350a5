"""What the planner hands back: the shape of its conversation turn and of its plan.

Models only; ``plan.py`` reads hostile text into them.
"""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from core.planning.quoting import forbidden_character

MAX_TASKS = 50
MAX_LIST = 100
_TASK_ID = r"^T[1-9][0-9]{0,2}$"
_QUESTION_ID = r"^[a-z][a-z0-9-]{0,39}$"
_GATE_IDS = frozenset({"acceptance-criteria", "done-definition", "target", "scope"})


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    bad = forbidden_character(text, lines=True)
    if bad:
        raise ValueError(f"holds the control character U+{ord(bad):04X}")
    return text


def _one_line(text: str) -> str:
    bad = forbidden_character(text, lines=False)
    if bad:
        raise ValueError(f"holds the control character U+{ord(bad):04X}")
    return _said(text)


def _repo_path(path: str) -> str:
    _one_line(path)
    if path != path.strip():
        raise ValueError("starts or ends with a space")
    if path.startswith(("/", "~")) or "\\" in path or path[1:2] == ":":
        raise ValueError("is not relative to the repository, with forward slashes")
    if any(part in {"", ".", ".."} for part in path.removesuffix("/").split("/")):
        raise ValueError("has an empty, '.' or '..' part")
    return path


Text = Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_said)]
Line = Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_said)]
Title = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
RepoPath = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_repo_path)]
TaskRef = Annotated[str, Field(pattern=_TASK_ID)]
Lines = Annotated[tuple[Line, ...], Field(max_length=MAX_LIST)]
SomeLines = Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_LIST)]
Paths = Annotated[tuple[RepoPath, ...], Field(max_length=MAX_LIST)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class PlannerChoice(_Strict):
    """One offered answer to a question of the planner's own."""

    title: Title
    consequence: Annotated[str, Field(max_length=2_000)] = ""
    recommended: bool = False


class PlannerQuestion(_Strict):
    """A clarification that the planner adds: 2 to 4 choices, one recommended (domain.md §4)."""

    id: Annotated[str, Field(pattern=_QUESTION_ID)]
    text: Line
    why: Line
    choices: Annotated[tuple[PlannerChoice, ...], Field(min_length=2, max_length=4)]

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.id in _GATE_IDS:
            raise ValueError(f"id {self.id} belongs to the gate's own questions")
        recommended = sum(each.recommended for each in self.choices)
        if recommended != 1:
            raise ValueError(f"exactly one choice is recommended, not {recommended}")
        if len({each.title for each in self.choices}) != len(self.choices):
            raise ValueError("two choices have the same title")
        return self


class Converse(_Strict):
    """One turn of the conversation. ``confidence`` is shown, never trusted as a gate."""

    message: Text
    confidence: Annotated[float, Field(ge=0, le=1)]
    questions: Annotated[tuple[PlannerQuestion, ...], Field(max_length=4)] = ()
    proposed_criteria: Annotated[tuple[Line, ...], Field(max_length=12)] = ()

    @model_validator(mode="after")
    def _unique_ids(self) -> Self:
        twice = _repeated([each.id for each in self.questions])
        if twice:
            raise ValueError(f"question ids are used twice: {', '.join(twice)}")
        return self


class Prd(_Strict):
    """What is wanted and what is not."""

    summary: Text
    goals: SomeLines
    non_goals: Lines = ()
    acceptance_criteria: SomeLines
    risks: Lines = ()
    rollback: Annotated[str, Field(max_length=20_000)] = ""


class Adr(_Strict):
    """The one decision that shapes the work, and why."""

    title: Title
    context: Text
    decision: Text
    consequences: Lines = ()


class Milestone(_Strict):
    """A step that an operator can see, and the tasks that make it."""

    title: Title
    outcome: Line
    tasks: Annotated[tuple[TaskRef, ...], Field(max_length=MAX_TASKS)] = ()


class PlannedTask(_Strict):
    """One node of the task graph. ``write_files`` may name folders with a closing slash."""

    id: TaskRef
    title: Title
    role: Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_one_line)] = "coder"
    depends_on: Annotated[tuple[TaskRef, ...], Field(max_length=MAX_TASKS)] = ()
    context_files: Paths = ()
    write_files: Paths = ()
    acceptance: Lines = ()
    expected_evidence: Lines = ()
    checkpoint: bool = False


class Plan(_Strict):
    """PRD, ADR, roadmap and task graph of one version (domain.md §5)."""

    prd: Prd
    adr: Adr
    roadmap: Annotated[tuple[Milestone, ...], Field(min_length=1, max_length=20)]
    tasks: Annotated[tuple[PlannedTask, ...], Field(min_length=1, max_length=MAX_TASKS)]

    @property
    def graph(self) -> dict[str, tuple[str, ...]]:
        """Task id to its dependencies, in the plan's order (see ``core.missions.graph``)."""
        return {each.id: each.depends_on for each in self.tasks}


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
