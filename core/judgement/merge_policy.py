"""The merge policy (domain.md §12): a table of rules, the first that holds decides.

Pure. What is not known counts against: only an evidence approval lifts, and only what it may lift.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.judgement.risk import Level
from core.policy import MergePolicyLimits

DecisionKind = Literal["AUTO_MERGE", "WAITING", "BLOCKED"]
CommandStatus = Literal["passed", "failed", "failing_before", "not_configured", "not_runnable"]
VerdictKind = Literal["pass", "fail", "inconclusive"]

NEEDED_PASSES = 2
TEST_COMMAND = "test"


@dataclass(frozen=True, slots=True)
class FamilyVerdict:
    """The newest verdict of one family; older ones are not handed in.

    ``stale`` when its digest is not the package's. A stale fail still blocks.
    """

    family: str
    verdict: VerdictKind
    stale: bool = False


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """Everything the policy looks at, for one mission package.

    Attributes:
        digest: of the package; decisions and approvals are bound to it.
        commands: the status of each of the repo's own commands (§8). Without an entry ``test``
            tests are not configured.
        coder_family: the family of the coder's model; empty (unknown) never auto-merges.
        ui_command: the repo has a command that shows its UI; ``screenshots`` came of it.
        checkpoint_open: a task's checkpoint waits for its approval.
    """

    digest: str
    risk: Level
    secret: bool
    forbidden_path: bool
    coder_family: str
    verdicts: tuple[FamilyVerdict, ...] = ()
    commands: Mapping[str, CommandStatus] = field(default_factory=dict)
    ui_command: bool = False
    screenshots: int = 0
    checkpoint_open: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The policy's answer for one digest.

    Attributes:
        causes: the ids of all rules that hold, in the order of the table.
        first: the cause that decided; empty for AUTO_MERGE.
    """

    kind: DecisionKind
    causes: tuple[str, ...]
    first: str
    digest: str

    @property
    def liftable(self) -> bool:
        """Whether an evidence approval could lift it: then one is requested."""
        return self.kind == "WAITING" and bool(self.causes) and LIFTABLE.issuperset(self.causes)


@dataclass(frozen=True, slots=True)
class ApprovalFacts:
    """An approval as it stands (domain.md §3)."""

    id: str
    kind: str
    state: str
    digest: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the policy."""

    id: str
    holds: Callable[[DecisionFacts], bool]
    decision: DecisionKind


def _statuses(facts: DecisionFacts) -> set[CommandStatus]:
    tests: CommandStatus = facts.commands.get(TEST_COMMAND, "not_configured")
    others = {each for name, each in facts.commands.items() if name != TEST_COMMAND}
    return {tests} | (others - {"not_configured"})


def _has_status(status: CommandStatus) -> Callable[[DecisionFacts], bool]:
    return lambda facts: status in _statuses(facts)


def _has_verdict(verdict: VerdictKind) -> Callable[[DecisionFacts], bool]:
    return lambda facts: any(each.verdict == verdict for each in facts.verdicts)


def _passes(facts: DecisionFacts) -> list[str]:
    return [
        _family(each.family) for each in facts.verdicts if each.verdict == "pass" and not each.stale
    ]


def _family(name: str) -> str:
    return name.strip().casefold()


def _families_not_distinct(facts: DecisionFacts) -> bool:
    coder = _family(facts.coder_family)
    others = set(_passes(facts)) - {coder, ""}
    return not coder or len(others) < NEEDED_PASSES


RULES: tuple[Rule, ...] = (
    Rule("secret", lambda facts: facts.secret, "BLOCKED"),
    Rule("forbidden_path", lambda facts: facts.forbidden_path, "BLOCKED"),
    Rule("risk_high", lambda facts: facts.risk not in ("low", "medium"), "BLOCKED"),
    Rule("validator_fail", _has_verdict("fail"), "BLOCKED"),
    Rule("command_failed", _has_status("failed"), "BLOCKED"),
    Rule("no_verdict", lambda facts: not facts.verdicts, "WAITING"),
    Rule("validator_inconclusive", _has_verdict("inconclusive"), "WAITING"),
    Rule("verdict_stale", lambda facts: any(each.stale for each in facts.verdicts), "WAITING"),
    Rule("too_few_passes", lambda facts: len(_passes(facts)) < NEEDED_PASSES, "WAITING"),
    Rule("families_not_distinct", _families_not_distinct, "WAITING"),
    Rule("tests_failing_before", _has_status("failing_before"), "WAITING"),
    Rule("tests_not_configured", _has_status("not_configured"), "WAITING"),
    Rule("tests_not_runnable", _has_status("not_runnable"), "WAITING"),
    Rule("screenshot_missing", lambda facts: facts.ui_command and facts.screenshots < 1, "WAITING"),
    Rule("checkpoint_open", lambda facts: facts.checkpoint_open, "WAITING"),
    Rule("risk_medium", lambda facts: facts.risk == "medium", "WAITING"),
)

LIFTABLE = frozenset(
    {"risk_medium", "tests_failing_before", "tests_not_configured", "tests_not_runnable"}
)


def decide(facts: DecisionFacts) -> Decision:
    """The first rule that holds decides; without one it is AUTO_MERGE (domain.md §12)."""
    holding = [rule for rule in RULES if rule.holds(facts)]
    if not holding:
        return Decision("AUTO_MERGE", (), "", facts.digest)
    causes = tuple(rule.id for rule in holding)
    return Decision(holding[0].decision, causes, causes[0], facts.digest)


def lifted_by(decision: Decision, approvals: Iterable[ApprovalFacts]) -> str:
    """The id of the evidence approval that lifts ``decision``, or an empty string.

    It must be an approved evidence approval of this very digest, and every cause of the decision
    must be one that may be lifted (domain.md §12).
    """
    if not decision.liftable or not decision.digest:
        return ""
    for each in approvals:
        if each.kind == "evidence" and each.state == "approved" and each.digest == decision.digest:
            return each.id
    return ""


@dataclass(frozen=True, slots=True)
class MergeFacts:
    """What merging itself looks at, beyond the decision."""

    risk_score: int
    changed_lines: int
    ci_green: bool
    remote_writes: bool


def merge_refusals(
    decision: Decision, facts: MergeFacts, limits: MergePolicyLimits
) -> tuple[str, ...]:
    """Why the pull request is not merged without a person; empty when it may be (§12)."""
    checks = {
        "auto_merge_disabled": limits.enabled is True,
        "not_auto_merge": decision.kind == "AUTO_MERGE",
        "risk_score_above_limit": facts.risk_score <= limits.max_risk_score,
        "changed_lines_above_limit": facts.changed_lines <= limits.max_changed_lines,
        "ci_not_green": facts.ci_green is True,
        "remote_writes_disabled": facts.remote_writes is True,
    }
    return tuple(code for code, fits in checks.items() if not fits)
