"""The ten checks before anything leaves the machine (domain.md §13), as a table in their order.

Pure: facts in, answer out. A fact that is not exactly true refuses; one that is None stops there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from core.delivery.local_urls import is_local_url

CheckStatus = Literal["passed", "refused", "not_checked"]
CheckId = Literal[
    "remote_writes",
    "repo_listed",
    "repo_enabled",
    "remote_supported",
    "base_on_remote",
    "no_forbidden_path",
    "no_secret",
    "validators",
    "approval",
    "credential",
]


@dataclass(frozen=True, slots=True)
class GateFacts:
    """What is known; None is not evaluated yet.

    Attributes:
        remote_writes: ``system.allow_remote_writes`` in the parsed config.
        remote_supported: the push URL is one that we can push to and open a pull request on.
        base_on_remote: the mission's base is an ancestor of the remote's base branch.
        validators_passed: two passing families for exactly this digest.
        approved: the decision is AUTO_MERGE, or WAITING lifted by an evidence approval.
        credential: there is one, or the remote asks for none.
        rehearsal: the mission is a rehearsal: both URLs must then be local, as the registry
            has them (``insteadOf`` off).
    """

    rehearsal: bool
    remote_writes: bool | None = None
    repo_listed: bool | None = None
    repo_enabled: bool | None = None
    remote_supported: bool | None = None
    base_on_remote: bool | None = None
    no_forbidden_path: bool | None = None
    no_secret: bool | None = None
    validators_passed: bool | None = None
    approved: bool | None = None
    credential: bool | None = None
    push_url: str | None = None
    forge_url: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One row: what is asked, what a refusal is called, and how it is answered."""

    id: CheckId
    question: str
    code: str
    answer: Callable[[GateFacts], bool | None]


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """One line of what the surface shows; ``code`` and ``reason`` only where it refused."""

    id: CheckId
    status: CheckStatus
    code: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """The gate's answer: open only if all ten passed.

    Attributes:
        code: of the first refusal; None when it is open or a fact is still missing.
        reason: ``rehearsal`` where that is why, else empty.
        pending: the check whose fact is missing; empty otherwise.
    """

    open: bool
    code: str | None
    reason: str
    pending: str
    checks: tuple[CheckAnswer, ...]


def _validators(facts: GateFacts) -> bool | None:
    return False if _rehearsal_leaves(facts) else facts.validators_passed


def _rehearsal_leaves(facts: GateFacts) -> bool:
    if facts.rehearsal is False:
        return False
    return not all(
        url is not None and is_local_url(url) for url in (facts.push_url, facts.forge_url)
    )


def _fact(name: str) -> Callable[[GateFacts], bool | None]:
    def answer(facts: GateFacts) -> bool | None:
        value: bool | None = getattr(facts, name)
        return value

    return answer


CHECKS: tuple[Check, ...] = (
    Check(
        "remote_writes",
        "system.allow_remote_writes",
        "REMOTE_WRITES_DISABLED",
        _fact("remote_writes"),
    ),
    Check("repo_listed", "system.remote_write_repos", "REPO_NOT_LISTED", _fact("repo_listed")),
    Check("repo_enabled", "repo.enabled", "REPO_DISABLED", _fact("repo_enabled")),
    Check("remote_supported", "repo.remote", "REMOTE_MISSING", _fact("remote_supported")),
    Check("base_on_remote", "mission.base", "BASE_NOT_ON_REMOTE", _fact("base_on_remote")),
    Check(
        "no_forbidden_path",
        "package.forbidden_paths",
        "FORBIDDEN_PATH",
        _fact("no_forbidden_path"),
    ),
    Check("no_secret", "package.secrets", "SECRET_DETECTED", _fact("no_secret")),
    Check("validators", "package.verdicts", "VALIDATORS_NOT_PASSED", _validators),
    Check("approval", "package.decision", "APPROVAL_REQUIRED", _fact("approved")),
    Check("credential", "remote.credential", "HOLD-GITHUB-AUTH", _fact("credential")),
)


def evaluate(facts: GateFacts) -> GateAnswer:
    """Ask the ten in order; the first that does not pass is the answer (domain.md §13)."""
    answers: list[CheckAnswer] = []
    for check in CHECKS:
        value = check.answer(facts)
        if value is not True:
            break
        answers.append(CheckAnswer(check.id, "passed"))
    if len(answers) == len(CHECKS):
        return GateAnswer(True, None, "", "", tuple(answers))
    stopped = CHECKS[len(answers)]
    rest = tuple(CheckAnswer(each.id, "not_checked") for each in CHECKS[len(answers) + 1 :])
    if stopped.answer(facts) is None:
        missing = CheckAnswer(stopped.id, "not_checked")
        return GateAnswer(False, None, "", stopped.id, (*answers, missing, *rest))
    reason = "rehearsal" if stopped.id == "validators" and _rehearsal_leaves(facts) else ""
    refused = CheckAnswer(stopped.id, "refused", stopped.code, reason)
    return GateAnswer(False, stopped.code, reason, "", (*answers, refused, *rest))
