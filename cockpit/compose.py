"""The one place that wires the wings together. It contains no Qt and no rules."""

import os
import secrets
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from core import catalog
from core.context import Context
from core.delivery.capability import CapabilityOffice
from core.delivery.gate import Gate, RemoteWriter, deliver
from core.desk import Desk, Endpoints
from core.folders import Folders
from core.journal import events
from core.journal.blobs import Blobs
from core.journal.events.system import CoreStarted, CoreStopped
from core.journal.journal import Journal
from core.journal.projections import ReadTables
from core.judgement import steps as judgement_steps
from core.judgement.judge import Judge
from core.missions import run_steps
from core.missions.conductor import Action, Conductor, Point, no_point
from core.missions.missions import MissionAggregate
from core.missions.review import review
from core.planning.conversation import answer_open_turns
from core.planning.sessions import SessionAggregate
from core.policy import load_policy
from core.ports import Ports
from core.repos.registry import RepoAggregate, SystemAggregate
from core.settings import Settings
from core.vault import Vault

if TYPE_CHECKING:
    from runner.agents.claude import Credential

__all__ = ["Core", "catalog", "events", "open_core"]


@dataclass(frozen=True, slots=True)
class Core:
    """A running core: the Desk and the conductor that drives it."""

    desk: Desk
    conductor: Conductor
    vault: Vault | None = None


@dataclass(frozen=True, slots=True)
class ConfiguredEndpoints:
    """Where providers are reached: the settings' URLs, or the rehearsal server's."""

    settings: Settings
    rehearsal_url: Callable[[str], str] | None

    def base_url(self, provider: str, rehearsal: str) -> str | None:
        """The base URL of a provider; None for the provider's own."""
        configured: str | None = getattr(self.settings.providers, provider).base_url
        if rehearsal and configured is None and self.rehearsal_url is not None:
            return self.rehearsal_url(rehearsal)
        return configured

    def model(self, provider: str) -> str:
        """The model's name."""
        return str(getattr(self.settings.providers, provider).model)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a core is made of beside its folders and settings; tests bring their own."""

    ports: Ports
    writer: RemoteWriter
    endpoints: Endpoints
    office: CapabilityOffice
    known_secrets: Callable[[], Collection[str]] = tuple


@asynccontextmanager
async def open_core(
    folders: Folders, settings: Settings, *, at_point: Point = no_point
) -> AsyncIterator[Core]:
    """Open the journal and run the core with the real parts.

    The caller owns the journal (``cockpit.ownership``).
    """
    from runner.rehearsal import scripts
    from runner.rehearsal.server import RehearsalServer
    from runner.vault import open_vault

    vault = open_vault(folders, settings, dict(os.environ))
    async with RehearsalServer(scripts.load_all()) as rehearsal:
        parts = real_parts(folders, settings, vault, rehearsal.base_url)
        async with open_with(folders, settings, parts, at_point=at_point) as core:
            yield replace(core, vault=vault)


@asynccontextmanager
async def open_to_read(folders: Folders, settings: Settings) -> AsyncIterator[Core]:
    """Open the journal to look at it: nothing is driven, and nothing is recorded."""
    from runner.vault import open_vault

    vault = open_vault(folders, settings, dict(os.environ))
    parts = real_parts(folders, settings, vault, None)
    async with open_with(folders, settings, parts, conduct=False) as core:
        yield replace(core, vault=vault)


@asynccontextmanager
async def open_with(
    folders: Folders,
    settings: Settings,
    parts: Parts,
    *,
    context: Context | None = None,
    at_point: Point = no_point,
    conduct: bool = True,
) -> AsyncIterator[Core]:
    """Open the journal and run the core with the given parts.

    Args:
        conduct: drive what is under way; without, the core only answers.
        at_point: told when a step passes its intent, act, outcome and end.
    """
    context = context or Context()
    journal = Journal.open(
        folders.journal_file,
        context=context,
        aggregates={
            "session": SessionAggregate(),
            "mission": MissionAggregate(),
            "repo": RepoAggregate(),
            "system": SystemAggregate(),
        },
        projections=[ReadTables()],
    )
    try:
        desk = Desk(
            journal=journal,
            blobs=Blobs(folders.blobs),
            context=context,
            settings=settings,
            policy=load_policy(),
            folders=folders,
            ports=parts.ports,
            endpoints=parts.endpoints,
            known_secrets=parts.known_secrets,
        )
        gate = Gate(parts.writer, parts.office)
        conductor = Conductor(desk, actions(gate), answer_open_turns, at_point)
        if not conduct:
            yield Core(desk, conductor)
            return
        started = CoreStarted(pid=os.getpid(), version=version("operator-cockpit"))
        await desk.write("system", [started], actor="system")
        await conductor.start()
        try:
            yield Core(desk, conductor)
        finally:
            await conductor.close()
            stopped = CoreStopped(pid=os.getpid(), reason="closed")
            await desk.write("system", [stopped], actor="system")
    finally:
        journal.close()


def actions(gate: Gate) -> dict[str, Action]:
    """What each step of the conductor does, and the hold it ends in without a code of its own."""
    return {
        "assign": Action(run_steps.assign),
        "checkpoint": Action(run_steps.checkpoint),
        "prepare": Action(run_steps.prepare, "harness", "HOLD-TARGET-REPO-UNAVAILABLE"),
        "code": Action(
            run_steps.code, "harness", "HOLD-CODER-FAILED", recover=run_steps.find_coder
        ),
        "commit": Action(run_steps.commit, "harness"),
        "test": Action(run_steps.test, "harness"),
        "evidence": Action(run_steps.evidence, "harness"),
        "review": Action(review, "reviewer", "HOLD-PLANNER-CLI"),
        "merge": Action(run_steps.merge, "harness", "HOLD-MERGE-CONFLICT"),
        "finish": Action(run_steps.finish),
        "hold": Action(run_steps.hold),
        "package": Action(judgement_steps.package, "harness"),
        "validate": Action(judgement_steps.validate, "system", "HOLD-VALIDATOR-CONFIG"),
        "decide": Action(judgement_steps.judge),
        "gate": Action(gate.check, "system", "HOLD-GITHUB-AUTH"),
        "push": Action(gate.push, "system", "HOLD-GITHUB-AUTH"),
        "pull_request": Action(gate.open, "system", "HOLD-GITHUB-AUTH"),
        "deliver": Action(deliver),
    }


def real_parts(
    folders: Folders,
    settings: Settings,
    vault: Vault,
    rehearsal_url: Callable[[str], str] | None,
) -> Parts:
    """Adapters for git, the Claude CLI, the validators and GitHub."""
    from runner.coder import HostCoder
    from runner.forge.github import GithubForge, GithubWriter
    from runner.forge.remote_writer import GitRemoteWriter, credential_for
    from runner.git.door import GitDoor
    from runner.git.workshop import GitWorkshop
    from runner.harness import HostHarness
    from runner.judges.gemini import GeminiJudge
    from runner.judges.openai import OpenaiJudge
    from runner.planner import ClaudePlanner
    from runner.prices import GenaiPrices

    claude = settings.providers.claude
    token = _secret(vault, "github_token")
    workshop = GitWorkshop(
        GitDoor(folders.data / "git"),
        folders,
        now=lambda: datetime.now(UTC),
        credential=lambda url: credential_for(url, token),
    )
    forge = GithubForge(token)
    judges: dict[str, Judge] = {
        "openai": OpenaiJudge(_secret(vault, "openai_api_key")),
        "gemini": GeminiJudge(_secret(vault, "gemini_api_key")),
    }
    ports = Ports(
        workshop=workshop,
        planner=ClaudePlanner(claude.cli, lambda: _credential(settings, vault)),
        coder=HostCoder(settings.coder.cli or claude.cli, lambda: _credential(settings, vault)),
        harness=HostHarness(),
        judges={f: judges[f] for f in settings.validators.families if f in judges},
        forge=forge,
        prices=GenaiPrices(),
    )
    office = CapabilityOffice(secrets.token_bytes(32))
    return Parts(
        ports,
        GitRemoteWriter(workshop, GithubWriter(token), token, office.check),
        ConfiguredEndpoints(settings, rehearsal_url),
        office,
        lambda: _known(vault),
    )


def _secret(vault: Vault, name: str) -> Callable[[], str | None]:
    def read() -> str | None:
        found = vault.get(name)
        return found.get_secret_value() if found is not None else None

    return read


def _credential(settings: Settings, vault: Vault) -> "Credential":
    """What the CLI proves itself with; never a paid key unless the settings say so."""
    from runner.agents.claude import Credential

    if settings.providers.claude.auth == "api_key":
        key = _secret(vault, "anthropic_api_key")()
        return Credential("api_key", key or "")
    token = _secret(vault, "claude_oauth_token")()
    return Credential("token", token) if token else Credential("login")


def _known(vault: Vault) -> tuple[str, ...]:
    """Every secret that can be read now, so that it is kept out of evidence."""
    if vault.locked:
        return ()
    values = (_secret(vault, name)() for name in vault.names())
    return tuple(value for value in values if value)
