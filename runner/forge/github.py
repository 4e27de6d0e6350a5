"""GitHub's REST API: pull requests are read here, and drafts are opened for the gate alone.

The client library signs and shapes requests; retries, unknown outcomes and bounds are ours. A
write whose answer was lost is looked for before it is made again, so nothing is doubled.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2

from core.delivery.forge import ForgeRepo, PullRequest
from core.errors import Refused, Unavailable
from runner.forge.remotes import owner_and_name
from runner.judges.bounded import client

if TYPE_CHECKING:
    from gidgethub.httpx import GitHubAPI

API_VERSION = "2022-11-28"
REHEARSAL_TOKEN = "rehearsal"  # noqa: S105 - the placeholder for a forge on this machine
_SECONDS = 30.0
_MAX_BODY = 65_536
_ATTEMPTS = 3
_FIRST_WAIT = 0.5
_CUT = "\n\n[cut: the whole is in the evidence package]"


class GithubForge:
    """Reads pull requests."""

    def __init__(self, token: Callable[[], str | None]):
        """Take the token from ``token`` when it is needed; it may block."""
        self._token = token

    def names(self, url: str) -> tuple[str, str]:
        """Owner and repository of a push URL; raises ``Refused`` ``REMOTE_MISSING``."""
        return owner_and_name(url)

    async def find(self, repo: ForgeRepo, branch: str, mission: str) -> PullRequest | None:
        """The newest pull request of ``branch`` whose body holds the mission id, if any."""
        path = f"/repos/{repo.owner}/{repo.name}/pulls{{?head,state,per_page}}"
        names = {"head": f"{repo.owner}:{branch}", "state": "all", "per_page": "50"}
        found: list[Any] = await self._read(repo, path, names)
        ours = [each for each in found if mission in str(each.get("body") or "")]
        return pull_request(ours[0]) if ours else None

    async def read(self, repo: ForgeRepo, number: int) -> PullRequest:
        """One pull request, read again from the forge."""
        path = f"/repos/{repo.owner}/{repo.name}/pulls/{{number}}"
        return pull_request(await self._read(repo, path, {"number": str(number)}))

    async def _read(self, repo: ForgeRepo, path: str, names: dict[str, str]) -> Any:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self.session(repo) as api:
                    return await api.getitem(path, names)
            except Unavailable as error:
                if error.code != "FORGE_UNAVAILABLE" or attempt == _ATTEMPTS:
                    raise
            await asyncio.sleep(_FIRST_WAIT * attempt)
        raise AssertionError("the last attempt returns or raises")

    async def post(self, repo: ForgeRepo, path: str, data: dict[str, Any]) -> Any:
        """One POST, not repeated; used by the writer."""
        async with self.session(repo) as api:
            return await api.post(path, data=data)

    @asynccontextmanager
    async def session(self, repo: ForgeRepo) -> AsyncIterator["GitHubAPI"]:
        """A client for one request; what goes wrong becomes a typed error.

        Raises:
            Unavailable: ``HOLD-GITHUB-AUTH``, ``HOLD-RATE-LIMIT`` or ``FORGE_UNAVAILABLE``.
            Refused: ``FORGE_REFUSED`` for what the forge will never accept.
        """
        import gidgethub
        from gidgethub.httpx import GitHubAPI

        token = await asyncio.to_thread(self._token)
        async with client(_SECONDS) as http:
            try:
                yield GitHubAPI(http, "operator-cockpit", oauth_token=token, base_url=repo.api_url)
            except gidgethub.RateLimitExceeded as error:
                raise Unavailable(
                    "HOLD-RATE-LIMIT", "The forge's rate limit is reached."
                ) from error
            except gidgethub.BadRequest as error:
                raise _refused(error) from error
            except (gidgethub.GitHubException, httpx2.HTTPError, ValueError) as error:
                raise Unavailable(
                    "FORGE_UNAVAILABLE",
                    f"The forge did not answer: {type(error).__name__}.",
                    recovery="Try again later.",
                ) from error


def _refused(error: Any) -> Exception:
    status = int(error.status_code)
    if status in (401, 403):
        return Unavailable(
            "HOLD-GITHUB-AUTH",
            f"The forge refused the credential ({status}).",
            recovery="Store a token that may open pull requests: cockpit secret set github_token",
            data={"status": status},
        )
    return Refused(
        "FORGE_REFUSED",
        f"The forge refused the request ({status}).",
        data={"status": status, "answer": str(error)[:500]},
    )


def pull_request(raw: Any) -> PullRequest:
    """A pull request out of the forge's answer.

    Raises:
        Unavailable: ``FORGE_UNAVAILABLE`` for an answer that is none.
    """
    try:
        return PullRequest(
            number=int(raw["number"]),
            url=str(raw["html_url"]),
            draft=raw.get("draft") is True,
            open=raw["state"] == "open",
            merged=bool(raw.get("merged_at")),
            head_branch=str(raw["head"]["ref"]),
            head_sha=str(raw["head"]["sha"]),
            base_branch=str(raw["base"]["ref"]),
            title=str(raw["title"]),
            body=str(raw.get("body") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable("FORGE_UNAVAILABLE", "The forge's answer is no pull request.") from error


async def open_draft(
    forge: GithubForge,
    repo: ForgeRepo,
    *,
    mission: str,
    head: str,
    base: str,
    title: str,
    body: str,
) -> tuple[PullRequest, bool]:
    """Open the draft, or find the one that is there; re-read it. The flag says it was there.

    Raises:
        Unavailable: the forge can't be reached or refuses the credential.
        Refused: ``FORGE_REFUSED``.
    """
    found = await forge.find(repo, head, mission)
    if found is not None:
        return found, True
    data = {
        "title": title,
        "head": head,
        "base": base,
        "body": body if len(body) <= _MAX_BODY else body[: _MAX_BODY - len(_CUT)] + _CUT,
        "draft": True,
        "maintainer_can_modify": False,
    }
    try:
        made = pull_request(await forge.post(repo, f"/repos/{repo.owner}/{repo.name}/pulls", data))
    except (Unavailable, Refused) as error:
        # The outcome is unknown, or another call was faster: look before anything else.
        there = await _look_again(forge, repo, head, mission, error)
        return there, True
    return await forge.read(repo, made.number), False


async def _look_again(
    forge: GithubForge, repo: ForgeRepo, head: str, mission: str, error: Unavailable | Refused
) -> PullRequest:
    if error.code == "HOLD-GITHUB-AUTH":
        raise error
    found = await forge.find(repo, head, mission)
    if found is None:
        raise error
    return found
