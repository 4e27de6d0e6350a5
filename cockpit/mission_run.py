"""One mission from a goal to the gate without a person at the keyboard, through any client.

It answers nothing that was not given and confirms nothing that it was not told to: while the
clarification gate triggers it ends, with the questions (domain.md §4).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from core.errors import CockpitError

Json = dict[str, Any]
DONE, FAILED, WAITING, BLOCKED, HELD, REFUSED, UNCLEAR = 0, 1, 10, 11, 12, 13, 14
# What the operator chose by leaving the switch off is no failure of the mission (domain.md §13).
_CLOSED_BY_CHOICE = frozenset({"REMOTE_WRITES_DISABLED", "REPO_NOT_LISTED", "REMOTE_MISSING"})
_SETTLED = frozenset({"done", "failed", "cancelled"})


class Client(Protocol):
    """Any way to the Desk."""

    async def call(self, name: str, params: Mapping[str, Any]) -> Json:
        """Perform an operation; raises ``CockpitError``."""
        ...

    def follow(self, after: int = 0) -> AsyncIterator[Json]:
        """Events after ``after``: seq, stream, kind, at, actor, payload."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line.

    Attributes:
        answers: clarification field → answer.
        approve: ``--yes``: approve the plan, never the ambiguity.
        rehearsal: name of the script; empty for real models.
        base_branch: where missions begin; empty to find it when the repository is added.
    """

    repo: Path
    goal: str
    criteria: Sequence[str] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    approve: bool = False
    confirm_criteria: bool = False
    drop_proposed: bool = False
    rehearsal: str = ""
    goal_attempted: bool = True
    run_commands_on_host: bool = False
    base_branch: str = ""


class StoppedError(Exception):
    """The way ended before a decision: with an exit code and what is to be said."""

    def __init__(self, exit_code: int, code: str, sentence: str, **data: Any):
        super().__init__(sentence)
        self.exit_code = exit_code
        self.outcome: Json = {"code": code, "sentence": sentence, **data}


@dataclass(slots=True)
class MissionRun:
    """Walks the whole way. ``report`` hears each event and step for a person who watches."""

    client: Client
    wanted: Wanted
    report: Callable[[Json], None] = lambda _: None
    _seen: int = 0
    _session: str = ""
    _mission: str = ""

    async def run(self) -> tuple[int, Json]:
        """The exit code (domain.md §17) and everything that is known at the end."""
        try:
            repo = await self._repo()
            await self._brainstorm(repo)
            await self._clarify()
            await self._plan()
            await self._start()
            await self._work()
            await self._deliver()
            return await self._result()
        except StoppedError as stopped:
            return stopped.exit_code, await self._with_facts(stopped.outcome, stopped.exit_code)

    async def wait(self, mission: str) -> tuple[int, Json]:
        """Wait until a mission that is under way has been decided, is held or has ended."""
        state = await self.client.call("mission.show", {"mission": mission})
        self._mission, self._session = mission, str(state["session"])
        try:
            await self._work()
            return await self._result()
        except StoppedError as stopped:
            return stopped.exit_code, await self._with_facts(stopped.outcome, stopped.exit_code)

    async def deliver(self, mission: str) -> tuple[int, Json]:
        """Ask the gate for a decided mission's draft pull request, and wait for its answer."""
        state = await self.client.call("mission.show", {"mission": mission})
        self._mission, self._session = mission, str(state["session"])
        try:
            await self._deliver()
            return await self._result()
        except StoppedError as stopped:
            return stopped.exit_code, await self._with_facts(stopped.outcome, stopped.exit_code)

    async def _repo(self) -> str:
        path = self.wanted.repo.expanduser().absolute()
        for known in (await self.client.call("repo.list", {}))["repos"]:
            if Path(known["path"]) == path:
                return str(known["name"])
        added = await self._call(
            "repo.add", {"path": str(path), "base_branch": self.wanted.base_branch}
        )
        self.report({"kind": "repo.added", "payload": added})
        return str(added["name"])

    async def _call(self, name: str, params: Mapping[str, Any]) -> Json:
        """An operation; a refusal that is a hold ends the way as one."""
        try:
            return await self.client.call(name, params)
        except CockpitError as error:
            if error.code == "CLARIFY_GATE_BLOCKED":
                raise await self._unclear(error) from error
            code = HELD if error.code.startswith("HOLD-") else REFUSED
            raise StoppedError(
                code, error.code, error.sentence, recovery=error.recovery, data=error.data
            ) from error

    async def _brainstorm(self, repo: str) -> None:
        wanted = self.wanted
        session = await self._call(
            "session.start",
            {
                "repo": repo,
                "text": wanted.goal,
                "title": wanted.title,
                "criteria": list(wanted.criteria),
                "rehearsal": wanted.rehearsal,
            },
        )
        self._session = str(session["id"])
        await self._planner_idle()

    async def _planner_idle(self) -> Json:
        """Wait until the planner has answered; a hold of the session ends the way."""
        stream = f"session:{self._session}"
        async for event in self._events():
            if event["stream"] != stream:
                continue
            state = await self._call("session.show", {"session": self._session})
            if state["holds"]:
                hold = state["holds"][-1]
                raise _held(hold)
            if not state["planner_busy"]:
                return state
        raise AssertionError("the journal does not end")

    async def _events(self) -> AsyncIterator[Json]:
        """Events that were not seen yet; each is reported once."""
        async for event in self.client.follow(self._seen):
            self._seen = event["seq"]
            if event["stream"] in (f"session:{self._session}", f"mission:{self._mission}"):
                self.report(event)
            yield event

    async def _clarify(self) -> None:
        for name, text in self.wanted.answers.items():
            answer = {"session": self._session, "question": name, "text": text}
            try:
                await self._call("clarification.answer", answer)
            except StoppedError as stopped:
                if stopped.outcome["code"] != "QUESTION_NOT_FOUND":
                    raise  # a question that is not asked needs no answer
        await self._criteria()
        clarity = await self._call("session.clarity", {"session": self._session})
        if clarity["assessment"]["triggered"]:
            raise _unclear(clarity["assessment"])

    async def _unclear(self, error: CockpitError) -> StoppedError:
        clarity = await self.client.call("session.clarity", {"session": self._session})
        found = _unclear(clarity["assessment"])
        found.outcome["recovery"] = error.recovery
        return found

    async def _criteria(self) -> None:
        """Confirm or drop what the planner proposed, if that was asked for."""
        if not (self.wanted.confirm_criteria or self.wanted.drop_proposed):
            return
        name = "criterion.confirm" if self.wanted.confirm_criteria else "criterion.remove"
        state = await self._call("session.show", {"session": self._session})
        for criterion in state["criteria"]:
            if criterion["source"] == "proposed" and criterion["confirmed_by"] is None:
                await self._call(name, {"session": self._session, "criterion": criterion["id"]})

    async def _plan(self) -> None:
        await self._call("session.generate", {"session": self._session})
        state = await self._planner_idle()
        self._mission = str(state["mission"])
        await self._criteria()
        if not self.wanted.approve:
            raise StoppedError(
                WAITING,
                "APPROVAL_REQUIRED",
                "The plan waits for your approval.",
                recovery=f"Read it, then: cockpit mission approve {self._mission}",
            )
        await self._call("mission.approve", {"mission": self._mission})

    async def _start(self) -> None:
        await self._call(
            "mission.start",
            {
                "mission": self._mission,
                "run_commands_on_host": self.wanted.run_commands_on_host,
            },
        )

    async def _work(self) -> None:
        """Until the merge policy has decided; a hold that does not end by itself ends the way."""
        async for event in self._events():
            if event["stream"] != f"mission:{self._mission}":
                continue
            state = await self._call("mission.show", {"mission": self._mission})
            _stop_if_ended(state)
            if state["decision"]:
                return

    async def _deliver(self) -> None:
        """Ask the gate, whatever was decided: its answer belongs to the result."""
        await self._call("mission.deliver", {"mission": self._mission})
        async for event in self._events():
            if event["stream"] != f"mission:{self._mission}":
                continue
            state = await self._call("mission.show", {"mission": self._mission})
            if state["state"] == "done" or state["gate"]["code"]:
                return
            _stop_if_ended(state)

    async def _result(self) -> tuple[int, Json]:
        state = await self._call("mission.show", {"mission": self._mission})
        code = _exit_code(state)
        return code, await self._with_facts({}, code)

    async def _with_facts(self, outcome: Json, exit_code: int) -> Json:
        """One object with all that is known (domain.md §17)."""
        facts: Json = {
            "exit_code": exit_code,
            "session": self._session or None,
            "mission": self._mission or None,
            "rehearsal": self.wanted.rehearsal or None,
            "goal_attempted": self.wanted.goal_attempted,
            **outcome,
        }
        if not self._mission:
            return facts
        state = await self.client.call("mission.show", {"mission": self._mission})
        usage = await self.client.call("usage.show", {"mission": self._mission, "by": "role"})
        return {**facts, **_facts(state), "usage": usage}


def _facts(state: Json) -> Json:
    names = ("repo", "title", "state", "phase", "where", "base", "branch", "head", "decision")
    more = ("causes", "digest", "risk", "verdicts", "gate", "pull_request", "criteria", "holds")
    facts = {name: state[name] for name in (*names, *more)}
    facts["tasks"] = [
        {name: task[name] for name in ("id", "title", "state", "attempts", "commit")}
        for task in state["tasks"]
    ]
    facts["commands"] = state["runs"][-1]["commands"] if state["runs"] else []
    return facts


def _exit_code(state: Json) -> int:
    if state["decision"] == "BLOCKED":
        return BLOCKED
    if state["decision"] == "WAITING" and not state["lifted_by"]:
        return WAITING
    gate = state["gate"]["code"]
    if state["state"] == "done" or gate in _CLOSED_BY_CHOICE or gate is None:
        return DONE
    return REFUSED


def _stop_if_ended(state: Json) -> None:
    stuck = [hold for hold in state["holds"] if not hold["resumes_at"]]
    if stuck:
        raise _held(stuck[-1])
    if state["state"] in _SETTLED and state["state"] != "done":
        raise StoppedError(FAILED, "MISSION_FAILED", f"The mission is {state['state']}.")


def _held(hold: Json) -> StoppedError:
    return StoppedError(
        HELD,
        hold["code"],
        str(hold["facts"].get("error") or hold["code"]),
        recovery=f"cockpit hold show {hold['id']}",
        hold=hold,
    )


def _unclear(assessment: Json) -> StoppedError:
    questions = assessment["questions"]
    ids = ", ".join(q["id"] for q in questions)
    return StoppedError(
        UNCLEAR,
        "CLARIFY_GATE_BLOCKED",
        f"The request is too ambiguous to plan: {assessment['score']} of 100.",
        recovery=f"Answer with --answer FIELD=TEXT (or --criterion): {ids}",
        data={"score": assessment["score"], "reasons": assessment["reasons"]},
        questions=questions,
    )
