"""What writes to a remote: one push and one draft pull request, each under a capability.

Built by ``cockpit/compose.py`` and handed to the gate alone.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from core.delivery.capability import Capability
from core.delivery.forge import ForgeRepo, PullRequest
from core.delivery.local_urls import is_local_url
from core.errors import Unavailable
from core.missions.workshop import RepoRef
from runner.forge.github import GithubWriter
from runner.forge.remotes import address_of
from runner.git.remote import Credential, Pushed
from runner.git.workshop import GitWorkshop


def credential_for(url: str, token: Callable[[], str | None]) -> Credential | None:
    """What the remote of ``url`` is asked with: the token over https, nothing anywhere else."""
    if is_local_url(url) or address_of(url).scheme != "https":
        return None
    found = token()
    return Credential(SecretStr(found)) if found else None


class GitRemoteWriter:
    """Pushes through the git door and opens drafts at the forge."""

    def __init__(
        self,
        workshop: GitWorkshop,
        writer: GithubWriter,
        token: Callable[[], str | None],
        check: Callable[..., None],
    ):
        """Use ``check`` to tell a genuine capability; it raises for any other."""
        self._workshop = workshop
        self._writer = writer
        self._token = token
        self._check = check

    async def credential_ready(self, url: str) -> bool:
        """Whether the remote asks for no credential, or there is one."""
        if is_local_url(url) or address_of(url).scheme == "ssh":
            return True
        return bool(await asyncio.to_thread(self._token))

    async def push(self, capability: Capability, *, mirror: str, url: str) -> bool:
        """Push the capability's commit as its branch, never by force.

        Returns:
            False when the remote had it already.

        Raises:
            Unavailable: ``HOLD-GITHUB-AUTH``, ``HOLD-REMOTE-MOVED`` for a branch that is
                elsewhere, or ``REMOTE_UNAVAILABLE``.
        """
        branch, commit = capability.branch, capability.commit
        self._check(capability, branch=branch, commit=commit, now=datetime.now(UTC))
        remote = await self._workshop.remote(RepoRef(mirror, Path(), ""), url)
        if await remote.head(branch) == commit:
            return False
        pushed = await remote.push(commit, branch)
        if pushed.outcome not in ("pushed", "already_there"):
            raise _not_pushed(branch, pushed)
        if await remote.head(branch) != commit:
            raise _moved(branch, "it does not show the pushed commit")
        return pushed.outcome == "pushed"

    async def open_draft(
        self, capability: Capability, repo: ForgeRepo, *, base: str, title: str, body: str
    ) -> tuple[PullRequest, bool]:
        """Open the draft pull request, or find it; re-read."""
        self._check(
            capability, branch=capability.branch, commit=capability.commit, now=datetime.now(UTC)
        )
        return await self._writer.open_draft(
            repo,
            mission=capability.mission,
            head=capability.branch,
            base=base,
            title=title,
            body=body,
        )


def _not_pushed(branch: str, pushed: Pushed) -> Unavailable:
    if pushed.outcome == "auth_required":
        return Unavailable(
            "HOLD-GITHUB-AUTH",
            "The remote refused the credential.",
            recovery="Store a token that may push: cockpit secret set github_token",
            data={"reason": pushed.reason},
        )
    if pushed.outcome == "rejected":
        return _moved(branch, pushed.reason)
    return Unavailable(
        "REMOTE_UNAVAILABLE",
        f"The push did not arrive: {pushed.reason or pushed.outcome}",
        recovery="Check the remote's address and the network, then retry.",
    )


def _moved(branch: str, reason: str) -> Unavailable:
    return Unavailable(
        "HOLD-REMOTE-MOVED",
        f"The remote's branch {branch} is elsewhere: {reason}",
        recovery="Look at the branch on the remote; nothing was overwritten.",
    )
