"""The steps that judge a mission: package, validate, decide. Rules are in their own modules."""

from collections.abc import Sequence
from typing import Any, cast

from core.desk import Desk
from core.journal.envelope import Event
from core.journal.events.delivery import (
    MissionDecided,
    MissionPackaged,
    ValidationSkipped,
    VerdictRecorded,
)
from core.journal.events.shared import ApprovalExpired, ApprovalRequested, HoldRaised
from core.judgement.evidence import mission_package
from core.judgement.judge import JudgeCall, JudgeReply
from core.judgement.measuring import measure
from core.judgement.merge_policy import (
    ApprovalFacts,
    CommandStatus,
    Decision,
    DecisionFacts,
    FamilyVerdict,
    decide,
    lifted_by,
)
from core.judgement.verdicts import Judgement, failed_call, parse_reply, reply_schema
from core.ledger.spending import PROVIDER_OF_FAMILY, require_call, usage_events
from core.missions.run_steps import repo_of
from core.missions.state import MissionState
from core.missions.steps import Step
from core.planning.prompts import validator_instructions
from core.repos.settings import from_snapshot

CODER_FAMILY = "claude"
_MOST_REPLY_TOKENS = 16_000


async def package(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Measure the mission's tip and store the package that everything after binds to."""
    number = state.package_count + 1
    key = f"{state.id}-{number}"
    repo = repo_of(desk, state)
    commands = await measure(desk, state, repo, key=key, base=state.base, head=state.head)
    found = await mission_package(desk, state, repo, number=number, commands=commands)
    risk = found.measured.risk
    events: list[Event] = [
        ApprovalExpired(approval=a.id, reason="newer evidence")
        for a in state.approvals.values()
        if a.kind == "evidence" and a.state == "pending"
    ]
    events.append(
        MissionPackaged(
            number=number,
            digest=found.digest,
            head=state.head,
            risk_score=risk.score,
            risk_level=risk.level,
            factors=tuple(factor.model_dump(mode="json") for factor in risk.factors),
            facts={
                "secret": bool(found.measured.secrets),
                "forbidden_path": bool(found.measured.hits),
                "files": found.files,
                "added": found.added,
                "deleted": found.deleted,
                "commands": {c["name"]: c["status"] for c in commands},
            },
        )
    )
    blocked = [name for name in ("secret", "forbidden_path") if name in found.problems]
    if blocked:
        events.append(ValidationSkipped(digest=found.digest, reason=blocked[0]))
    return events


async def validate(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Let one family judge the package: it sees ``judge-input.json`` and nothing else."""
    assert state.package is not None
    family, judged = step.subject, state.package
    folder = desk.folders.evidence / f"{state.id}-{judged.number}"
    evidence = await desk.aside((folder / "judge-input.json").read_bytes)
    model = desk.endpoints.model(family)
    worst = desk.ports.prices.ceiling(
        PROVIDER_OF_FAMILY[family],
        model,
        input_tokens=len(evidence),
        output_tokens=_MOST_REPLY_TOKENS,
    )
    await require_call(
        desk,
        repo=state.repo,
        mission=state.id,
        role="validator",
        rehearsal=bool(state.rehearsal),
        worst_case_usd=worst,
        worst_case_tokens=len(evidence) + _MOST_REPLY_TOKENS,
    )
    call = JudgeCall(
        evidence=evidence,
        instructions=validator_instructions(),
        schema=reply_schema(),
        model=model,
        timeout_seconds=desk.settings.validators.timeout_seconds,
        retries=desk.settings.validators.retries,
        base_url=desk.endpoints.base_url(family, state.rehearsal),
        rehearsal=bool(state.rehearsal),
    )
    reply = await desk.ports.judges[family].judge(call)
    return _verdict(desk, state, family, reply)


def _verdict(desk: Desk, state: MissionState, family: str, reply: JudgeReply) -> Sequence[Event]:
    assert state.package is not None
    ids = [str(c["id"]) for c in state.criteria]
    found: Judgement = failed_call(reply.failure) if reply.failure else parse_reply(reply.text, ids)
    usage = usage_events(
        desk,
        reply.usage,
        repo=state.repo,
        mission=state.id,
        role="validator",
        rehearsal=bool(state.rehearsal),
    )
    costs = [cast("Any", event).cost_usd for event in usage]
    known = bool(costs) and all(cost is not None for cost in costs)
    recorded = VerdictRecorded(
        digest=state.package.digest,
        family=family,
        provider=PROVIDER_OF_FAMILY[family],
        model=reply.model,
        verdict=found.verdict,
        confidence=found.confidence,
        summary=found.summary[:20_000],
        criteria=tuple(c.model_dump(mode="json") for c in found.criteria),
        blocking_issues=found.blocking_issues[:100],
        non_blocking_issues=found.non_blocking_issues[:100],
        evidence_gaps=found.evidence_gaps[:100],
        cause=found.cause,
        tokens=sum(u.input_tokens + u.output_tokens for u in reply.usage),
        cost_usd=sum(costs) if known else None,
        duration_ms=reply.duration_ms,
    )
    return [*usage, recorded]


async def judge(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Apply the merge policy; ask for an approval where one may lift what waits (§12)."""
    assert state.package is not None
    digest = state.package.digest
    decision = decide(_facts(state))
    lifted = lifted_by(
        decision,
        [ApprovalFacts(a.id, a.kind, a.state, a.digest) for a in state.approvals.values()],
    )
    events: list[Event] = [
        MissionDecided(
            digest=digest, decision=decision.kind, causes=decision.causes, lifted_by=lifted
        )
    ]
    if decision.liftable and not lifted and state.approval_for("evidence", "", digest) is None:
        events.append(_approval(desk, state, decision))
    if _disagree(state) and state.hold_of("") is None:
        events.append(
            HoldRaised(
                hold=desk.context.short_id("h"),
                code="HOLD-VALIDATOR-DISAGREE",
                facts={f: v.verdict for f, v in state.verdicts.items()},
            )
        )
    return events


def _disagree(state: MissionState) -> bool:
    """One family passes and another fails: never overridden (domain.md §15)."""
    return {"pass", "fail"} <= {v.verdict for v in state.verdicts.values()}


def _approval(desk: Desk, state: MissionState, decision: Decision) -> ApprovalRequested:
    return ApprovalRequested(
        approval=desk.context.short_id("a"),
        approval_kind="evidence",
        subject="",
        digest=decision.digest,
        version=state.approved_version,
        reasons=decision.causes,
    )


def _facts(state: MissionState) -> DecisionFacts:
    assert state.package is not None
    found, facts = state.package, state.package.facts
    checkpoints = [a for a in state.approvals.values() if a.kind == "checkpoint"]
    return DecisionFacts(
        digest=found.digest,
        risk=found.risk_level,
        secret=facts.get("secret") is not False,
        forbidden_path=facts.get("forbidden_path") is not False,
        coder_family=CODER_FAMILY,
        verdicts=tuple(
            FamilyVerdict(v.family, v.verdict, stale=v.digest != found.digest)
            for v in state.verdicts.values()
        ),
        commands={n: cast("CommandStatus", s) for n, s in facts.get("commands", {}).items()},
        ui_command=bool(from_snapshot(state.settings).commands.ui),
        screenshots=0,
        checkpoint_open=any(a.state == "pending" for a in checkpoints),
    )
