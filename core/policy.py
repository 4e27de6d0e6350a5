"""The rules that are data: weights, patterns, limits, budgets. Read from the packaged policy file.

A repo's policy lays values over it; it can add forbidden paths and never take one away.
"""

import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)

from core.errors import Broken, Invalid
from core.planning.clarification import ClarificationPolicy
from core.settings.model import Budgets

Points = Annotated[StrictInt, Field(ge=0, le=100)]
Count = Annotated[StrictInt, Field(ge=0, le=1_000_000)]
Positive = Annotated[StrictInt, Field(ge=1, le=1_000_000)]
Seconds = Annotated[StrictInt, Field(ge=1, le=86_400)]
Text = Annotated[str, Field(min_length=1, max_length=500)]
Patterns = tuple[Text, ...]

_EXTENDED = (("paths", "forbidden"),)
_MAX_PATTERNS = 2000


class Rules(BaseModel):
    """A frozen table of the policy that refuses names it does not have."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Steps(Rules):
    """A factor that grows: ``points`` a bucket of ``per``, at most ``most``."""

    points: Points
    per: Positive
    most: Points


class RiskPoints(Rules):
    """What each factor adds when it applies (domain.md §10)."""

    forbidden_path_touch: Points
    sensitive_path_touch: Points
    workflow_change: Points
    dependency_change: Points
    test_change_without_code: Points
    code_change_without_test: Points
    auth_security_files: Points
    network_code_change: Points
    database_migration: Points
    orchestrator_core_change: Points
    runner_sandbox_change: Points
    validator_change: Points
    large_deletion: Points
    low_test_coverage: Points


class RiskPatterns(Rules):
    """Paths, in gitignore syntax, that a factor looks for in any language."""

    workflow: Patterns
    dependency: Patterns
    tests: Patterns
    auth_security: Patterns
    migration: Patterns
    orchestrator_core: Patterns = ()
    runner_sandbox: Patterns = ()
    validator: Patterns = ()


class Language(Rules):
    """How one language looks.

    Attributes:
        extensions: of its source files, without the dot.
        tests: paths of its tests, in gitignore syntax; ``dependency`` alike.
        network: words of a source line that open or use a connection, matched whole.
    """

    extensions: Annotated[Patterns, Field(min_length=1)]
    tests: Patterns = ()
    dependency: Patterns = ()
    network: Patterns = ()


class RiskPolicy(Rules):
    """The table ``[risk]`` (domain.md §10): up to ``low`` is low, up to ``medium`` is medium."""

    low: Points
    medium: Points
    large_deletion_lines: Count
    low_coverage_percent: Points
    changed_lines_per_50: Steps
    files_touched_per_3: Steps
    points: RiskPoints
    patterns: RiskPatterns
    languages: Mapping[str, Language]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.medium:
            raise ValueError("low must not lie above medium")
        return self


class PathPolicy(Rules):
    """The table ``[paths]`` (domain.md §9): gitignore patterns that are always forbidden."""

    forbidden: Annotated[Patterns, Field(min_length=1, max_length=_MAX_PATTERNS)]

    @model_validator(mode="after")
    def _adds_only(self) -> Self:
        if any(each.lstrip().startswith("!") for each in self.forbidden):
            raise ValueError("a forbidden path is never a negation")
        return self


class MergePolicyLimits(Rules):
    """The table ``[auto_merge]`` (domain.md §12): how far merging without a person may go."""

    enabled: StrictBool
    max_risk_score: Points
    max_changed_lines: Count


class ReworkLimits(Rules):
    """The table ``[rework]``: rework after merging (§3) and by the reviewer (§11)."""

    after_merge: Count
    review_cycles: Count
    lost_infrastructure: Positive


class Limits(Rules):
    """The table ``[limits]``: time-outs in seconds, and how much runs side by side."""

    coder_seconds: Seconds
    kill_after_seconds: Seconds
    stop_seconds: Seconds
    stall_mark_seconds: Seconds
    stall_hold_seconds: Seconds
    planner_repairs: Count
    validator_seconds: Seconds
    validator_retries: Annotated[StrictInt, Field(ge=0, le=10)]
    capability_seconds: Seconds
    parallel_runs: Annotated[StrictInt, Field(ge=1, le=64)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.stall_mark_seconds > self.stall_hold_seconds:
            raise ValueError("stall_mark_seconds must not lie above stall_hold_seconds")
        return self


class Policy(Rules):
    """All rules that are data."""

    clarification: ClarificationPolicy
    risk: RiskPolicy
    paths: PathPolicy
    auto_merge: MergePolicyLimits
    rework: ReworkLimits
    limits: Limits
    budgets: Budgets


def load_policy(overrides: Mapping[str, Any] | None = None) -> Policy:
    """The packaged policy with ``overrides`` laid over it, table by table.

    Args:
        overrides: nested tables as in the policy file. A list takes the place of the packaged
            one, but for ``paths.forbidden``, which is added to it (domain.md §9).

    Raises:
        Invalid: a key does not exist or its value does not fit; ``data["field"]`` names it.
        Broken: the packaged file itself does not fit.
    """
    try:
        packaged = _packaged()
    except ValidationError as error:
        raise Broken("The packaged policy does not fit its model.", data=_where(error)) from error
    if not overrides:
        return packaged
    tables = deepcopy(_tables())
    _lay_over(tables, overrides, ())
    try:
        return Policy.model_validate(tables)
    except ValidationError as error:
        found = _where(error)
        raise Invalid(
            found["field"],
            f"The policy's {found['field']} does not fit: {found['problem']}.",
            recovery="Correct this key in the repo's policy, or leave it out.",
        ) from error


@lru_cache(maxsize=1)
def _packaged() -> Policy:
    return Policy.model_validate(_tables())


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    text = files("resources").joinpath("policy.toml").read_text(encoding="utf-8")
    return tomllib.loads(text, parse_float=Decimal)


def _lay_over(tables: dict[str, Any], values: Mapping[str, Any], at: tuple[str, ...]) -> None:
    for key, value in values.items():
        if not isinstance(key, str):
            raise Invalid(
                _dotted((*at, repr(key))),
                "A key of the policy must be text.",
                recovery="Put the key in quotes.",
            )
        here = (*at, key)
        below = tables.get(key)
        if here in _EXTENDED:
            tables[key] = [*tables[key], *_listed(value, here)]
        elif isinstance(below, dict) and isinstance(value, Mapping):
            _lay_over(below, value, here)
        else:
            tables[key] = value


def _listed(value: Any, at: tuple[str, ...]) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise Invalid(
            _dotted(at),
            f"The policy's {_dotted(at)} must be a list of patterns.",
            recovery="Write it as a list; its entries are added to the defaults.",
        )
    return value


def _where(error: ValidationError) -> dict[str, str]:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return {"field": _dotted(first["loc"]) or "policy", "problem": first["msg"]}


def _dotted(parts: Sequence[str | int]) -> str:
    return ".".join(str(each) for each in parts)
