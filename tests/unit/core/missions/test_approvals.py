"""Approvals and the gate: asked once, answered once, bound to what was looked at."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cockpit.compose import Core
from core.delivery.capability import CapabilityOffice
from core.errors import Refused
from core.missions.state import Approval, MissionState
from tests.fakes import plan_of
from tests.missions import (
    CRITERION,
    Stage,
    add_repo,
    begin,
    brainstorm,
    mission_until,
    plan,
    replace_model,
    session_at,
    start,
    wait_for,
)

pytestmark = pytest.mark.slow


async def refused(core: Core, name: str, **request: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await core.desk.call(name, request)
    return caught.value


def pending(state: MissionState, kind: str) -> Approval:
    (found,) = [a for a in state.approvals.values() if (a.kind, a.state) == (kind, "pending")]
    return found


@pytest.mark.asyncio
async def test_a_plan_is_answered_once_by_version_and_digest(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await plan(core)
        assert (
            await refused(core, "mission.start", mission=mission)
        ).code == "MISSION_NOT_APPROVED"
        stale = await refused(core, "mission.approve", mission=mission, version=2)
        assert (stale.code, stale.data) == ("VERSION_STALE", {"current": 1})
        asked = pending(core.desk.mission(mission), "plan").id
        answer: dict[str, Any] = {"approval": asked, "answer": "changes_requested"}
        empty = await refused(core, "approval.decide", **answer, note="  ")
        assert empty.data["field"] == "note"
        other = {"approval": asked, "answer": "approved", "digest": "0" * 64}
        assert (await refused(core, "approval.decide", **other)).code == "APPROVAL_STALE"
        await core.desk.call("approval.decide", {**answer, "note": "Smaller, please."})
        again = await refused(core, "approval.decide", **answer, note="Smaller.")
        assert again.code == "APPROVAL_DECIDED"
        state = core.desk.mission(mission)
        assert state.state == "draft"
        not_asked = await refused(core, "mission.approve", mission=mission)
        assert not_asked.code == "APPROVAL_NOT_REQUESTED"
        await core.desk.call("session.generate", {"session": state.session})
        await session_at(core, state.session)
        assert core.desk.mission(mission).version == 2
        await core.desk.call("mission.approve", {"mission": mission, "version": 2})
        assert core.desk.mission(mission).approved_version == 2


@pytest.mark.asyncio
async def test_an_edit_after_approval_reopens_the_plan(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await plan(core)
        await core.desk.call("mission.approve", {"mission": mission})
        session = core.desk.mission(mission).session
        edit = {"session": session, "criterion": "C1", "text": "Running `cat x` prints `bye`"}
        await core.desk.call("criterion.edit", edit)
        assert core.desk.mission(mission).state == "draft"
        assert core.desk.session(session).state == "planned"
        assert (
            await refused(core, "mission.start", mission=mission)
        ).code == "MISSION_NOT_APPROVED"


@pytest.mark.asyncio
async def test_a_proposed_criterion_must_be_confirmed_or_dropped(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.planner.plans = [plan_of(criteria=[CRITERION, "Running `cat b.txt` prints `b`"])]
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await plan(core)
        state = await refused(core, "mission.approve", mission=mission)
        assert state.code == "CRITERIA_UNCONFIRMED"
        session = core.desk.mission(mission).session
        proposed = [c.id for c in core.desk.session(session).criteria if not c.confirmed]
        for each in proposed:
            await core.desk.call("criterion.confirm", {"session": session, "criterion": each})
        await core.desk.call("mission.approve", {"mission": mission})


@pytest.mark.asyncio
async def test_generate_approve_and_start_are_refused_alike_while_the_gate_triggers(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        vague = await brainstorm(core, text="Make it nice and better", criteria=[])
        blocked = await refused(core, "session.generate", session=vague.id)
        assert blocked.code == "CLARIFY_GATE_BLOCKED"
        mission = await plan(core)
        session = core.desk.mission(mission).session
        for name in ("mission.approve", "mission.start"):
            if name == "mission.start":
                await core.desk.call("mission.approve", {"mission": mission})
            clear, policy = core.desk.policy.clarification, core.desk.policy
            strict = replace_model(policy, clarification=replace_model(clear, threshold=0))
            object.__setattr__(core.desk, "policy", strict)
            found = await refused(core, name, mission=mission)
            object.__setattr__(core.desk, "policy", policy)
            assert (found.code, core.desk.mission(mission).runs) == ("CLARIFY_GATE_BLOCKED", {})
            assert core.desk.session(session).state == "clarifying"
            assert core.desk.mission(mission).state == "draft"
            await core.desk.call("session.generate", {"session": session})
            await session_at(core, session)


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", ["rejected", "approved"])
async def test_a_checkpoint_is_asked_before_its_task_and_again_after_a_refusal(
    tmp_path: Path, answer: str
) -> None:
    stage = Stage(tmp_path)
    stage.coder.files = {"migrations/0001_init.sql": "select 1;\n", "test_a.py": "x\n"}
    task = {"id": "T1", "title": "Schema", "write_files": ["migrations/0001_init.sql"]}
    stage.planner.plans = [plan_of(task)]
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        state = await mission_until(core, mission, "approval.requested", times=2)
        assert stage.coder.calls == []
        if answer == "rejected":
            asked = pending(state, "checkpoint").id
            no = {"approval": asked, "answer": "rejected", "note": "Not now."}
            await core.desk.call("approval.decide", no)
            assert core.desk.mission(mission).state == "failed"
            session = state.session
            await wait_for(core, "session", lambda: core.desk.session(session).state == "approved")
            await core.desk.call("mission.retry", {"mission": mission})
            await begin(core, mission)
            state = await mission_until(core, mission, "approval.requested", times=3)
        yes = {"approval": pending(state, "checkpoint").id, "answer": "approved"}
        await core.desk.call("approval.decide", yes)
        await mission_until(core, mission, "mission.decided")
        assert len(stage.coder.calls) == 1


async def at_decision(core: Core, folder: Path, **settings: str) -> MissionState:
    await add_repo(core, folder, **settings)
    mission = await start(core)
    return await mission_until(core, mission, "mission.decided")


@pytest.mark.asyncio
async def test_an_evidence_approval_lifts_what_may_be_lifted_and_then_delivers_once(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    stage.allow_remote()
    stage.harness.ends = {"test": "not_runnable"}
    async with stage.core() as core:
        remote = {"remote.url": str(tmp_path / "remote.git")}
        state = await at_decision(core, tmp_path, **remote)
        assert (state.decision, state.causes) == ("WAITING", ("tests_not_runnable",))
        asked = pending(state, "evidence")
        assert state.package is not None
        assert asked.digest == state.package.digest
        await core.desk.call("mission.deliver", {"mission": state.id})
        state = await mission_until(core, state.id, "gate.checked")
        assert state.gate_code == "APPROVAL_REQUIRED"
        await core.desk.call("approval.decide", {"approval": asked.id, "answer": "approved"})
        state = await mission_until(core, state.id, "mission.decided", times=2)
        assert state.lifted_by == asked.id
        for _ in range(2):
            await core.desk.call("mission.deliver", {"mission": state.id})
        state = await mission_until(core, state.id, "mission.done")
        await core.desk.call("mission.deliver", {"mission": state.id})
        assert (stage.world.counted("push"), stage.world.counted("pull_request")) == (1, 1)


@pytest.mark.asyncio
async def test_an_approval_does_not_lift_a_verdict_that_is_asked_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.harness.ends = {"test": "not_runnable"}
    async with stage.core() as core:
        state = await at_decision(core, tmp_path)
        asked = pending(state, "evidence").id
        await core.desk.call("approval.decide", {"approval": asked, "answer": "approved"})
        await mission_until(core, state.id, "mission.decided", times=2)
        stage.judges["openai"].verdict = "inconclusive"
        await core.desk.call("mission.validate", {"mission": state.id})
        state = await mission_until(core, state.id, "mission.decided", times=3)
        assert (state.decision, state.lifted_by) == ("WAITING", "")
        await core.conductor.settle(state.id)
        kinds = [e.kind for e in core.desk.journal.read(stream=f"mission:{state.id}", limit=None)]
        assert kinds.count("mission.decided") == 3, "decided in a loop"


def no_credential(stage: Stage) -> None:
    stage.writer.credential = False


def off_base(stage: Stage) -> None:
    stage.world.keep("facts", "base_on_remote", False)


def fails(stage: Stage) -> None:
    for judge in stage.judges.values():
        judge.verdict = "inconclusive"


GATES: list[tuple[str, dict[str, Any], dict[str, str], Any]] = [
    ("REMOTE_WRITES_DISABLED", {"allow_remote_writes": False}, {}, None),
    ("REPO_NOT_LISTED", {"remote_write_repos": ()}, {}, None),
    ("REPO_DISABLED", {}, {"enabled": "false"}, None),
    ("REMOTE_MISSING", {}, {"remote.url": ""}, None),
    ("BASE_NOT_ON_REMOTE", {}, {}, off_base),
    ("VALIDATORS_NOT_PASSED", {}, {}, fails),
    ("HOLD-GITHUB-AUTH", {}, {}, no_credential),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("code", "system", "late", "arrange"), GATES, ids=[g[0] for g in GATES])
async def test_the_gate_refuses_and_nothing_leaves(
    tmp_path: Path, code: str, system: dict[str, Any], late: dict[str, str], arrange: Any
) -> None:
    stage = Stage(tmp_path)
    stage.allow_remote()
    changed = replace_model(stage.settings.system, **system)
    stage.settings = replace_model(stage.settings, system=changed)
    if arrange is not None:
        arrange(stage)
    remote = {} if code == "REMOTE_MISSING" else {"remote.url": str(tmp_path / "remote.git")}
    async with stage.core() as core:
        state = await at_decision(core, tmp_path, **remote)
        for key, value in late.items():
            if value:
                await core.desk.call("repo.set", {"repo": "fake", "key": key, "value": value})
        await core.desk.call("mission.deliver", {"mission": state.id})
        state = await mission_until(core, state.id, "gate.checked")
        assert state.gate_code == code
        assert len(state.gate_checks) == 10
        statuses = [check["status"] for check in state.gate_checks]
        place = statuses.index("refused")
        assert statuses == ["passed"] * place + ["refused"] + ["not_checked"] * (9 - place)
        assert (stage.world.read("remote"), stage.world.read("pulls")) == ({}, {})


def test_a_capability_runs_out_and_can_not_be_forged() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    office = CapabilityOffice(b"key")
    facts = {"branch": "b", "commit": "c"}
    made = office.issue(mission="m-1", digest="d", now=now, **facts)
    office.check(made, now=now + timedelta(seconds=299), **facts)
    late = now + timedelta(minutes=5)
    with pytest.raises(Refused) as expired:
        office.check(made, now=late, **facts)
    assert expired.value.code == "CAPABILITY_EXPIRED"
    for wrong in ({**facts, "branch": "main"}, {**facts, "commit": "x"}):
        with pytest.raises(Refused) as invalid:
            office.check(made, now=now, **wrong)
        assert invalid.value.code == "CAPABILITY_INVALID"
    with pytest.raises(Refused):
        CapabilityOffice(b"other").check(made, now=now, **facts)
