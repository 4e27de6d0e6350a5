"""Holds: what each code means to an operator, which recoveries it has, and how they act (§15).

A recovery never pretends: it resolves the hold and lets the real step run again, and the same hold
comes back when its cause is still there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import select

from core.desk import OPERATOR, Desk
from core.errors import Invalid, NotFound, Refused
from core.journal.envelope import Event
from core.journal.events.mission import MissionFailed, TaskFailed, TaskRetried
from core.journal.events.session import PlannerAsked
from core.journal.events.shared import HoldResolved
from core.journal.tables import HoldRow, table_of
from core.missions.rework import rework_events
from core.missions.state import Hold, MissionState
from core.operations import Params, View, operation
from core.planning.sessions import SessionState


@dataclass(frozen=True, slots=True)
class Recovery:
    """What an operator can do about a hold; the first action is the default one."""

    title: str
    actions: tuple[str, ...]
    sentence: str


_RETRY = ("retry",)
_TASK = ("retry", "rework", "discard", "give_up")
_PATHS = ("rework", "discard", "give_up")
RECOVERIES: Mapping[str, Recovery] = {
    "HOLD-NO-PLANNER-CLI": Recovery(
        "No planner is installed",
        _RETRY,
        "Install the Claude CLI or set providers.claude.cli, then retry.",
    ),
    "HOLD-PLANNER-AUTH": Recovery(
        "The planner is not logged in",
        _RETRY,
        "Log in with the Claude CLI, or store a token: 'cockpit secret set claude_oauth_token'.",
    ),
    "HOLD-PLANNER-CLI": Recovery(
        "The planner stopped with an error", _RETRY, "Read its stderr, then retry."
    ),
    "HOLD-PLANNER-STRUCTURE": Recovery(
        "The planner gave no usable plan", _RETRY, "Retry, or say more in the conversation."
    ),
    "HOLD-TARGET-REPO-UNAVAILABLE": Recovery(
        "This repository can't be used", _RETRY, "Repair or choose the repository, then retry."
    ),
    "HOLD-DOCKER-UNAVAILABLE": Recovery(
        "No sealed runner is available",
        _RETRY,
        "Allow this repository to run agents on the host: "
        "'cockpit repo set NAME runner.host true'.",
    ),
    "HOLD-CLAUDE-AUTH-IN-DOCKER": Recovery(
        "Claude can't sign in",
        _RETRY,
        "Make a token with 'claude setup-token' and store it: "
        "'cockpit secret set claude_oauth_token'.",
    ),
    "HOLD-SETUP-FAILED": Recovery(
        "Set-up of this repository failed",
        ("retry", "give_up"),
        "Read the log, change the commands with 'cockpit repo set', then retry.",
    ),
    "HOLD-VAULT-LOCKED": Recovery(
        "The secret vault is locked", _RETRY, "Unlock it with 'cockpit vault unlock'."
    ),
    "HOLD-RATE-LIMIT": Recovery(
        "Subscription limit reached", ("resume",), "It resumes by itself at the time shown."
    ),
    "HOLD-CODER-FAILED": Recovery(
        "The coder made no usable change", _TASK, "Read the log; retry, rework, or give up."
    ),
    "HOLD-CODER-TIMEOUT": Recovery(
        "The coder ran out of time",
        ("retry", "discard", "give_up"),
        "Retry, or raise coder.timeout_seconds first.",
    ),
    "HOLD-STALLED": Recovery(
        "Nothing has happened for 30 min", ("retry", "discard", "give_up"), "Read the log, retry."
    ),
    "HOLD-MERGE-CONFLICT": Recovery(
        "The task does not merge", ("discard", "give_up"), "Do the task again on the new tip."
    ),
    "HOLD-EVIDENCE-INCOMPLETE": Recovery(
        "Evidence could not be computed", ("retry", "give_up"), "Read the cause, then retry."
    ),
    "HOLD-VALIDATOR-CONFIG": Recovery(
        "A validator family is missing",
        _RETRY,
        "Store its key: 'cockpit secret set openai_api_key' or 'gemini_api_key'.",
    ),
    "HOLD-VALIDATOR-DISAGREE": Recovery(
        "The validators disagree",
        ("rework",),
        "Compare both; ask for rework with 'cockpit mission rework'. It is never overridden.",
    ),
    "HOLD-REVIEW-LOOP": Recovery(
        "Rework limit reached", ("give_up",), "Make the task smaller, or take it over yourself."
    ),
    "HOLD-BUDGET": Recovery(
        "Budget reached", _RETRY, "Wait, or raise the cap: 'cockpit config set budgets.…'."
    ),
    "HOLD-DISK-SPACE": Recovery("Disk space is low", _RETRY, "Free space, then retry."),
    "HOLD-GITHUB-AUTH": Recovery(
        "The remote refused the credential",
        _RETRY,
        "Store a token: 'cockpit secret set github_token'.",
    ),
    "HOLD-REMOTE-MOVED": Recovery(
        "The base branch has moved", ("retry",), "Start a new mission on the new base."
    ),
    "HOLD-CRASH-RECOVERED": Recovery(
        "A run was lost in a restart",
        ("retry", "discard", "give_up"),
        "Retry the task in the worktree as it was left, or discard it.",
    ),
    "HOLD-SECRET-DETECTED": Recovery(
        "A secret is in the diff", _PATHS, "Open the diff; rework or discard. Nothing was merged."
    ),
    "HOLD-FORBIDDEN-PATH": Recovery(
        "A forbidden path was touched",
        _PATHS,
        "Open the diff; rework or discard. Nothing was merged.",
    ),
}
_UNKNOWN = Recovery("Something waits for you", _RETRY, "Read the facts, then retry.")


class ListHolds(Params):
    """Which holds."""

    resolved: Annotated[bool, Field(description="Resolved ones too")] = False


class HoldParams(Params):
    """One hold."""

    hold: Annotated[str, Field(description="Hold id, such as h-4T9K2QX0ZB")]


class RecoverHold(Params):
    """One recovery of one hold."""

    hold: Annotated[str, Field(description="Hold id")]
    action: Annotated[str, Field(description="One of the hold's actions; default: the first")] = ""
    text: Annotated[str, Field(max_length=10_000, description="Findings, for rework")] = ""


class HoldView(View):
    """A hold with its sentence and its recoveries."""

    id: str
    code: str
    title: str
    stream: str
    subject: str
    since: str
    resumes_at: str | None
    resolved_at: str | None
    action: str
    facts: dict[str, Any]
    actions: tuple[str, ...]
    recovery: str


class HoldsView(View):
    """Holds, newest first."""

    holds: tuple[HoldView, ...]


def recovery_of(code: str) -> Recovery:
    """What can be done about a hold of that code."""
    return RECOVERIES.get(code, _UNKNOWN)


def _view(row: Mapping[Any, Any]) -> HoldView:
    known = recovery_of(row["code"])
    return HoldView(
        id=row["id"],
        code=row["code"],
        title=known.title,
        stream=row["stream"],
        subject=row["subject"],
        since=row["raised_at"].isoformat(),
        resumes_at=row["resumes_at"].isoformat() if row["resumes_at"] else None,
        resolved_at=row["resolved_at"].isoformat() if row["resolved_at"] else None,
        action=row["action"],
        facts=dict(row["facts"]),
        actions=known.actions,
        recovery=known.sentence,
    )


@operation("hold.list", "read")
async def list_holds(desk: Desk, params: ListHolds) -> HoldsView:
    """What waits, and why."""
    table = table_of(HoldRow)
    query = select(table).order_by(table.c.raised_at.desc()).limit(500)
    if not params.resolved:
        query = query.where(table.c.resolved_at.is_(None))
    with desk.journal.query() as connection:
        rows = connection.execute(query).mappings().all()
    return HoldsView(holds=tuple(_view(dict(row)) for row in rows))


@operation("hold.show", "read")
async def show_hold(desk: Desk, params: HoldParams) -> HoldView:
    """One hold with its facts and recoveries."""
    return _find(desk, params.hold)


def _find(desk: Desk, hold: str) -> HoldView:
    table = table_of(HoldRow)
    with desk.journal.query() as connection:
        row = connection.execute(select(table).where(table.c.id == hold)).mappings().first()
    if row is None:
        raise NotFound("hold", hold)
    return _view(dict(row))


@operation("hold.recover", "write")
async def recover_hold(desk: Desk, params: RecoverHold) -> HoldView:
    """Do what a hold needs, and let the work go on."""
    found = _find(desk, params.hold)
    if found.resolved_at is not None:
        raise Refused("HOLD_NOT_ACTIVE", f"Hold {found.id} was resolved.", data={"hold": found.id})
    action = params.action or found.actions[0]
    if action not in found.actions:
        raise Invalid(
            "action",
            f"{found.code} has no recovery {action!r}.",
            recovery=f"Choose one of: {', '.join(found.actions)}.",
        )
    if action == "rework" and len(params.text.strip()) < 3:
        raise Invalid("text", "Rework needs findings.", recovery="Say what is to be changed.")
    await _recover(desk, found, action, params.text)
    return _find(desk, params.hold)


async def _recover(desk: Desk, found: HoldView, action: str, text: str) -> None:
    kind, _, name = found.stream.partition(":")
    again = found.facts.get("operation")
    resolved = HoldResolved(hold=found.id, action=action)
    if again:
        await desk.write(found.stream, [resolved], actor=OPERATOR)
        await desk.call(again["name"], again["params"])
    elif kind == "session":
        state = desk.session(name)
        await desk.write(found.stream, [resolved, *_ask_again(desk, state, found)], actor=OPERATOR)
    else:
        await desk.decide(
            found.stream, lambda s: [resolved, *_task_events(s, s.holds[found.id], action, text)]
        )


def _ask_again(desk: Desk, state: SessionState, found: HoldView) -> list[Event]:
    step = found.facts.get("step", "converse")
    if state.asks:
        return []
    return [PlannerAsked(call=desk.context.short_id("r"), step=step, attempt=1)]


def _task_events(state: MissionState, hold: Hold, action: str, text: str) -> Sequence[Event]:
    """What the recovery of a task's hold does to the task."""
    if hold.code == "HOLD-VALIDATOR-DISAGREE":
        return rework_events(state, (text.strip(),), task="", answered=hold.id)
    task = state.tasks.get(hold.subject)
    if task is None or task.state != "held":
        return []
    if action == "give_up":
        reason = f"given up after {hold.code}"
        return [TaskFailed(task=task.id, reason=reason), MissionFailed(reason=reason)]
    findings = (*task.findings, *_findings(state, hold, text))
    return [TaskRetried(task=task.id, findings=findings, discard=action == "discard")]


def _findings(state: MissionState, hold: Hold, text: str) -> tuple[str, ...]:
    """What the next attempt is told: the operator's words and what the harness measured."""
    run = state.runs.get(str(hold.facts.get("run", "")))
    measured = [
        f"{command['name']} ({command['line']}): {command['status']}, exit {command['exit_code']}"
        for command in (run.commands if run else ())
        if command.get("status") not in ("passed", None)
    ]
    said = [f"The operator says: {text.strip()}"] if text.strip() else []
    held = [f"The attempt ended in {hold.code}: {hold.facts.get('error', '')}"]
    return ("\n".join([*held, *measured, *said]),)
