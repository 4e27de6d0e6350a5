"""The page ``docs/risk.md``, made from the policy so that it cannot differ from it. Pure."""

from collections.abc import Iterator, Sequence

from core.judgement.risk import FACTORS
from core.policy import Policy, RiskPolicy

_SIZES = ("changed_lines_per_50", "files_touched_per_3")


def risk_page(policy: Policy) -> str:
    """The rubric, its weights and its patterns as Markdown (domain.md §10)."""
    return "\n".join((*_rubric(policy.risk), *_paths(policy), *_languages(policy.risk)))


def _rubric(risk: RiskPolicy) -> Iterator[str]:
    yield "# Risk\n"
    yield "Made from `resources/policy.toml`; a test compares the two.\n"
    yield f"A score of 0 to 100. Up to {risk.low} is low, up to {risk.medium} medium, above high.\n"
    yield "| factor | points |\n|---|---|"
    for name in FACTORS:
        if name in _SIZES:
            steps = getattr(risk, name)
            yield f"| {name} | {steps.points} a step of {steps.per}, at most {steps.most} |"
        else:
            yield f"| {name} | {getattr(risk.points, name)} |"
    yield f"\nA large deletion has more than {risk.large_deletion_lines} deleted lines."
    yield f"Coverage of changed lines is low below {risk.low_coverage_percent} %, where measured."
    yield "Lines are added plus deleted ones; the first 50 lines and the first file are free.\n"


def _paths(policy: Policy) -> Iterator[str]:
    yield "## Paths in any language\n"
    yield f"* forbidden: {_listed(policy.paths.forbidden)}"
    for name, patterns in policy.risk.patterns:
        yield f"* {name}: {_listed(patterns)}"
    yield ""


def _languages(risk: RiskPolicy) -> Iterator[str]:
    yield "## Languages\n"
    for name, language in risk.languages.items():
        yield f"### {name}\n"
        for title, values in language:
            yield f"* {title}: {_listed(values)}"
        yield ""


def _listed(values: Sequence[str]) -> str:
    return ", ".join(f"`{each}`" for each in values) or "none"
