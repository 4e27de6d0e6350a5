"""What writes to a remote: one push and one draft pull request, each under a capability.

Built by ``cockpit/compose.py`` and handed to the gate alone.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from core.delivery.capability import Capability
from core.delivery.forge import ForgeRepo, PullRequest
from core.delivery.local_urls import is_local_url
from runner.forge.github import GithubForge, open_draft
from runner.forge.remotes import address_of


class Pusher(Protocol):
    """The part of the git door that pushes."""

    async def push(
        self, mirror: str, url: str, *, branch: str, commit: str, token: str | None
    ) -> bool:
        """Push ``commit`` as ``branch``; False when the remote had it already."""
        ...


class GitRemoteWriter:
    """Pushes through the git door and opens drafts at the forge."""

    def __init__(
        self,
        pusher: Pusher,
        forge: GithubForge,
        token: Callable[[], str | None],
        check: Callable[..., None],
    ):
        """Use ``check`` to tell a genuine capability; it raises for any other."""
        self._pusher = pusher
        self._forge = forge
        self._token = token
        self._check = check

    async def credential_ready(self, url: str) -> bool:
        """Whether the remote asks for no credential, or there is one."""
        if is_local_url(url) or address_of(url).scheme == "ssh":
            return True
        return bool(await asyncio.to_thread(self._token))

    async def push(self, capability: Capability, *, mirror: str, url: str) -> bool:
        """Push the capability's commit as its branch; False when it was there already."""
        branch, commit = capability.branch, capability.commit
        self._check(capability, branch=branch, commit=commit, now=datetime.now(UTC))
        token = None if is_local_url(url) else await asyncio.to_thread(self._token)
        return await self._pusher.push(mirror, url, branch=branch, commit=commit, token=token)

    async def open_draft(
        self, capability: Capability, repo: ForgeRepo, *, base: str, title: str, body: str
    ) -> tuple[PullRequest, bool]:
        """Open the draft pull request, or find it; re-read."""
        self._check(
            capability, branch=capability.branch, commit=capability.commit, now=datetime.now(UTC)
        )
        return await open_draft(
            self._forge,
            repo,
            mission=capability.mission,
            head=capability.branch,
            base=base,
            title=title,
            body=body,
        )
