"""The port that reads a forge. What writes to a remote is the gate's alone (``gate.py``)."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as the forge tells it."""

    number: int
    url: str
    draft: bool
    open: bool
    merged: bool
    head_branch: str
    head_sha: str
    base_branch: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class ForgeRepo:
    """Where a repository lives on a forge.

    Attributes:
        push_url: what ``git push`` is given, out of the registry.
        api_url: the forge's REST root.
    """

    push_url: str
    api_url: str
    owner: str
    name: str


class Forge(Protocol):
    """Reads pull requests.

    Raises:
        Unavailable: ``HOLD-GITHUB-AUTH`` on 401/403, ``HOLD-RATE-LIMIT`` on a rate limit,
            ``FORGE_UNAVAILABLE`` when it does not answer after retries.
    """

    def names(self, url: str) -> tuple[str, str]:
        """Owner and repository of a push URL; for a local path both are made from its folders.

        Raises:
            Refused: ``REMOTE_MISSING`` when the URL names none.
        """
        ...

    async def find(self, repo: ForgeRepo, branch: str, mission: str) -> PullRequest | None:
        """The newest pull request of ``branch`` whose body holds the mission id, if any."""
        ...

    async def read(self, repo: ForgeRepo, number: int) -> PullRequest:
        """One pull request, read again from the forge."""
        ...
