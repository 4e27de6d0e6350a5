"""One line for each event that a person who watches wants to hear of; the rest is silence.

The core emits kinds and values; sentences are made here, at the edge.
"""

from collections.abc import Callable, Mapping
from typing import Any

Payload = Mapping[str, Any]
_STEPS = {
    "prepare": "Preparing a worktree",
    "code": "Coding",
    "commit": "Committing",
    "test": "Testing",
    "evidence": "Computing evidence",
    "review": "Reviewing",
    "merge": "Merging into the mission branch",
    "package": "Measuring the whole mission",
    "validate": "Validating",
    "decide": "Deciding",
    "gate": "Asking the gate",
    "push": "Pushing the branch",
    "pull_request": "Opening the draft pull request",
}


def sentence(event: Mapping[str, Any]) -> str:
    """The sentence of an event; empty when there is none."""
    make = _SENTENCES.get(event["kind"])
    return make(event["payload"]) if make else ""


def _step(payload: Payload) -> str:
    what = _STEPS.get(payload["step"], payload["step"])
    if payload["task"]:
        return f"{payload['task']}: {what}"
    return f"{what}: {payload['subject']}" if payload["subject"] else str(what)


def _criterion(payload: Payload) -> str:
    return f"Criterion {payload['criterion']} ({payload['source']}): {payload['text']}"


def _tested(payload: Payload) -> str:
    commands = payload["commands"]
    if not commands:
        return "No commands are configured"
    return ", ".join(f"{c['name']} {c['status']}{_counts(c)}" for c in commands)


def _counts(command: Payload) -> str:
    counts = command.get("counts") or {}
    if not counts:
        return ""
    return f" ({counts.get('passed', 0)} passed, {counts.get('failed', 0)} failed)"


def _evidenced(payload: Payload) -> str:
    problems = ", ".join(payload["problems"])
    size = f"{payload['files']} files, +{payload['added']} -{payload['deleted']}"
    found = f", problems: {problems}" if problems else ""
    return f"Evidence {payload['digest'][:12]}: {size}{found}"


def _packaged(payload: Payload) -> str:
    risk = f"risk {payload['risk_score']} ({payload['risk_level']})"
    return f"Mission evidence {payload['digest'][:12]}: {risk}"


def _verdict(payload: Payload) -> str:
    cause = f" ({payload['cause']})" if payload["cause"] else ""
    return f"{payload['family']} says {payload['verdict']}{cause}: {payload['summary']}"


def _decided(payload: Payload) -> str:
    causes = ", ".join(payload["causes"])
    lifted = " (lifted by your approval)" if payload["lifted_by"] else ""
    return f"Decision: {payload['decision']}{lifted}{' because of ' + causes if causes else ''}"


def _gate(payload: Payload) -> str:
    return "The gate is open" if payload["open"] else f"The gate is closed: {payload['code']}"


def _questions(payload: Payload) -> str:
    return "; ".join(f"? {q['text']['en']}" for q in payload["questions"])


def _hold(payload: Payload) -> str:
    error = payload["facts"].get("error", "")
    resumes = f", resumes at {payload['resumes_at']}" if payload["resumes_at"] else ""
    return f"HOLD {payload['code']}{resumes}: {error}"


_SENTENCES: Mapping[str, Callable[[Payload], str]] = {
    "session.started": lambda p: f"Brainstorm in {p['repo']}: {p['title']}",
    "message.added": lambda p: f"{p['author']}: {p['text']}" if p["author"] == "planner" else "",
    "criterion.added": _criterion,
    "clarification.asked": _questions,
    "session.ready": lambda p: f"The request is clear (ambiguity {p['score']} of 100)",
    "session.clarifying": lambda p: f"The request is ambiguous: {p['score']} of 100",
    "planner.asked": lambda p: "The planner reads" if p["step"] == "converse" else "Planning",
    "session.planned": lambda p: f"Plan v{p['version']} with {len(p['plan']['tasks'])} tasks",
    "mission.approved": lambda p: f"Plan v{p['version']} is approved and pinned",
    "mission.started": lambda p: f"Started on {p['base'][:12]}, runs on the {p['where']}",
    "task.started": lambda p: f"{p['task']}: assigned, attempt {p['attempt']}",
    "step.started": _step,
    "run.tested": _tested,
    "run.evidenced": _evidenced,
    "run.failed": lambda p: f"The coder ended: {p['end']}: {p['error']}",
    "run.stalled": lambda p: f"No output for {p['silent_seconds']:.0f} s",
    "task.done": lambda p: f"{p['task']}: done, {p['commit'][:12]}",
    "hold.raised": _hold,
    "hold.resolved": lambda p: f"Hold solved ({p['action']})",
    "approval.requested": lambda p: f"Waits for your approval: {p['approval_kind']}",
    "mission.packaged": _packaged,
    "verdict.recorded": _verdict,
    "mission.decided": _decided,
    "gate.checked": _gate,
    "branch.pushed": lambda p: f"Pushed {p['branch']} at {p['commit'][:12]}",
    "pull_request.opened": lambda p: f"Draft pull request #{p['number']}: {p['url']}",
    "mission.cancelled": lambda p: f"Stopped: {p['reason']}",
    "mission.failed": lambda p: f"Failed: {p['reason']}",
    "mission.done": lambda p: f"The mission is {p['outcome']}",
}
