"""The draft-PR gate: ten checks, then one push and one draft pull request (domain.md §13).

The only module that names the port which writes to a remote. It fails closed: what is not known
to be true refuses.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from core.delivery.capability import Capability, CapabilityOffice
from core.delivery.forge import ForgeRepo, PullRequest
from core.delivery.gate_checks import GateAnswer, GateFacts, evaluate
from core.delivery.pull_request import body_of, title_of
from core.desk import Desk
from core.errors import CockpitError, Refused, Unavailable
from core.journal.envelope import Event
from core.journal.events.delivery import BranchPushed, GateChecked, PullRequestOpened
from core.journal.events.mission import MissionDone
from core.journal.events.session import SessionDelivered
from core.judgement.verdicts import VerdictKind
from core.missions.run_steps import repo_of
from core.missions.state import MissionState
from core.missions.steps import Step
from core.repos.policy import settings_of
from core.repos.settings import RemoteSettings


class RemoteWriter(Protocol):
    """Writes to a remote: one branch, one draft pull request, and only with a capability.

    Raises:
        Unavailable: ``HOLD-GITHUB-AUTH``, ``HOLD-REMOTE-MOVED`` or ``FORGE_UNAVAILABLE``.
        Refused: ``CAPABILITY_INVALID`` or ``CAPABILITY_EXPIRED``.
    """

    async def credential_ready(self, url: str) -> bool:
        """Whether the remote asks for no credential, or there is one."""
        ...

    async def push(self, capability: Capability, *, mirror: str, url: str) -> bool:
        """Push the capability's commit as its branch; False when it was there already."""
        ...

    async def open_draft(
        self, capability: Capability, repo: ForgeRepo, *, base: str, title: str, body: str
    ) -> tuple[PullRequest, bool]:
        """Open the draft pull request, or find it; re-read. The flag says that it was there."""
        ...


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate of one Desk."""

    writer: RemoteWriter
    office: CapabilityOffice

    async def check(self, desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
        """Ask the ten in order and record the answer."""
        assert state.package is not None
        facts = await self._facts(desk, state)
        answer = evaluate(facts)
        return [
            GateChecked(
                digest=state.package.digest,
                open=answer.open,
                code=_code(answer),
                checks=tuple(asdict(check) for check in answer.checks),
                facts={"push_url": facts.push_url, "reason": answer.reason},
            )
        ]

    async def _facts(self, desk: Desk, state: MissionState) -> GateFacts:
        """Evaluate from the cheap to the costly; nothing is asked of a remote without need."""
        settings = settings_of(desk, desk.repo(state.repo))
        remote = settings.remote
        known = _known_facts(desk, state, enabled=settings.enabled, remote=remote)
        before_network = evaluate(GateFacts(**known))
        if before_network.pending != "base_on_remote" or remote.url is None:
            return GateFacts(**known)
        known["base_on_remote"] = await self._base_on_remote(desk, state, remote.url)
        if evaluate(GateFacts(**known)).pending == "credential":
            known["credential"] = await self.writer.credential_ready(remote.url)
        return GateFacts(**known)

    async def _base_on_remote(self, desk: Desk, state: MissionState, url: str) -> bool:
        try:
            return await desk.ports.workshop.is_on_remote(
                repo_of(desk, state), state.base, url, state.base_branch
            )
        except Unavailable as error:
            if error.code == "HOLD-GITHUB-AUTH":
                raise
            return False

    def _capability(self, desk: Desk, state: MissionState) -> Capability:
        """Issue the right to write, for exactly the commit that was judged."""
        package = state.package
        if package is None or state.gate_code != "" or state.delivery_digest != package.digest:
            raise Refused("GATE_CLOSED", "The gate is not open for this evidence.")
        return self.office.issue(
            mission=state.id,
            branch=state.branch,
            commit=package.head,
            digest=package.digest,
            now=desk.context.now(),
        )

    async def push(self, desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
        """Push the one branch; repeatable, for the remote is asked first."""
        capability = self._capability(desk, state)
        settings = settings_of(desk, desk.repo(state.repo))
        assert settings.remote.url is not None
        pushed = await self.writer.push(capability, mirror=state.repo, url=settings.remote.url)
        return [
            BranchPushed(
                digest=capability.digest,
                branch=capability.branch,
                commit=capability.commit,
                already_there=not pushed,
            )
        ]

    async def open(self, desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
        """Open the draft pull request; repeatable, for the forge is asked first."""
        capability = self._capability(desk, state)
        settings = settings_of(desk, desk.repo(state.repo))
        found, there = await self.writer.open_draft(
            capability,
            forge_repo(desk, settings.remote),
            base=state.base_branch,
            title=title_of(state),
            body=body_of(desk, state),
        )
        if found.head_sha and found.head_sha != capability.commit:
            raise Unavailable(
                "HOLD-REMOTE-MOVED",
                "The pull request's head is not the commit that was validated.",
                data={"head": found.head_sha, "validated": capability.commit},
            )
        return [
            PullRequestOpened(
                digest=capability.digest,
                number=found.number,
                url=found.url,
                draft=found.draft,
                already_there=there,
            )
        ]


async def deliver(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """The pull request is open: mission and session are delivered."""
    session = desk.session(state.session)
    if session.state == "executing":
        await desk.write(
            f"session:{session.id}",
            [SessionDelivered(mission=state.id)],
            actor="system",
            key=f"{state.id}:delivered",
        )
    return [MissionDone(outcome="delivered")]


def _code(answer: GateAnswer) -> str:
    if answer.open:
        return ""
    return answer.code or "GATE_NOT_EVALUATED"


def _known_facts(
    desk: Desk, state: MissionState, *, enabled: bool, remote: RemoteSettings
) -> dict[str, Any]:
    assert state.package is not None
    facts = state.package.facts
    system = desk.settings.system
    return {
        "rehearsal": bool(state.rehearsal),
        "remote_writes": system.allow_remote_writes,
        "repo_listed": state.repo in system.remote_write_repos,
        "repo_enabled": enabled,
        "remote_supported": _supported(desk, remote),
        "no_forbidden_path": facts.get("forbidden_path") is False,
        "no_secret": facts.get("secret") is False,
        "validators_passed": _both_pass(state),
        "approved": state.decision == "AUTO_MERGE" or bool(state.lifted_by),
        "push_url": remote.url,
        "forge_url": _api_url(desk, remote),
    }


def _both_pass(state: MissionState) -> bool:
    passed: list[VerdictKind] = [v.verdict for v in state.verdicts.values()]
    return len(passed) >= 2 and all(verdict == "pass" for verdict in passed)


def _api_url(desk: Desk, remote: RemoteSettings) -> str:
    return remote.forge_url or desk.settings.forge.github.base_url


def _supported(desk: Desk, remote: RemoteSettings) -> bool:
    try:
        return remote.url is not None and bool(forge_repo(desk, remote).name)
    except CockpitError:
        return False


def forge_repo(desk: Desk, remote: RemoteSettings) -> ForgeRepo:
    """Where the repository lives on its forge.

    Raises:
        Refused: ``REMOTE_MISSING`` when the URL names no owner and repository.
    """
    if remote.url is None:
        raise Refused("REMOTE_MISSING", "The repository has no remote in the registry.")
    owner, name = desk.ports.forge.names(remote.url)
    return ForgeRepo(remote.url, _api_url(desk, remote), owner, name)
