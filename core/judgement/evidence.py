"""Evidence: what the harness itself measured about a commit, as a package with a digest (§8).

Two scopes with the same files: a run package decides whether its commit may join the mission
branch; verdicts, risk, decision and gate bind to the mission package. The coder's words stay out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from core.desk import Desk
from core.journal.tables import UsageRow, table_of
from core.judgement.changes import PathChange, shown_path
from core.judgement.judge_input import JudgeFacts, judge_input
from core.judgement.network_words import opens_connection
from core.judgement.package import PackageWriter
from core.judgement.paths import Hit, PathRules, PathSet
from core.judgement.risk import AddedLine, Risk, RiskFacts, assess
from core.judgement.secrets import Finding, scan
from core.missions.state import MissionState, Run
from core.missions.workshop import RepoRef
from core.repos.settings import RepoSettings, from_snapshot

_LINES_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out about the diff between two commits."""

    changes: tuple[PathChange, ...]
    hits: tuple[Hit, ...]
    secrets: tuple[Finding, ...]
    risk: Risk

    @property
    def added(self) -> int:
        """Added lines."""
        return sum(change.added for change in self.changes)

    @property
    def deleted(self) -> int:
        """Deleted lines."""
        return sum(change.deleted for change in self.changes)


@dataclass(frozen=True, slots=True)
class Package:
    """A finished package.

    Attributes:
        problems: what keeps a run's commit off the mission branch: ``secret``,
            ``forbidden_path``, ``tests`` or ``empty``.
    """

    digest: str
    folder: Path
    measured: Measured
    problems: tuple[str, ...]

    @property
    def files(self) -> int:
        """How many paths changed."""
        return len(self.measured.changes)

    @property
    def added(self) -> int:
        """Added lines."""
        return self.measured.added

    @property
    def deleted(self) -> int:
        """Deleted lines."""
        return self.measured.deleted


@dataclass(frozen=True, slots=True)
class Scope:
    """What a package is about."""

    name: str
    base: str
    head: str
    commands: Sequence[Mapping[str, Any]]
    number: int
    run: str = ""
    findings: Sequence[Mapping[str, Any]] = ()


async def run_package(desk: Desk, state: MissionState, run: Run, repo: RepoRef) -> Package:
    """The package of one run: base is the task's start, head the task's commit."""
    assert run.commit is not None
    scope = Scope(run.id, run.base, run.commit, run.commands, run.attempt, run.id, run.findings)
    return await _build(desk, state, repo, scope)


async def mission_package(
    desk: Desk,
    state: MissionState,
    repo: RepoRef,
    *,
    number: int,
    commands: Sequence[Mapping[str, Any]],
) -> Package:
    """The package of the mission: base is its base, head its tip after all tasks are merged."""
    scope = Scope(f"{state.id}-{number}", state.base, state.head, commands, number)
    return await _build(desk, state, repo, scope)


async def measure_diff(
    desk: Desk, settings: RepoSettings, repo: RepoRef, base: str, head: str
) -> Measured:
    """Forbidden paths, secrets and risk of a diff; any git error fails closed.

    Raises:
        Unavailable: ``HOLD-EVIDENCE-INCOMPLETE``.
    """
    workshop = desk.ports.workshop
    known = await desk.aside(desk.known_secrets)
    changes = await workshop.changes(repo, base, head)
    allowed = settings.paths.allowed or None
    rules = PathRules((*desk.policy.paths.forbidden, *settings.paths.forbidden), allowed)
    secrets: list[Finding] = list(
        scan((), names=[n for c in changes for n in c.names], known=known)
    )
    network: list[AddedLine] = []
    batch: list[AddedLine] = []

    def take() -> None:
        secrets.extend(scan(batch, known=known))
        network.extend(line for line in batch if opens_connection(line, desk.policy.risk))
        batch.clear()

    async for path, number, text in workshop.added_lines(repo, base, head):
        batch.append(AddedLine(path, number, text))
        if len(batch) >= _LINES_AT_ONCE:
            await desk.aside(take)
    await desk.aside(take)
    facts = RiskFacts(rules=rules, sensitive=settings.paths.sensitive, added_lines=network)
    risk = await desk.aside(lambda: assess(changes, desk.policy, facts))
    return Measured(changes, tuple(rules.check(changes)), tuple(secrets), risk)


async def _build(desk: Desk, state: MissionState, repo: RepoRef, scope: Scope) -> Package:
    settings = from_snapshot(state.settings)
    measured = await measure_diff(desk, settings, repo, scope.base, scope.head)
    writer = await desk.aside(lambda: PackageWriter(desk.folders.evidence / scope.name))
    patch = writer.path("diff.patch")
    stored = await desk.ports.workshop.write_patch(repo, scope.base, scope.head, patch)
    spec = desk.blobs.read(state.spec).decode("utf-8")

    def write() -> str:
        _write_facts(writer, state, scope, measured, spec)
        writer.json(
            "diff-stat.json",
            {
                "files": len(measured.changes),
                "added": measured.added,
                "deleted": measured.deleted,
                "patch_bytes": stored.size,
                "patch_sha256": stored.sha256,
            },
        )
        writer.json("usage.json", _usage(desk, state))
        writer.json("dependencies.json", _dependencies(desk, measured.changes))
        logs = _write_commands(writer, scope)
        facts = _judge_facts(desk, state, scope, measured, spec=spec, patch=patch, logs=logs)
        writer.bytes("judge-input.json", judge_input(facts, token=desk.context.token))
        return writer.finish()

    digest = await desk.aside(write)
    return Package(digest, writer.folder, measured, _problems(measured, scope))


def _write_facts(
    writer: PackageWriter, state: MissionState, scope: Scope, measured: Measured, spec: str
) -> None:
    criteria = "\n".join(f"- {c['id']}: {c['text']} ({c['source']})" for c in state.criteria)
    writer.text("task.md", f"# {state.title}\n\n{state.goal}\n\n{criteria}\n\n{spec}\n")
    writer.json(
        "changed-paths.json",
        {
            "paths": [change_facts(change) for change in measured.changes],
            "forbidden": [asdict(hit) for hit in measured.hits],
        },
    )
    writer.json("secrets.json", {"findings": [_finding(each) for each in measured.secrets]})
    writer.json("risk.json", measured.risk.model_dump(mode="json"))
    writer.json(
        "worktree.json",
        {
            "mission": state.id,
            "run": scope.run,
            "base": scope.base,
            "head": scope.head,
            "branch": state.branch,
            "where": state.where,
            "rehearsal": state.rehearsal,
            "findings": [dict(each) for each in scope.findings],
        },
    )
    if not scope.run:
        writer.json("runs.json", {run.id: run.digest for run in state.runs.values() if run.digest})


def change_facts(change: PathChange) -> dict[str, Any]:
    """A changed path as it stands in ``changed-paths.json``."""
    return {
        "status": change.status,
        "path": shown_path(change.path),
        "old_path": shown_path(change.old_path) if change.old_path else None,
        "mode": change.mode,
        "old_mode": change.old_mode,
        "binary": change.binary,
        "added": change.added,
        "deleted": change.deleted,
        "symlink_target": shown_path(change.symlink_target) if change.symlink_target else None,
        "submodule": change.touches_submodule,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return asdict(finding)


def _write_commands(writer: PackageWriter, scope: Scope) -> dict[str, Path]:
    """``tests.json`` and the logs beside it; the log's path in it is the package's own."""
    logs: dict[str, Path] = {}
    rows = []
    for command in scope.commands:
        row = dict(command)
        if row["log"]:
            name = f"logs/{row['name']}.log"
            writer.copy(name, Path(row["log"]))
            logs[row["name"]] = writer.path(name)
            row["log"] = name
        rows.append(row)
    writer.json("tests.json", {"commands": rows})
    return logs


def _usage(desk: Desk, state: MissionState) -> list[dict[str, Any]]:
    table = table_of(UsageRow)
    with desk.journal.query() as connection:
        found = connection.execute(
            select(table).where(table.c.mission == state.id).order_by(table.c.id)
        )
        return [{**row, "at": row["at"].isoformat()} for row in found.mappings()]


def _dependencies(desk: Desk, changes: Sequence[PathChange]) -> dict[str, Any]:
    known = PathSet(desk.policy.risk.patterns.dependency)
    touched = [name for c in changes for name in c.names if known.rule_for(name) is not None]
    return {"files": [shown_path(name) for name in dict.fromkeys(touched)]}


def _judge_facts(
    desk: Desk,
    state: MissionState,
    scope: Scope,
    measured: Measured,
    *,
    spec: str,
    patch: Path,
    logs: Mapping[str, Path],
) -> JudgeFacts:
    return JudgeFacts(
        number=scope.number,
        title=state.title,
        goal=state.goal,
        spec=spec,
        criteria=state.criteria,
        changes=[change_facts(change) for change in measured.changes],
        commands=scope.commands,
        risk=measured.risk.model_dump(mode="json"),
        patch=patch,
        logs=logs,
        known=desk.known_secrets(),
        hidden=(str(desk.folders.worktrees), str(desk.folders.data), str(Path.home())),
    )


def _problems(measured: Measured, scope: Scope) -> tuple[str, ...]:
    found = {
        "secret": bool(measured.secrets),
        "forbidden_path": bool(measured.hits),
        "tests": any(command["status"] == "failed" for command in scope.commands),
        "empty": not measured.changes,
    }
    return tuple(name for name, holds in found.items() if holds)
