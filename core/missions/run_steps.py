"""The steps of one run: prepare, code, commit, test, evidence, merge, and how a run is held.

Each is repeatable after a crash. Rules are elsewhere; this only calls ports and names outcomes.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.context import MissionId, RunId, TaskId
from core.desk import Desk
from core.errors import Refused, Unavailable
from core.journal.envelope import Event
from core.journal.events.mission import (
    MissionFailed,
    TaskDone,
    TaskFailed,
    TaskHeld,
    TaskRetried,
    TaskStarted,
)
from core.journal.events.run import (
    RunCoded,
    RunCommitted,
    RunEvidenced,
    RunFailed,
    RunMerged,
    RunPrepared,
    RunStalled,
    RunTested,
)
from core.journal.events.shared import ApprovalRequested
from core.judgement.evidence import run_package
from core.judgement.measuring import command_facts, measure
from core.ledger.spending import require_call, usage_events
from core.missions.coder import CoderCall
from core.missions.hold_events import hold_events
from core.missions.state import MissionState, Run, Task
from core.missions.steps import Step
from core.missions.workshop import RepoRef
from core.planning.planner import AgentResult, resumes_at
from core.planning.prompts import CoderBrief, TaskBrief, coder_prompt, coder_role
from core.repos.settings import commands_of, from_snapshot
from core.tasks import spawn

MAX_LOST = 3
_HOLD_OF_END: Mapping[str, str] = {
    "failed": "HOLD-CODER-FAILED",
    "stopped": "HOLD-CODER-FAILED",
    "timed_out": "HOLD-CODER-TIMEOUT",
    "stalled": "HOLD-STALLED",
    "rate_limited": "HOLD-RATE-LIMIT",
    "auth_failed": "HOLD-CLAUDE-AUTH-IN-DOCKER",
    "cli_missing": "HOLD-NO-PLANNER-CLI",
}


def repo_of(desk: Desk, state: MissionState) -> RepoRef:
    """The mission's repository, with the base branch that was pinned at its start."""
    repo = desk.repo(state.repo)
    return RepoRef(repo.id, Path(repo.path), state.base_branch or repo.base_branch)


def worktree_name(state: MissionState, task: str) -> str:
    """One worktree a task; rework before merging goes on in it (domain.md §3)."""
    return f"{state.id}-{task}"


async def assign(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Give the task a run."""
    task = state.tasks[step.task]
    run = desk.context.short_id("r")
    return [TaskStarted(task=task.id, run=run, attempt=task.attempts + 1)]


async def checkpoint(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Ask before a task that touches schema, dependencies, security, CI or much else (§5)."""
    task = state.tasks[step.task]
    return [
        ApprovalRequested(
            approval=desk.context.short_id("a"),
            approval_kind="checkpoint",
            subject=task.id,
            digest=state.digest,
            version=state.approved_version,
            reasons=task.planned.checkpoint,
        )
    ]


async def prepare(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Lay the worktree from the tip that contains all finished dependencies; run set-up."""
    run, task = _run_and_task(state, step)
    await require_space(desk)
    repo = repo_of(desk, state)
    earlier = _earlier(state, run)
    keep = earlier is not None and not task.discard
    base = earlier.base if earlier is not None and keep else state.head
    name = worktree_name(state, task.id)
    worktree = await desk.ports.workshop.checkout(repo, name, base, keep=keep)
    setup: tuple[Mapping[str, Any], ...] = ()
    if earlier is None or not earlier.setup:
        setup = await _set_up(desk, state, run, worktree)
    return [RunPrepared(run=run.id, base=base, worktree=name, setup=tuple(map(dict, setup)))]


async def require_space(desk: Desk) -> None:
    """Refuse to lay a worktree on a disk that is nearly full.

    Raises:
        Unavailable: ``HOLD-DISK-SPACE``.
    """
    floor = desk.settings.system.disk_floor_mb
    free = (await desk.aside(lambda: shutil.disk_usage(desk.folders.data))).free // (1 << 20)
    if free < floor:
        raise Unavailable(
            "HOLD-DISK-SPACE",
            f"{free} MB are free and {floor} MB are to be kept free.",
            recovery="Free some space, or lower system.disk_floor_mb.",
            data={"free_mb": free, "floor_mb": floor},
        )


def _earlier(state: MissionState, run: Run) -> Run | None:
    """The newest earlier run of the same task that had a worktree."""
    found = [r for r in state.runs.values() if r.task == run.task and r.id != run.id and r.base]
    return found[-1] if found else None


async def _set_up(
    desk: Desk, state: MissionState, run: Run, worktree: Path
) -> tuple[Mapping[str, Any], ...]:
    commands = [c for c in commands_of(state.settings) if c.name == "setup"]
    if not commands or not state.host_commands:
        return ()
    results = await desk.ports.harness.run(
        run.id, commands, worktree, desk.run_folder(run.id) / "setup"
    )
    for result in results:
        if result.end != "passed":
            raise Unavailable(
                "HOLD-SETUP-FAILED",
                f"{result.line!r} ended with {result.end}.",
                data={"log": str(result.log), "command": result.line},
            )
    return tuple(command_facts(result) for result in results)


async def code(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Let the coder work in the worktree."""
    run, _ = _run_and_task(state, step)
    await require_call(
        desk,
        repo=state.repo,
        mission=state.id,
        role="coder",
        rehearsal=bool(state.rehearsal),
        call=f"{run.id}:code",
    )
    call = await _call(desk, state, run)

    def on_stall(silent: float) -> None:
        spawn(
            desk.write(
                f"mission:{state.id}",
                [RunStalled(run=run.id, silent_seconds=silent)],
                actor="harness",
                key=f"{run.id}:stalled",
            ),
            name=f"stalled {run.id}",
        )

    result = await desk.ports.coder.run(call, on_stall)
    return _coded(desk, state, run, result)


async def find_coder(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """After a crash: take the result of a run that had ended, or say that it is lost."""
    run, _ = _run_and_task(state, step)
    result = await desk.ports.coder.find(await _call(desk, state, run))
    if result is None:
        return hold_events(
            desk,
            step,
            "HOLD-CRASH-RECOVERED",
            {"run": run.id, "step": "code", "error": "The run was under way when we went down."},
        )
    return _coded(desk, state, run, result)


async def _call(desk: Desk, state: MissionState, run: Run) -> CoderCall:
    task = state.tasks[run.task]
    repo = repo_of(desk, state)
    worktree = await desk.ports.workshop.checkout(
        repo, worktree_name(state, task.id), run.base, keep=True
    )
    limits = desk.policy.limits
    return CoderCall(
        run=RunId(run.id),
        mission=MissionId(state.id),
        task=TaskId(task.id),
        worktree=worktree,
        folder=desk.run_folder(run.id),
        prompt=_prompt(desk, state, run, worktree),
        role=coder_role(),
        model=desk.settings.coder.model or desk.endpoints.model("claude"),
        timeout_seconds=desk.settings.coder.timeout_seconds,
        stall_mark_seconds=limits.stall_mark_seconds,
        stall_hold_seconds=limits.stall_hold_seconds,
        base_url=desk.endpoints.base_url("claude", state.rehearsal),
        rehearsal=bool(state.rehearsal),
    )


def _prompt(desk: Desk, state: MissionState, run: Run, worktree: Path) -> str:
    task = state.tasks[run.task]
    paths = from_snapshot(state.settings).paths
    brief = CoderBrief(
        cwd=str(worktree),
        task=brief_of(task),
        goal=state.goal,
        clarified_spec=desk.blobs.read(state.spec).decode("utf-8"),
        forbidden_paths=(*desk.policy.paths.forbidden, *paths.forbidden),
        allowed_paths=paths.allowed,
        earlier=task.findings,
        attempt=run.attempt,
    )
    return coder_prompt(brief, token=desk.context.token)


def brief_of(task: Task) -> TaskBrief:
    """The task as a prompt tells it."""
    planned = task.planned
    return TaskBrief(
        id=planned.task,
        title=planned.title,
        role=planned.role,
        context_files=planned.context_files,
        write_files=planned.write_files,
        acceptance=planned.acceptance,
        expected_evidence=planned.expected_evidence,
    )


def _coded(desk: Desk, state: MissionState, run: Run, result: AgentResult) -> Sequence[Event]:
    usage = usage_events(
        desk,
        result.usage,
        repo=state.repo,
        mission=state.id,
        task=run.task,
        run=run.id,
        role="coder",
        rehearsal=bool(state.rehearsal),
    )
    if result.end == "finished":
        ended: Event = RunCoded(
            run=run.id,
            exit_code=result.exit_code or 0,
            turns=result.turns,
            duration_ms=result.duration_ms,
        )
    else:
        ended = RunFailed(
            run=run.id,
            end=result.end,
            exit_code=result.exit_code,
            error=result.error,
            resets_at=result.resets_at,
        )
    return [*usage, ended]


async def commit(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Turn the worktree into one commit, before any evidence (domain.md §6)."""
    run, task = _run_and_task(state, step)
    done = await desk.ports.workshop.commit(
        repo_of(desk, state),
        run.worktree,
        base=run.base,
        message=f"{task.id}: {task.planned.title}",
        trailers={
            "Cockpit-Mission": state.id,
            "Cockpit-Task": task.id,
            "Cockpit-Run": run.id,
        },
    )
    return [RunCommitted(run=run.id, commit=done.sha, findings=tuple(map(dict, done.findings)))]


async def test(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Run the repo's own commands on a fresh checkout of the commit, and on its base."""
    run, _ = _run_and_task(state, step)
    assert run.commit is not None
    facts = await measure(
        desk, state, repo_of(desk, state), key=run.id, base=run.base, head=run.commit
    )
    return [RunTested(run=run.id, commands=facts)]


async def evidence(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Compute the run package; its problems keep the commit off the mission branch."""
    run, _ = _run_and_task(state, step)
    package = await run_package(desk, state, run, repo_of(desk, state))
    return [
        RunEvidenced(
            run=run.id,
            digest=package.digest,
            files=package.files,
            added=package.added,
            deleted=package.deleted,
            problems=package.problems,
        )
    ]


async def merge(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Let the commit join the mission branch."""
    run, _ = _run_and_task(state, step)
    assert run.commit is not None
    joined = await desk.ports.workshop.join(
        repo_of(desk, state), state.branch, run.commit, start=state.base
    )
    if joined.tip is None:
        raise Refused(
            "HOLD-MERGE-CONFLICT",
            "The task's commit does not merge into the mission branch.",
            data={"paths": list(joined.conflicts)[:50]},
        )
    return [RunMerged(run=run.id, commit=run.commit, tip=joined.tip)]


async def finish(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """The task is done; its worktree is no longer needed."""
    run, task = _run_and_task(state, step)
    assert run.commit is not None
    await desk.ports.workshop.discard(repo_of(desk, state), run.worktree)
    return [TaskDone(task=task.id, commit=run.commit)]


async def hold(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """A run that ended badly: another run for a loss, else the hold that says what is needed."""
    run, task = _run_and_task(state, step)
    if run.end == "lost":
        if task.lost >= MAX_LOST:
            reason = "the infrastructure was lost three times"
            failed = MissionFailed(reason=f"{task.id}: {reason}")
            return [TaskFailed(task=task.id, reason=reason), failed]
        return _again(task)
    if run.rework:
        return _reworked(desk, state, step, run)
    code_, facts = _why_held(run)
    more: dict[str, Any] = {}
    if code_ == "HOLD-RATE-LIMIT":
        more["resumes_at"] = resumes_at(run.resets_at, desk.context.now())
    return hold_events(desk, step, code_, {**facts, "run": run.id}, **more)


def _reworked(desk: Desk, state: MissionState, step: Step, run: Run) -> Sequence[Event]:
    """The reviewer wants changes: the same worktree again, at most two times (§11)."""
    cycles = sum(1 for each in state.runs.values() if each.task == run.task and each.rework)
    if cycles > desk.policy.rework.review_cycles:
        return hold_events(desk, step, "HOLD-REVIEW-LOOP", {"findings": list(run.rework)})
    return _again(state.tasks[run.task], (f"The reviewer says: {each}" for each in run.rework))


def _again(task: Task, more: Iterable[str] = ()) -> Sequence[Event]:
    """Another run without a question; what was found before is told again."""
    findings = (*task.findings, *more)
    return [TaskHeld(task=task.id, hold=""), TaskRetried(task=task.id, findings=findings)]


def _why_held(run: Run) -> tuple[str, dict[str, Any]]:
    if run.progress == "failed":
        return _HOLD_OF_END[run.end], {"end": run.end, "error": run.error}
    if run.commit is None:
        return "HOLD-CODER-FAILED", {"end": "no_change", "error": "Nothing was changed."}
    for problem, code_ in (
        ("secret", "HOLD-SECRET-DETECTED"),
        ("forbidden_path", "HOLD-FORBIDDEN-PATH"),
        ("tests", "HOLD-CODER-FAILED"),
    ):
        if problem in run.problems:
            return code_, {"problems": list(run.problems), "error": problem}
    return "HOLD-CODER-FAILED", {"problems": list(run.problems)}


def _run_and_task(state: MissionState, step: Step) -> tuple[Run, Task]:
    run = state.runs[step.subject]
    return run, state.tasks[run.task]
