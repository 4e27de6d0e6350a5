"""Stand-ins for the ports, as real code: deterministic, and durable across a killed process.

Each keeps what the world would keep (commits, pushes, pull requests, answered calls) in a folder,
so that a test can kill the core at any moment and count afterwards what was done twice.
"""

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.context import RunId
from core.delivery.capability import Capability
from core.delivery.forge import ForgeRepo, PullRequest
from core.judgement.changes import PathChange
from core.judgement.harness import Command, CommandRun
from core.judgement.judge import JudgeCall, JudgeReply
from core.ledger.model_usage import ModelUsage
from core.missions.coder import CoderCall, Where
from core.missions.workshop import Commit, Joined, Patch, RepoRef
from core.planning.planner import AgentEnd, AgentResult, PlannerCall
from tests.world import World

Tree = dict[str, str]


@dataclass(slots=True)
class FakeWorkshop:
    """Commits as JSON trees, worktrees as folders. Knows no history but parents.

    ``errors``: name of a method → what it raises instead, for as long as it stands there.
    """

    world: World
    files: Mapping[str, str] = field(default_factory=lambda: {"README.md": "# Fake\n"})
    errors: dict[str, Exception] = field(default_factory=dict)

    def _may(self, name: str) -> None:
        if name in self.errors:
            raise self.errors[name]

    async def inspect(self, path: Path, base_branch: str | None) -> Mapping[str, Any]:
        self._may("inspect")
        return {"base_branch": base_branch or "main", "head": self._base(), "dirty": False}

    async def base(self, repo: RepoRef) -> str:
        self._may("base")
        return self._base()

    def _base(self) -> str:
        return self._store(dict(self.files), [])

    def _store(self, tree: Tree, parents: Sequence[str]) -> str:
        body = json.dumps([tree, list(parents)], sort_keys=True)
        sha = hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest()
        self.world.keep("commits", sha, {"tree": tree, "parents": list(parents)})
        return sha

    def tree(self, sha: str) -> Tree:
        """The files of a commit."""
        found: Tree = self.world.read("commits")[sha]["tree"]
        return found

    def _folder(self, name: str) -> Path:
        return self.world.folder / "worktrees" / name

    async def checkout(self, repo: RepoRef, name: str, commit: str, *, keep: bool = True) -> Path:
        self._may("checkout")
        folder = self._folder(name)
        if not (keep and folder.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            self._lay(folder, self.tree(commit))
        return folder

    def _lay(self, folder: Path, tree: Tree) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in tree.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)

    async def discard(self, repo: RepoRef, name: str) -> None:
        shutil.rmtree(self._folder(name), ignore_errors=True)

    async def commit(
        self, repo: RepoRef, name: str, *, base: str, message: str, trailers: Mapping[str, str]
    ) -> Commit:
        folder = self._folder(name)
        tree = {
            p.relative_to(folder).as_posix(): p.read_text()
            for p in sorted(folder.rglob("*"))
            if p.is_file()
        }
        return Commit(None if tree == self.tree(base) else self._store(tree, [base]))

    async def join(self, repo: RepoRef, branch: str, commit: str, *, start: str) -> Joined:
        tip = self.world.read("branches").get(branch, start)
        if commit == tip or commit in self._ancestors(tip):
            return Joined(tip)
        if tip not in self._ancestors(commit):
            start = self.world.read("commits")[commit]["parents"][0]
            old, ours = self.tree(start), self.tree(tip)
            changed = {p: t for p, t in self.tree(commit).items() if old.get(p) != t}
            clash = [p for p, t in changed.items() if ours.get(p) not in (old.get(p), t)]
            if clash:
                return Joined(None, tuple(clash))
            commit = self._store({**self.tree(tip), **changed}, [tip, commit])
        self.world.keep("branches", branch, commit)
        return Joined(commit)

    def _ancestors(self, sha: str) -> set[str]:
        commits, found, todo = self.world.read("commits"), set[str](), [sha]
        while todo:
            for parent in commits[todo.pop()]["parents"]:
                if parent not in found:
                    found.add(parent)
                    todo.append(parent)
        return found

    async def changes(self, repo: RepoRef, base: str, head: str) -> tuple[PathChange, ...]:
        self._may("changes")
        old, new = self.tree(base), self.tree(head)
        return tuple(
            PathChange(
                status="A" if path not in old else "D" if path not in new else "M",
                path=path,
                added=len(new.get(path, "").splitlines()),
                deleted=len(old.get(path, "").splitlines()),
            )
            for path in sorted(old.keys() | new.keys())
            if old.get(path) != new.get(path)
        )

    async def write_patch(self, repo: RepoRef, base: str, head: str, file: Path) -> Patch:
        text = json.dumps([self.tree(base), self.tree(head)], sort_keys=True)
        file.write_text(text)
        return Patch(len(text), hashlib.sha256(text.encode()).hexdigest())

    async def added_lines(
        self, repo: RepoRef, base: str, head: str
    ) -> AsyncIterator[tuple[str, int, str]]:
        for change in await self.changes(repo, base, head):
            lines = self.tree(head).get(change.path, "").splitlines()
            for number, line in enumerate(lines, start=1):
                yield change.path, number, line

    async def clean_checkout(self, repo: RepoRef, commit: str, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._lay(folder, self.tree(commit))

    async def drop_checkout(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    async def read_text(self, repo: RepoRef, commit: str, path: str, limit: int) -> str | None:
        return self.tree(commit).get(path)

    async def paths(self, repo: RepoRef, commit: str) -> frozenset[str]:
        return frozenset(self.tree(commit))

    async def is_on_remote(self, repo: RepoRef, commit: str, url: str, branch: str) -> bool:
        self._may("is_on_remote")
        return self.world.read("facts").get("base_on_remote", True) is True

    async def bring(self, repo: RepoRef, branch: str, commit: str) -> None:
        self.world.keep("brought", branch, commit)


def _usage(call: str, provider: str, model: str) -> tuple[ModelUsage, ...]:
    return (ModelUsage(call, provider, model, input_tokens=100, output_tokens=10),)


def plan_of(*tasks: Mapping[str, Any], criteria: Sequence[str] = ()) -> dict[str, Any]:
    """A valid plan with these tasks."""
    return {
        "prd": {
            "summary": "Say hello.",
            "goals": ["A greeting"],
            "acceptance_criteria": list(criteria) or ["Running `cat hello.txt` prints `hello`"],
        },
        "adr": {"title": "A file", "context": "None.", "decision": "Write a file."},
        "roadmap": [{"title": "One", "outcome": "It greets."}],
        "tasks": [dict(task) for task in tasks]
        or [{"id": "T1", "title": "Write the greeting", "write_files": ["hello.txt"]}],
    }


@dataclass(slots=True)
class FakePlanner:
    """Answers from a table: step → structured outputs, one for each attempt.

    ``ends``: how its first calls end instead. ``at_ask`` is told ``ask`` and ``asked`` with the
    step, for tests that kill the core there. ``wait``: what a call waits for, unless it is stopped.
    """

    world: World
    converse: Mapping[str, Any] = field(
        default_factory=lambda: {"message": "Understood.", "confidence": 0.9}
    )
    plans: Sequence[Any] = field(default_factory=lambda: [plan_of()])
    reviews: Sequence[Any] = ({"decision": "approve", "summary": "Fine.", "findings": []},)
    ends: Sequence[AgentResult] = ()
    asked: list[PlannerCall] = field(default_factory=list)
    reviewed: int = 0
    at_ask: Callable[[str, str], None] = lambda point, step: None
    wait: asyncio.Event | None = None
    _stops: dict[str, asyncio.Event] = field(default_factory=dict)

    async def ask(self, call: PlannerCall, on_text: Callable[[str], None]) -> AgentResult:
        if not call.prompt.strip():
            return AgentResult(end="failed", exit_code=2, error="The prompt is missing.")
        self.asked.append(call)
        self.world.count("planner")
        stop = self._stops[call.call_id] = asyncio.Event()
        if self.wait is not None and not await _first(self.wait, stop):
            return AgentResult(end="stopped", exit_code=-15)
        if len(self.asked) <= len(self.ends):
            return self.ends[len(self.asked) - 1]
        header = json.loads(call.prompt.partition("\n")[0].partition("cockpit-call: ")[2])
        step = header.get("step") or header["role"]
        self.at_ask("ask", step)
        answer = self._answer(step, int(header["attempt"]))
        on_text("Reading.")
        self.at_ask("asked", step)
        text = answer if isinstance(answer, str) else ""
        return AgentResult(
            end="finished",
            exit_code=0,
            structured=None if isinstance(answer, str) else answer,
            text=text,
            usage=_usage(f"{call.call_id}:fake", "anthropic", "fake"),
        )

    def _answer(self, step: str, attempt: int) -> Any:
        if step == "converse":
            return self.converse
        if step == "plan":
            return self.plans[min(attempt, len(self.plans)) - 1]
        self.reviewed += 1
        return self.reviews[min(self.reviewed, len(self.reviews)) - 1]

    async def stop(self, call_id: str) -> None:
        self.world.count("planner_stopped")
        if call_id in self._stops:
            self._stops[call_id].set()


@dataclass(slots=True)
class FakeCoder:
    """Writes files into the worktree; ``ends`` says how the first runs of a task end instead.

    ``wait``: what a run waits for before it does anything, unless it is stopped.
    """

    world: World
    files: Mapping[str, str] = field(default_factory=lambda: {"hello.txt": "hello\n"})
    ends: Mapping[str, Sequence[AgentResult]] = field(default_factory=dict)
    wait: asyncio.Event | None = None
    calls: list[CoderCall] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[tuple[str, str]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    _stops: dict[str, asyncio.Event] = field(default_factory=dict)
    _frozen: dict[str, asyncio.Event] = field(default_factory=dict)

    @property
    def where(self) -> Where:
        return "host"

    async def run(self, call: CoderCall, on_stall: Callable[[float], None]) -> AgentResult:
        if not (call.prompt.strip() and call.role.strip()):
            code, what = (3, "role") if call.prompt.strip() else (2, "prompt")
            return AgentResult(end="failed", exit_code=code, error=f"The {what} is missing.")
        self.calls.append(call)
        self.world.count(f"coder {call.task}")
        stop = self._stops[call.run] = asyncio.Event()
        self.started.set()
        attempt = self.world.counted(f"coder {call.task}")
        if self.wait is not None and not await _first(self.wait, stop):
            return self._result("stopped", call)
        if not await _first(self._thawed(call.run), stop):
            return self._result("stopped", call)
        ends = self.ends.get(call.task, ())
        if attempt <= len(ends):
            return ends[attempt - 1]
        for path, text in self.files.items():
            target = call.worktree / path.format(task=call.task)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.format(task=call.task, attempt=attempt))
        self.world.keep("ended", call.run, True)
        return self._result("finished", call)

    def _result(self, end: AgentEnd, call: CoderCall) -> AgentResult:
        usage = _usage(f"{call.run}:fake", "anthropic", "fake")
        code = 0 if end == "finished" else -15
        return AgentResult(end=end, exit_code=code, usage=usage, turns=1)

    async def find(self, call: CoderCall) -> AgentResult | None:
        return self._result("finished", call) if call.run in self.world.read("ended") else None

    def _hear(self, word: str, run: str) -> None:
        self.told.append((word, run))
        self.news.set()

    async def heard(self, word: str, run: str) -> None:
        """Wait until the coder was told this about that run."""
        async with asyncio.timeout(10):
            while (word, run) not in self.told:
                self.news.clear()
                await self.news.wait()

    async def pause(self, run: RunId) -> None:
        self._hear("pause", run)
        self._thawed(run).clear()

    async def resume(self, run: RunId) -> None:
        self._hear("resume", run)
        self._thawed(run).set()

    def _thawed(self, run: str) -> asyncio.Event:
        if run not in self._frozen:
            self._frozen[run] = asyncio.Event()
            self._frozen[run].set()
        return self._frozen[run]

    async def stop(self, run: RunId) -> None:
        self._hear("stop", run)
        if run in self._stops:
            self._stops[run].set()


async def _first(wanted: asyncio.Event, other: asyncio.Event) -> bool:
    """Whether ``wanted`` came before ``other``."""
    waits = [asyncio.ensure_future(e.wait()) for e in (wanted, other)]  # noqa: TID251
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
    return not other.is_set()


@dataclass(slots=True)
class FakeHarness:
    """Ends every command as the table says: a name of a command → its end.

    ``bad``: a command fails where this text stands in a file of the checkout.
    """

    ends: Mapping[str, str] = field(default_factory=dict)
    bad: str = ""
    wait: asyncio.Event | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(
        self, key: str, commands: Sequence[Command], checkout: Path, logs: Path
    ) -> tuple[CommandRun, ...]:
        logs.mkdir(parents=True, exist_ok=True)
        self.started.set()
        gone = self.wait is not None and not await _first(self.wait, self.stopped)
        return tuple(self._run(command, checkout, logs, gone=gone) for command in commands)

    def _run(self, command: Command, checkout: Path, logs: Path, *, gone: bool) -> CommandRun:
        log = logs / f"{command.name}.log"
        log.write_text("ran\n")
        end: Any = self.ends.get(command.name, "passed")
        if self.bad and any(self.bad in p.read_text() for p in checkout.rglob("*") if p.is_file()):
            end = "failed"
        end = "stopped" if gone else end
        code = 0 if end == "passed" else 1
        digest = hashlib.sha256(b"ran\n").hexdigest()
        return CommandRun(command.name, command.line, end, code, 5, log, digest)

    async def stop(self, key: str) -> None:
        self.stopped.set()


@dataclass(slots=True)
class FakeJudge:
    """Gives the same verdict for whatever it is shown."""

    world: World
    family: str
    verdict: str = "pass"
    reply: JudgeReply | Exception | None = None
    wait: asyncio.Event | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def judge(self, call: JudgeCall) -> JudgeReply:
        self.world.count(f"judge {self.family}")
        self.started.set()
        if self.wait is not None:
            await self.wait.wait()
        if isinstance(self.reply, Exception):
            raise self.reply
        if self.reply is not None:
            return self.reply
        asked = json.loads(call.evidence)
        status = self.verdict if self.verdict in ("pass", "fail") else "unknown"
        said = {
            "verdict": self.verdict,
            "confidence": 0.9,
            "summary": "Looked at the evidence.",
            "criteria": [
                {"id": c["id"], "status": status, "where": "diff"} for c in asked["criteria"]
            ],
            "blocking_issues": ["No."] if self.verdict == "fail" else [],
            "non_blocking_issues": [],
            "evidence_gaps": [],
        }
        digest = hashlib.sha256(call.evidence).hexdigest()[:16]
        usage = _usage(f"{self.family}:{digest}", self.family, call.model)
        return JudgeReply(model=call.model, text=json.dumps(said), failure=None, usage=usage)


@dataclass(slots=True)
class FakeForge:
    """A forge in a JSON file."""

    world: World

    def names(self, url: str) -> tuple[str, str]:
        return "owner", "repo"

    async def find(self, repo: ForgeRepo, branch: str, mission: str) -> PullRequest | None:
        found = self.world.read("pulls").get(branch)
        return PullRequest(**found) if found else None

    async def read(self, repo: ForgeRepo, number: int) -> PullRequest:
        pulls = self.world.read("pulls").values()
        return PullRequest(**next(p for p in pulls if p["number"] == number))


@dataclass(slots=True)
class FakeRemoteWriter:
    """Pushes into a JSON file, and counts what reached the remote."""

    world: World
    forge: FakeForge
    credential: bool = True

    async def credential_ready(self, url: str) -> bool:
        return self.credential

    async def push(self, capability: Capability, *, mirror: str, url: str) -> bool:
        if self.world.read("remote").get(capability.branch) == capability.commit:
            return False
        self.world.keep("remote", capability.branch, capability.commit)
        self.world.count("push")
        return True

    async def open_draft(
        self, capability: Capability, repo: ForgeRepo, *, base: str, title: str, body: str
    ) -> tuple[PullRequest, bool]:
        found = await self.forge.find(repo, capability.branch, capability.mission)
        if found is not None:
            return found, True
        facts: dict[str, Any] = {
            "number": len(self.world.read("pulls")) + 1,
            "url": "http://127.0.0.1/pull/1",
            "draft": True,
            "open": True,
            "merged": False,
            "head_branch": capability.branch,
            "head_sha": capability.commit,
            "base_branch": base,
            "title": title,
            "body": body,
        }
        self.world.keep("pulls", capability.branch, facts)
        self.world.count("pull_request")
        return PullRequest(**facts), False
