"""What the models are told: our templates, with the words of others fenced in as data.

The harness finds its own call by the first line of each prompt. Nothing here calls a model.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from string import Template
from typing import Literal

from core.planning.criteria import Criterion
from core.planning.plan import Problem
from core.planning.plan_shapes import PlannedTask
from core.planning.quoting import cut, fenced, visible

Token = Callable[[int], str]
Role = Literal["planner", "coder", "reviewer"]

MAX_INSTRUCTIONS = 32_000
MAX_TURN = 20_000
MAX_CONVERSATION = 120_000
MAX_SPEC = 60_000
MAX_EVIDENCE = 40_000
MAX_ANSWER = 60_000
HEADER = "cockpit-call: "


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation."""

    author: Literal["operator", "planner"]
    text: str


@dataclass(frozen=True, slots=True)
class PlannerBrief:
    """What the planner gets to know for one call.

    Attributes:
        cwd: where the read-only worktree is, as the planner sees it.
        repo: the repo's name; ``title`` the session's.
        conversation: oldest first; when it is too long the oldest turns are left out, and said.
        criteria: every criterion so far.
        clarified_spec: ``clarified-spec.md`` once the gate has cleared, else empty.
        instructions: files of the repo that address agents (AGENTS.md, CLAUDE.md), by path.
        attempt: 1, or 2 for a repair.
    """

    cwd: str
    repo: str
    title: str
    conversation: Sequence[Turn]
    criteria: Sequence[Criterion] = ()
    clarified_spec: str = ""
    instructions: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class TaskBrief:
    """A task as a prompt tells it: of the plan (``T1``), or rework after merging (``R1``)."""

    id: str
    title: str
    role: str = "coder"
    context_files: Sequence[str] = ()
    write_files: Sequence[str] = ()
    acceptance: Sequence[str] = ()
    expected_evidence: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CoderBrief:
    """What one coder run gets to know.

    Attributes:
        cwd: the working directory as the coder sees it.
        task: the task; ``goal`` the mission's goal.
        clarified_spec: ``clarified-spec.md``.
        forbidden_paths: gitignore patterns that must not be touched.
        allowed_paths: when given, nothing outside them may be touched.
        instructions: the repo's own notes for agents, by path.
        earlier: what the evidence of earlier attempts said, oldest first.
        attempt: 1 for the first run of the task.
    """

    cwd: str
    task: PlannedTask | TaskBrief
    goal: str
    clarified_spec: str
    forbidden_paths: Sequence[str] = ()
    allowed_paths: Sequence[str] = ()
    instructions: Mapping[str, str] = field(default_factory=dict)
    earlier: Sequence[str] = ()
    attempt: int = 1


def call_header(
    role: Role,
    *,
    cwd: str,
    attempt: int,
    step: str = "",
    task: str = "",
    criteria: Sequence[str] = (),
) -> str:
    """The first line of a prompt: who is called, for which step or task, which attempt, where.

    A planner's also names the criteria that stand, so that a plan can hold them word for word.
    """
    facts: dict[str, str | int | list[str]] = {"role": role, "attempt": attempt, "cwd": cwd}
    if criteria:
        facts["criteria"] = list(criteria)
    if step:
        facts["step"] = step
    if task:
        facts["task"] = task
    return HEADER + json.dumps(facts, sort_keys=True)


def planner_converse_prompt(brief: PlannerBrief, *, token: Token) -> str:
    """One turn of the conversation: understand, ask what matters, propose criteria."""
    return _planner("converse", "planner_converse", brief, token)


def planner_plan_prompt(brief: PlannerBrief, *, token: Token) -> str:
    """Generate PRD: PRD, ADR, roadmap and task graph as one JSON object (domain.md §5)."""
    return _planner("plan", "planner_plan", brief, token)


def planner_repair_prompt(
    *,
    step: Literal["converse", "plan"],
    cwd: str,
    answer: str,
    problems: Sequence[Problem],
    token: Token,
) -> str:
    """The one repair turn: the refused output, and every problem found in it."""
    found = "\n".join(f"{each.path or '(whole)'}: {each.message}" for each in problems)
    body = _template("planner_repair").substitute(
        problems=fenced("problems found", found, token),
        answer=fenced("your last output", cut(answer, MAX_ANSWER), token),
    )
    return _prompt(call_header("planner", cwd=cwd, attempt=2, step=step), body)


def coder_prompt(brief: CoderBrief, *, token: Token) -> str:
    """The prompt of one coder run: goal, task, spec, earlier evidence, rules."""
    task = brief.task
    body = _template("coder").substitute(
        goal=fenced("goal", cut(brief.goal, MAX_TURN), token),
        task=fenced(f"task {task.id}", _task_text(task), token),
        spec=fenced("clarified spec", cut(brief.clarified_spec, MAX_SPEC), token),
        earlier=_earlier(brief.earlier, token),
        instructions=_instructions(brief.instructions, token),
        paths=fenced("path rules", _path_rules(brief), token),
        cwd=json.dumps(brief.cwd),
    )
    header = call_header("coder", cwd=brief.cwd, attempt=brief.attempt, task=task.id)
    return _prompt(header, body)


def reviewer_prompt(
    *, cwd: str, task: PlannedTask | TaskBrief, attempt: int, evidence: str, token: Token
) -> str:
    """The optional review of a run package: approve, or rework with findings (domain.md §11)."""
    body = _template("reviewer").substitute(
        task=fenced(f"task {task.id}", _task_text(task), token),
        evidence=fenced("evidence of the run", evidence, token),
    )
    return _prompt(call_header("reviewer", cwd=cwd, attempt=attempt, task=task.id), body)


def coder_role() -> str:
    """``role.md``: who the coder is and what binds it, whatever the task."""
    return _template("coder_role").template


def validator_instructions() -> str:
    """What a validator is told beside the judge input; the same for both families."""
    return _template("validator").template


def _planner(step: str, template: str, brief: PlannerBrief, token: Token) -> str:
    body = _template(template).substitute(
        repo=fenced("repository and title", f"{brief.repo}\n{brief.title}", token),
        conversation=fenced("conversation", _conversation(brief.conversation), token),
        criteria=fenced("acceptance criteria so far", _criteria(brief.criteria), token),
        spec=fenced("clarified spec", cut(brief.clarified_spec, MAX_SPEC) or "(none yet)", token),
        instructions=_instructions(brief.instructions, token),
    )
    standing = [each.text for each in brief.criteria if each.confirmed]
    header = call_header(
        "planner", cwd=brief.cwd, attempt=brief.attempt, step=step, criteria=standing
    )
    return _prompt(header, body)


def _prompt(header: str, body: str) -> str:
    return f"{header}\n\n{body.strip()}\n"


@lru_cache(maxsize=16)
def _template(name: str) -> Template:
    path = files("resources").joinpath("prompts", f"{name}.md")
    return Template(path.read_text(encoding="utf-8"))


def _conversation(turns: Sequence[Turn]) -> str:
    shown: list[str] = []
    room = MAX_CONVERSATION
    for turn in reversed(turns):
        text = f"[{turn.author}]\n{cut(turn.text, MAX_TURN)}"
        room -= len(text)
        if room < 0:
            shown.append(f"[{len(turns) - len(shown)} older messages are left out]")
            break
        shown.append(text)
    return "\n\n".join(reversed(shown)) or "(nothing said yet)"


def _criteria(criteria: Sequence[Criterion]) -> str:
    rows = (
        f"{each.id} ({each.source}{'' if each.confirmed else ', not confirmed'}): {each.text}"
        for each in criteria
    )
    return "\n".join(rows) or "(none yet)"


def _instructions(instructions: Mapping[str, str], token: Token) -> str:
    parts = [
        fenced(f"file {_label(path)}", cut(text, MAX_INSTRUCTIONS), token)
        for path, text in sorted(instructions.items())
    ]
    return "\n\n".join(parts) or "The repository has no such file."


def _label(path: str) -> str:
    """A file name on one line: it stands outside the fence, so it gets no line end of its own."""
    return json.dumps(visible(path), ensure_ascii=False)[:200]


def _earlier(reports: Sequence[str], token: Token) -> str:
    parts = [
        fenced(f"evidence of attempt {place}", cut(text, MAX_EVIDENCE), token)
        for place, text in enumerate(reports, start=1)
    ]
    return "\n\n".join(parts) or "This is the first attempt."


def _task_text(task: PlannedTask | TaskBrief) -> str:
    rows = [f"{task.id}: {task.title}", f"role: {task.role}"]
    for name, items in (
        ("acceptance", task.acceptance),
        ("files to read first", task.context_files),
        ("files you are expected to change", task.write_files),
        ("evidence that will be looked for", task.expected_evidence),
    ):
        rows += [f"{name}:", *(f"- {each}" for each in items or ("(not given)",))]
    return "\n".join(rows)


def _path_rules(brief: CoderBrief) -> str:
    rows = ["never touch:", *(f"- {each}" for each in brief.forbidden_paths or ("(none)",))]
    if brief.allowed_paths:
        rows += ["touch only:", *(f"- {each}" for each in brief.allowed_paths)]
    return "\n".join(rows)
