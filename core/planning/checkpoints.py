"""Which tasks wait for the operator's yes before they run (domain.md §5).

Pure. The rules only add checkpoints; one that the planner asked for always stays.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from pathspec import GitIgnoreSpec
from pydantic import BaseModel, ConfigDict

from core.planning.plan_shapes import Plan, PlannedTask
from core.planning.wording import WordList, code_spans, find_words

Subject = Literal["schema", "dependencies", "security", "ci", "large_deletions"]
Reason = Subject | Literal["planner"]


class CheckpointRule(BaseModel):
    """What gives a task away: gitignore patterns for its files, words for its title."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    paths: tuple[str, ...] = ()
    words: WordList = WordList(en=(), zh=())


CheckpointPolicy = Mapping[Subject, CheckpointRule]


def checkpoint_reasons(task: PlannedTask, policy: CheckpointPolicy) -> tuple[Reason, ...]:
    """Why ``task`` needs an approval before it runs; empty when it needs none."""
    found: list[Reason] = ["planner"] if task.checkpoint else []
    hidden = [span for span, _ in code_spans(task.title)]
    for subject, rule in policy.items():
        spec = _spec(tuple(pattern.casefold() for pattern in rule.paths))
        touched = any(spec.match_file(path.casefold()) for path in task.write_files)
        if touched or find_words(task.title, rule.words, hidden):
            found.append(subject)
    return tuple(found)


def with_checkpoints(plan: Plan, policy: CheckpointPolicy) -> Plan:
    """``plan`` with every checkpoint that the rules add."""
    tasks = tuple(
        task.model_copy(update={"checkpoint": bool(checkpoint_reasons(task, policy))})
        for task in plan.tasks
    )
    return plan.model_copy(update={"tasks": tasks})


@lru_cache(maxsize=32)
def _spec(patterns: tuple[str, ...]) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(patterns)
