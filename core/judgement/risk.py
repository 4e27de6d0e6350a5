"""The risk rubric (domain.md §10): one score from the real diff, the same on every surface.

Pure and exact: whole numbers only. Weights and patterns come from policy; nothing is constant here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from core.judgement.changes import AddedLine, PathChange, shown_path
from core.judgement.network_words import opens_connection
from core.judgement.paths import PathRules, PathSet
from core.policy import Language, Policy, RiskPatterns, RiskPolicy, Steps

__all__ = [
    "FACTORS",
    "AddedLine",
    "Coverage",
    "Factor",
    "Level",
    "Risk",
    "RiskFacts",
    "assess",
    "level_of",
]

Level = Literal["low", "medium", "high"]

MAX_SCORE = 100
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Coverage:
    """Changed lines that tests ran over, out of those that could be measured."""

    covered: int
    measurable: int


@dataclass(frozen=True, slots=True)
class RiskFacts:
    """What the rubric needs beside the changed paths.

    Attributes:
        rules: the forbidden paths of this repo.
        sensitive: the repo's own list, in gitignore syntax.
        added_lines: read once. It may be just those for which ``opens_connection`` holds.
        coverage: None where it was not measured.
    """

    rules: PathRules
    sensitive: Sequence[str] = ()
    added_lines: Iterable[AddedLine] = ()
    coverage: Coverage | None = None


class Factor(BaseModel):
    """What one factor added, and the values that show why."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    points: int
    detail: dict[str, Any]


class Risk(BaseModel):
    """The stored breakdown: ``score`` is the sum of the factors' points, at most 100."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    score: int
    level: Level
    factors: tuple[Factor, ...]


Detail = dict[str, Any]
Found = tuple[int, Detail] | None


class _Lists(NamedTuple):
    """Compiled patterns of one policy."""

    named: Mapping[str, PathSet]
    tests: PathSet
    dependency: PathSet
    extensions: Mapping[str, str]


@dataclass(frozen=True)
class _Diff:
    """The diff as the factors ask about it."""

    changes: tuple[PathChange, ...]
    policy: RiskPolicy
    facts: RiskFacts

    @cached_property
    def lists(self) -> _Lists:
        return _lists(self.policy)

    @cached_property
    def lines(self) -> int:
        return sum(each.added + each.deleted for each in self.changes)

    @cached_property
    def tests(self) -> tuple[str, ...]:
        return self.touching(self.lists.tests)

    @cached_property
    def code(self) -> tuple[str, ...]:
        """Changed source files that are not tests."""
        tests = set(self.tests)
        return tuple(
            name
            for name in self.names
            if name not in tests and _extension(name) in self.lists.extensions
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for each in self.changes for name in each.names))

    def touching(self, patterns: PathSet) -> tuple[str, ...]:
        return tuple(name for name in self.names if patterns.rule_for(name) is not None)


def assess(changes: Iterable[PathChange], policy: Policy, facts: RiskFacts) -> Risk:
    """Score a diff (domain.md §10).

    Args:
        changes: every changed path between base and head.

    Raises:
        Invalid: a pattern of the repo's sensitive list is no gitignore pattern.
    """
    diff = _Diff(tuple(changes), policy.risk, facts)
    factors: list[Factor] = []
    for name, measure in FACTORS.items():
        found = measure(diff)
        if found is not None and found[0] > 0:
            factors.append(Factor(id=name, points=found[0], detail=found[1]))
    score = min(MAX_SCORE, sum(each.points for each in factors))
    return Risk(score=score, level=level_of(score, policy.risk), factors=tuple(factors))


def level_of(score: int, policy: RiskPolicy) -> Level:
    """The level of a score."""
    if score <= policy.low:
        return "low"
    return "medium" if score <= policy.medium else "high"


def _changed_lines(diff: _Diff) -> Found:
    rule = diff.policy.changed_lines_per_50
    started = -(-diff.lines // rule.per)
    return _grown(rule, max(0, started - 1), {"lines": diff.lines})


def _files_touched(diff: _Diff) -> Found:
    rule = diff.policy.files_touched_per_3
    files = len(diff.changes)
    return _grown(rule, max(0, (files - 1) // rule.per), {"files": files})


def _grown(rule: Steps, buckets: int, detail: Detail) -> Found:
    return min(rule.most, rule.points * buckets), {**detail, "buckets": buckets}


def _forbidden(diff: _Diff) -> Found:
    hits = diff.facts.rules.check(diff.changes)
    if not hits:
        return None
    detail = _paths([each.path for each in hits])
    detail["kinds"] = dict(sorted(Counter(each.kind for each in hits).items()))
    return diff.policy.points.forbidden_path_touch, detail


def _sensitive(diff: _Diff) -> Found:
    patterns = PathSet(diff.facts.sensitive, field="sensitive_paths")
    return _touch(diff.policy.points.sensitive_path_touch, diff.touching(patterns))


def _dependency(diff: _Diff) -> Found:
    touched = diff.touching(diff.lists.dependency)
    return _touch(diff.policy.points.dependency_change, touched)


def _tests_without_code(diff: _Diff) -> Found:
    if diff.code:
        return None
    return _touch(diff.policy.points.test_change_without_code, diff.tests)


def _code_without_tests(diff: _Diff) -> Found:
    if diff.tests:
        return None
    return _touch(diff.policy.points.code_change_without_test, diff.code)


def _network(diff: _Diff) -> Found:
    found = [each for each in diff.facts.added_lines if opens_connection(each, diff.policy)]
    if not found:
        return None
    detail = _paths(list(dict.fromkeys(each.path for each in found)))
    return diff.policy.points.network_code_change, {**detail, "lines": len(found)}


def _deletion(diff: _Diff) -> Found:
    deleted = sum(each.deleted for each in diff.changes)
    limit = diff.policy.large_deletion_lines
    if deleted <= limit:
        return None
    return diff.policy.points.large_deletion, {"deleted": deleted, "limit": limit}


def _coverage(diff: _Diff) -> Found:
    measured = diff.facts.coverage
    if measured is None or measured.measurable <= 0:
        return None
    least = diff.policy.low_coverage_percent
    if measured.covered * 100 >= least * measured.measurable:
        return None
    detail = {"covered": measured.covered, "measurable": measured.measurable, "least": least}
    return diff.policy.points.low_test_coverage, detail


def _listed(name: str, points: str) -> Callable[[_Diff], Found]:
    """A factor that applies where a path of the policy's list ``name`` is touched."""

    def measure(diff: _Diff) -> Found:
        return _touch(getattr(diff.policy.points, points), diff.touching(diff.lists.named[name]))

    return measure


FACTORS: Mapping[str, Callable[[_Diff], Found]] = {
    "changed_lines_per_50": _changed_lines,
    "files_touched_per_3": _files_touched,
    "forbidden_path_touch": _forbidden,
    "sensitive_path_touch": _sensitive,
    "workflow_change": _listed("workflow", "workflow_change"),
    "dependency_change": _dependency,
    "test_change_without_code": _tests_without_code,
    "code_change_without_test": _code_without_tests,
    "auth_security_files": _listed("auth_security", "auth_security_files"),
    "network_code_change": _network,
    "database_migration": _listed("migration", "database_migration"),
    "orchestrator_core_change": _listed("orchestrator_core", "orchestrator_core_change"),
    "runner_sandbox_change": _listed("runner_sandbox", "runner_sandbox_change"),
    "validator_change": _listed("validator", "validator_change"),
    "large_deletion": _deletion,
    "low_test_coverage": _coverage,
}


def _touch(points: int, paths: Sequence[str]) -> Found:
    return (points, _paths(paths)) if paths else None


def _paths(paths: Sequence[str]) -> Detail:
    return {"count": len(paths), "paths": [shown_path(each) for each in paths[:_SHOWN]]}


def _extension(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[2].casefold()


def _lists(policy: RiskPolicy) -> _Lists:
    return _compiled(policy.patterns, tuple(policy.languages.items()))


@lru_cache(maxsize=16)
def _compiled(general: RiskPatterns, languages: tuple[tuple[str, Language], ...]) -> _Lists:
    tests = [each for _, language in languages for each in language.tests]
    dependency = [each for _, language in languages for each in language.dependency]
    return _Lists(
        named={name: PathSet(each, field=f"risk.patterns.{name}") for name, each in general},
        tests=PathSet((*general.tests, *tests), field="risk.tests"),
        dependency=PathSet((*general.dependency, *dependency), field="risk.dependency"),
        extensions={end.casefold(): name for name, each in languages for end in each.extensions},
    )
