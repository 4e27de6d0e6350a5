"""Every hold is raised by its real cause and cleared by its recovery (domain.md §15)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.errors import Refused, Unavailable
from core.judgement.judge import JudgeReply
from core.planning.planner import AgentResult, resumes_at
from core.settings import Settings
from core.settings.model import Budgets, System
from tests.fakes import plan_of
from tests.missions import (
    Stage,
    add_repo,
    begin,
    brainstorm,
    hold_of,
    kinds_of,
    mission_until,
    plan,
    recover,
    report,
    session_at,
    start,
    wait_for,
)

pytestmark = pytest.mark.slow


def ended(end: Any, **more: Any) -> AgentResult:
    return AgentResult(end=end, exit_code=1, error="It said why.", **more)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("auth_failed", "HOLD-PLANNER-AUTH"),
        ("cli_missing", "HOLD-NO-PLANNER-CLI"),
        ("failed", "HOLD-PLANNER-CLI"),
        ("timed_out", "HOLD-PLANNER-CLI"),
        ("rate_limited", "HOLD-RATE-LIMIT"),
    ],
)
async def test_a_planner_that_ends_badly_holds_its_session(
    tmp_path: Path, end: Any, code: str
) -> None:
    stage = Stage(tmp_path)
    stage.planner.ends = [ended(end)]
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        session = await brainstorm(core)
        hold = await hold_of(core, f"session:{session.id}", code)
        assert hold.facts["error"] == "It said why."
        await recover(core, hold)
        await session_at(core, session.id)
        ready = await wait_for(
            core, "ready", lambda: core.desk.session(session.id).state == "ready"
        )
        assert ready, report(core)
        assert not core.desk.session(session.id).holds


@pytest.mark.asyncio
async def test_a_planners_rate_limit_ends_by_itself(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    stage.planner.ends = [ended("rate_limited", resets_at=soon)]
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        session = await brainstorm(core)
        await wait_for(core, "ready", lambda: core.desk.session(session.id).state == "ready")
        assert kinds_of(core, f"session:{session.id}").count("hold.resolved") == 1


def test_a_reset_that_is_unknown_or_past_is_not_tried_in_a_loop() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    later = now + timedelta(hours=1)
    assert resumes_at(later, now) == later
    assert resumes_at(None, now) == resumes_at(now, now) == now + timedelta(minutes=5)


@pytest.mark.asyncio
async def test_two_malformed_plans_hold_after_one_repair(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    good = stage.planner.plans[0]
    stage.planner.plans = ["no plan", {"prd": {}}]
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        session = await brainstorm(core)
        await core.desk.call("session.generate", {"session": session.id})
        hold = await hold_of(core, f"session:{session.id}", "HOLD-PLANNER-STRUCTURE")
        assert stage.world.counted("planner") == 3
        stage.planner.plans = [good]
        await recover(core, hold)
        assert (await session_at(core, session.id)).state == "planned"


@dataclass(frozen=True)
class Cause:
    """One way into a hold of a running mission, and how its cause goes away."""

    code: str
    arrange: Callable[[Stage], None]
    action: str = "retry"
    text: str = ""
    repair: Callable[[Stage], None] = lambda stage: None
    settings: dict[str, str] = field(default_factory=dict)


def coder_ends(result: AgentResult) -> Callable[[Stage], None]:
    def arrange(stage: Stage) -> None:
        stage.coder.ends = {"T1": [result]}

    return arrange


def coder_writes(files: dict[str, str]) -> Callable[[Stage], None]:
    def arrange(stage: Stage) -> None:
        stage.coder.files = files

    return arrange


GREETING = {"hello.txt": "hello\n", "attempt.txt": "{attempt}\n"}
good_files = coder_writes(GREETING)
SECRET = {
    "hello.txt": "hello\n",
    "key.txt": "token = ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vX7zA2cD4fG6hJ8\n",
}


def broken(method: str, error: Exception) -> Callable[[Stage], None]:
    def arrange(stage: Stage) -> None:
        stage.workshop.errors[method] = error

    return arrange


def mended(stage: Stage) -> None:
    stage.workshop.errors.clear()
    good_files(stage)


def judge_has_no_key(stage: Stage) -> None:
    error = Unavailable("HOLD-VALIDATOR-CONFIG", "No key for gemini is stored.")
    stage.judges["gemini"].reply = error


def judge_has_a_key(stage: Stage) -> None:
    stage.judges["gemini"].reply = None


def red_tests(stage: Stage) -> None:
    stage.harness.bad = "hello"


def green_tests(stage: Stage) -> None:
    stage.harness.bad = ""


GIT = RuntimeError("fatal: bad object")
CAUSES = {
    "coder failed": Cause("HOLD-CODER-FAILED", coder_ends(ended("failed"))),
    "coder stopped": Cause("HOLD-CODER-FAILED", coder_ends(ended("stopped"))),
    "coder timed out": Cause("HOLD-CODER-TIMEOUT", coder_ends(ended("timed_out"))),
    "coder stalled": Cause("HOLD-STALLED", coder_ends(ended("stalled")), "discard"),
    "coder not logged in": Cause("HOLD-CLAUDE-AUTH-IN-DOCKER", coder_ends(ended("auth_failed"))),
    "no coder": Cause("HOLD-NO-PLANNER-CLI", coder_ends(ended("cli_missing"))),
    "coder limited": Cause("HOLD-RATE-LIMIT", coder_ends(ended("rate_limited")), "resume"),
    "no change": Cause("HOLD-CODER-FAILED", coder_writes({}), repair=good_files),
    "red tests": Cause("HOLD-CODER-FAILED", red_tests, "rework", "Mend it.", green_tests),
    "secret": Cause("HOLD-SECRET-DETECTED", coder_writes(SECRET), "discard", repair=good_files),
    "forbidden path": Cause(
        "HOLD-FORBIDDEN-PATH", coder_writes({".env": "A=1\n"}), "discard", repair=good_files
    ),
    "path that is not allowed": Cause(
        "HOLD-FORBIDDEN-PATH",
        coder_writes({"other.txt": "x\n"}),
        "discard",
        repair=coder_writes({"hello.txt": "hello\n"}),
        settings={"paths.allowed": "hello.txt"},
    ),
    "git broke in evidence": Cause(
        "HOLD-EVIDENCE-INCOMPLETE", broken("changes", GIT), repair=mended
    ),
    "git refused in evidence": Cause(
        "HOLD-EVIDENCE-INCOMPLETE",
        broken("changes", Unavailable("HOLD-EVIDENCE-INCOMPLETE", "git failed")),
        repair=mended,
    ),
    "validator without key": Cause(
        "HOLD-VALIDATOR-CONFIG", judge_has_no_key, repair=judge_has_a_key
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
async def test_a_mission_is_held_by_its_cause_and_goes_on_when_it_is_gone(
    tmp_path: Path, cause: Cause
) -> None:
    stage = Stage(tmp_path)
    good_files(stage)
    cause.arrange(stage)
    async with stage.core() as core:
        await add_repo(core, tmp_path, **cause.settings)
        mission = await start(core)
        hold = await hold_of(core, f"mission:{mission}", cause.code)
        state = core.desk.mission(mission)
        assert (state.state, state.tip) == ("running", state.tip if not hold.subject else "")
        with pytest.raises(Refused) as refused:
            await recover(core, hold, "dance")
        assert refused.value.code == "INVALID_INPUT"
        cause.repair(stage)
        await recover(core, hold, cause.action, cause.text)
        decided = await mission_until(core, mission, "mission.decided")
        assert decided.decision == "AUTO_MERGE", report(core)
        assert not decided.holds
        with pytest.raises(Refused) as again:
            await recover(core, hold, cause.action, cause.text)
        assert again.value.code == "HOLD_NOT_ACTIVE"


@pytest.mark.asyncio
async def test_the_same_hold_comes_back_while_its_cause_stands(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    judge_has_no_key(stage)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        first = await hold_of(core, f"mission:{mission}", "HOLD-VALIDATOR-CONFIG")
        await recover(core, first)
        await mission_until(core, mission, "hold.raised", times=2)
        second = await hold_of(core, f"mission:{mission}", "HOLD-VALIDATOR-CONFIG")
        assert second.id != first.id


@pytest.mark.asyncio
async def test_a_coder_lost_three_times_fails_its_task_and_can_be_retried(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    lost = AgentResult(end="lost")
    stage.coder.ends = {"T1": [lost, lost, lost]}
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        state = await mission_until(core, mission, "mission.failed")
        assert (state.tasks["T1"].state, state.tasks["T1"].attempts) == ("failed", 3)
        await wait_for(
            core, "session", lambda: core.desk.session(state.session).state == "approved"
        )
        await core.desk.call("mission.retry", {"mission": mission})
        await begin(core, mission)
        decided = await mission_until(core, mission, "mission.decided")
        assert decided.decision == "AUTO_MERGE"


@pytest.mark.asyncio
async def test_a_task_given_up_fails_the_mission(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    coder_ends(ended("failed"))(stage)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        await recover(core, await hold_of(core, f"mission:{mission}"), "give_up")
        state = await mission_until(core, mission, "mission.failed")
        assert (state.state, state.tasks["T1"].state) == ("failed", "failed")
        await wait_for(
            core, "session", lambda: core.desk.session(state.session).state == "approved"
        )


@pytest.mark.asyncio
async def test_rework_goes_on_in_the_same_worktree_and_is_told_what_was_found(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    red_tests(stage)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        hold = await hold_of(core, f"mission:{mission}", "HOLD-CODER-FAILED")
        with pytest.raises(Refused) as refused:
            await recover(core, hold, "rework", " ")
        assert refused.value.data["field"] == "text"
        left = stage.coder.calls[0].worktree / "left.txt"
        left.write_text("from the first attempt\n")
        green_tests(stage)
        await recover(core, hold, "rework", "Say it louder.")
        state = await mission_until(core, mission, "mission.decided")
        first, second = stage.coder.calls
        assert first.worktree == second.worktree
        assert "Say it louder." in second.prompt
        assert "test (true): failed, exit 1" in second.prompt
        assert "left.txt" in stage.workshop.tree(state.head)


@pytest.mark.asyncio
async def test_discard_begins_anew_on_the_tip_and_solves_a_merge_conflict(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    two = [
        {"id": name, "title": f"Write {name}", "write_files": ["hello.txt"]}
        for name in ("T1", "T2")
    ]
    stage.planner.plans = [plan_of(*two)]
    stage.coder.files = {"hello.txt": "hello from {task} {attempt}\n"}
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        hold = await hold_of(core, f"mission:{mission}", "HOLD-MERGE-CONFLICT")
        assert hold.facts["paths"] == ["hello.txt"]
        await recover(core, hold, "discard")
        state = await mission_until(core, mission, "mission.decided")
        assert {task.state for task in state.tasks.values()} == {"done"}
        assert state.tasks[hold.subject].attempts == 2


@pytest.mark.asyncio
async def test_disagreeing_validators_hold_and_rework_answers_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    good_files(stage)
    stage.coder.files = {"{task}.txt": "hello\n"}
    stage.judges["gemini"].verdict = "fail"
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        hold = await hold_of(core, f"mission:{mission}", "HOLD-VALIDATOR-DISAGREE")
        state = core.desk.mission(mission)
        assert (state.decision, hold.facts) == ("BLOCKED", {"openai": "pass", "gemini": "fail"})
        with pytest.raises(Refused):
            await core.desk.call("mission.validate", {"mission": mission})
        stage.judges["gemini"].verdict = "pass"
        await recover(core, hold, "rework", "Make both content.")
        state = await mission_until(core, mission, "mission.decided", times=2)
        assert (state.decision, state.tasks["R1"].state) == ("AUTO_MERGE", "done")
        assert "Make both content." in stage.coder.calls[-1].prompt


BUDGETS = {
    "calls of a mission": (Budgets(calls_per_mission=1), "calls_per_mission"),
    "calls of a day": (Budgets(calls_per_day=2), "calls_per_day"),
    "dollars of a mission": (Budgets(validators_mission_usd=Decimal(0)), "validators_mission_usd"),
    "dollars of a day": (Budgets(validators_day_usd=Decimal(0)), "validators_day_usd"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize(("budgets", "cap"), BUDGETS.values(), ids=BUDGETS)
async def test_a_cap_lets_nothing_begin(tmp_path: Path, budgets: Budgets, cap: str) -> None:
    stage = Stage(tmp_path, Settings(budgets=budgets))
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await plan(core)
        # The plan was made before the mission had a name: only later calls count to it.
        await core.desk.call("mission.approve", {"mission": mission})
        await begin(core, mission)
        if cap == "calls_per_mission":
            await recovers_by_second_run(stage, core, mission)
            return
        hold = await hold_of(core, f"mission:{mission}", "HOLD-BUDGET")
        assert hold.facts["cap"] == cap
        begun = sum(v for k, v in stage.world.read("counts").items() if k.startswith(("co", "ju")))
        assert begun == (0 if cap == "calls_per_day" else 1)


async def recovers_by_second_run(stage: Stage, core: Any, mission: str) -> None:
    state = await mission_until(core, mission, "mission.decided")
    rework = {"mission": state.id, "findings": ["More."]}
    await core.desk.call("mission.rework", rework)
    hold = await hold_of(core, f"mission:{mission}", "HOLD-BUDGET")
    assert (hold.facts["cap"], hold.subject) == ("calls_per_mission", "R1")
    assert stage.world.counted("coder R1") == 0


@pytest.mark.asyncio
async def test_a_call_whose_price_nobody_knows_is_held(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.prices.most = None
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        hold = await hold_of(core, f"mission:{mission}", "HOLD-BUDGET")
        assert hold.facts["cap"] == "validators_mission_usd"
        assert stage.world.counted("judge openai") + stage.world.counted("judge gemini") == 0
        state = await mission_until(core, mission, "step.abandoned", times=2)
        assert [each.code for each in state.holds.values()] == ["HOLD-BUDGET"]
        stage.prices.most = Decimal("0.01")
        for each in core.desk.mission(mission).holds.values():
            await recover(core, each)
        state = await mission_until(core, mission, "mission.decided")
        assert state.decision == "AUTO_MERGE"


@pytest.mark.asyncio
async def test_a_missing_repository_leaves_the_mission_approved_without_a_run(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await plan(core)
        await core.desk.call("mission.approve", {"mission": mission})
        gone = Unavailable("HOLD-TARGET-REPO-UNAVAILABLE", "The repository is gone.")
        stage.workshop.errors["inspect"] = gone
        with pytest.raises(Unavailable):
            await begin(core, mission)
        hold = await hold_of(core, f"mission:{mission}", "HOLD-TARGET-REPO-UNAVAILABLE")
        state = core.desk.mission(mission)
        assert (state.state, state.runs) == ("approved", {})
        stage.workshop.errors.clear()
        await recover(core, hold)
        state = await mission_until(core, mission, "mission.decided")
        assert state.decision == "AUTO_MERGE"


@pytest.mark.asyncio
async def test_a_refused_credential_holds_the_push_until_there_is_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.allow_remote()
    stage.workshop.errors["is_on_remote"] = Unavailable("HOLD-GITHUB-AUTH", "401")
    async with stage.core() as core:
        await add_repo(core, tmp_path, **{"remote.url": str(tmp_path / "remote.git")})
        mission = await start(core)
        await mission_until(core, mission, "mission.decided")
        await core.desk.call("mission.deliver", {"mission": mission})
        hold = await hold_of(core, f"mission:{mission}", "HOLD-GITHUB-AUTH")
        stage.workshop.errors.clear()
        await recover(core, hold)
        state = await mission_until(core, mission, "mission.done")
        assert (state.outcome, stage.world.counted("push")) == ("delivered", 1)


@pytest.mark.asyncio
async def test_an_answer_that_is_no_verdict_waits_and_is_asked_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.judges["openai"].reply = JudgeReply(model="m", text="I like it", failure=None, usage=())
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        state = await mission_until(core, mission, "mission.decided")
        assert (state.decision, state.verdicts["openai"].verdict) == ("WAITING", "inconclusive")
        stage.judges["openai"].reply = None
        await core.desk.call("mission.validate", {"mission": mission})
        state = await mission_until(core, mission, "mission.decided", times=2)
        assert state.decision == "AUTO_MERGE"


@pytest.mark.asyncio
async def test_no_worktree_is_laid_on_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    full = Settings(system=System(disk_floor_mb=10_000_000))
    stage = Stage(tmp_path, full)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        hold = await hold_of(core, f"mission:{mission}", "HOLD-DISK-SPACE")
        assert hold.facts["floor_mb"] == 10_000_000
        assert stage.world.counted("coder T1") == 0
    stage.settings = Settings()
    async with stage.core() as core:
        await recover(core, hold)
        state = await mission_until(core, mission, "mission.decided")
        assert state.decision == "AUTO_MERGE"
