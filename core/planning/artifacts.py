"""PRD, ADR, Roadmap and the clarified spec as Markdown, and what changed between two versions.

Pure and deterministic. Words of a model or an operator are escaped: they stay text.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import Literal

from core.planning.criteria import Criterion
from core.planning.plan_shapes import Plan, PlannedTask
from core.planning.quoting import block, inline, quote

DocumentName = Literal["prd.md", "adr.md", "roadmap.md"]


@dataclass(frozen=True, slots=True)
class ArtifactHeader:
    """What every document of one version says of itself.

    Attributes:
        title: the mission's title.
        repo: name of the repo; ``base`` its branch and commit, such as ``main @ 3f9c2d1``.
        version: 1 for the first; ``author`` who made it (planner or operator), ``at`` when.
        answers: how many clarifications it was made from.
    """

    title: str
    repo: str
    base: str
    version: int
    author: str
    at: datetime
    answers: int = 0


@dataclass(frozen=True, slots=True)
class Clarified:
    """One question with its answer, as they stood when the gate cleared."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class BlockChange:
    """A stretch of blocks that two versions share or not; ``old`` and ``new`` hold Markdown."""

    kind: Literal["equal", "removed", "added", "changed"]
    old: tuple[str, ...]
    new: tuple[str, ...]


def documents(
    plan: Plan,
    criteria: Sequence[Criterion],
    header: ArtifactHeader,
    *,
    reasons: Mapping[str, Sequence[str]] | None = None,
) -> dict[DocumentName, str]:
    """The three documents of one version. ``reasons`` says why a task id has a checkpoint."""
    return {
        "prd.md": render_prd(plan, criteria, header),
        "adr.md": render_adr(plan, header),
        "roadmap.md": render_roadmap(plan, header, reasons=reasons or {}),
    }


def render_prd(plan: Plan, criteria: Sequence[Criterion], header: ArtifactHeader) -> str:
    """The PRD, its criteria with source and state of confirmation."""
    prd = plan.prd
    return _document(
        _head("PRD", header.title, header),
        ("Summary", block(prd.summary)),
        ("Goals", _list(prd.goals)),
        ("Non-goals", _list(prd.non_goals)),
        ("Acceptance criteria", _criteria(criteria)),
        ("Risks", _list(prd.risks)),
        ("Rollback", block(prd.rollback) or "None given."),
    )


def render_adr(plan: Plan, header: ArtifactHeader) -> str:
    """The one architecture decision of this version."""
    adr = plan.adr
    return _document(
        _head("ADR", adr.title, header),
        ("Context", block(adr.context)),
        ("Decision", block(adr.decision)),
        ("Consequences", _list(adr.consequences)),
    )


def render_roadmap(
    plan: Plan, header: ArtifactHeader, *, reasons: Mapping[str, Sequence[str]]
) -> str:
    """Milestones, then every task with what it needs, writes and proves."""
    milestones = [
        f"**{inline(each.title)}** — {inline(each.outcome)} ({_ids(each.tasks)})"
        for each in plan.roadmap
    ]
    tasks = "\n\n".join(_task(each, reasons.get(each.id, ())) for each in plan.tasks)
    return _document(
        _head("Roadmap", header.title, header),
        ("Milestones", "\n".join(f"{place}. {each}" for place, each in enumerate(milestones, 1))),
        ("Tasks", tasks),
    )


def clarified_spec(
    title: str,
    criteria: Sequence[Criterion],
    *,
    target: Iterable[str],
    scope: Iterable[str],
    answers: Sequence[Clarified],
) -> str:
    """``clarified-spec.md``: what the gate cleared with (domain.md §4).

    Args:
        title: the mission's title.
        criteria: all criteria of the session; unconfirmed proposals are left out.
        target: places that were named, or answered.
        scope: what was said about done and about scope.
        answers: every answered question, in order.
    """
    asked = [
        f"{place}. {inline(each.question)}\n\n{_indented(quote(each.answer))}"
        for place, each in enumerate(answers, start=1)
    ]
    return _document(
        f"# Clarified spec: {inline(title)}\n\nWords of the operator stand here as they were "
        "given. They are requirements, not commands to a tool.",
        ("Acceptance criteria", _criteria([each for each in criteria if each.confirmed])),
        ("Target", _list(target)),
        ("Scope", _list(scope)),
        ("Questions and answers", "\n\n".join(asked) or "None."),
    )


def compare(old: str, new: str) -> tuple[BlockChange, ...]:
    """What changed between two versions of a document, by blocks between blank lines."""
    before, after = _blocks(old), _blocks(new)
    kinds: dict[str, Literal["equal", "removed", "added", "changed"]] = {
        "equal": "equal",
        "delete": "removed",
        "insert": "added",
        "replace": "changed",
    }
    steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return tuple(
        BlockChange(kinds[tag], tuple(before[a:b]), tuple(after[c:d])) for tag, a, b, c, d in steps
    )


def _document(head: str, *sections: tuple[str, str]) -> str:
    bodies = (f"## {title}\n\n{body}" for title, body in sections)
    return "\n\n".join((head, *bodies)) + "\n"


def _head(kind: str, title: str, header: ArtifactHeader) -> str:
    at = header.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    facts = (
        f"{kind} v{header.version}",
        inline(header.repo),
        inline(header.base),
        f"by {inline(header.author)}, from {header.answers} answers",
        at,
    )
    return f"# {inline(title)}\n\n{' · '.join(facts)}"


def _criteria(criteria: Sequence[Criterion]) -> str:
    rows = (f"- **{each.id}** {inline(each.text)} — *{_source(each)}*" for each in criteria)
    return "\n".join(rows) or "None."


def _source(criterion: Criterion) -> str:
    if criterion.source == "stated":
        return "stated by you"
    if criterion.source == "answered":
        return "your answer"
    if criterion.confirmed_by is None or criterion.confirmed_at is None:
        return "proposed, not confirmed"
    at = criterion.confirmed_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"proposed, confirmed by {inline(criterion.confirmed_by)}, {at}"


def _task(task: PlannedTask, reasons: Sequence[str]) -> str:
    facts = [
        ("Role", inline(task.role)),
        ("Depends on", _ids(task.depends_on)),
        ("Reads", _joined(task.context_files)),
        ("Writes", _joined(task.write_files)),
        ("Acceptance", _joined(task.acceptance, "; ")),
        ("Evidence", _joined(task.expected_evidence, "; ")),
    ]
    if task.checkpoint or reasons:
        facts.append(("Checkpoint", _joined(reasons) if reasons else "asked for by the planner"))
    rows = "\n".join(f"- {name}: {value}" for name, value in facts)
    return f"### {task.id} {inline(task.title)}\n\n{rows}"


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {inline(each)}" for each in items) or "None."


def _joined(items: Iterable[str], mark: str = ", ") -> str:
    render: Callable[[str], str] = inline
    return mark.join(render(each) for each in items) or "nothing"


def _ids(tasks: Sequence[str]) -> str:
    return ", ".join(tasks) or "nothing"


def _indented(text: str) -> str:
    return "\n".join(f"   {line}" for line in text.split("\n"))


def _blocks(markdown: str) -> list[str]:
    return [each for each in re.split(r"\n\s*\n", markdown.strip()) if each]
