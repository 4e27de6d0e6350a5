"""GitHub's pull requests: read through the Forge port, and opened as drafts for the gate alone.

A write whose answer was lost is looked for before it is made again, so nothing is doubled. There
is no way to merge.
"""

import re
from collections.abc import Callable
from typing import Any

from core.delivery.forge import ForgeRepo, PullRequest
from core.errors import Refused, Unavailable
from runner.forge.api import PACE, GithubApi
from runner.forge.remotes import owner_and_name
from runner.waiting import Pace

MOST_BODY = 65_536
_CUT = "\n\n[cut: the whole is in the evidence package]"
_MARK = "\n\nCockpit-Mission: {mission}"


class GithubForge:
    """Reads pull requests."""

    def __init__(self, token: Callable[[], str | None], pace: Pace = PACE):
        """Take the token from ``token`` when it is needed; it may block."""
        self._api = GithubApi(token, pace)

    def names(self, url: str) -> tuple[str, str]:
        """Owner and repository of a push URL; raises ``Refused`` ``REMOTE_MISSING``."""
        return owner_and_name(url)

    async def find(self, repo: ForgeRepo, branch: str, mission: str) -> PullRequest | None:
        """The newest pull request of ``branch`` whose body holds the mission id, if any."""
        return await self._api.patiently(lambda: _find(self._api, repo, branch, mission))

    async def read(self, repo: ForgeRepo, number: int) -> PullRequest:
        """One pull request, read again from the forge."""
        return await self._api.patiently(lambda: _read(self._api, repo, number))


class GithubWriter:
    """Opens draft pull requests. It belongs into the hands of the gate's remote writer only."""

    def __init__(
        self, token: Callable[[], str | None], pace: Pace = PACE, timeout_seconds: float = 30.0
    ):
        """Take the token from ``token`` when it is needed; it may block."""
        self._api = GithubApi(token, pace, timeout_seconds)

    async def open_draft(
        self, repo: ForgeRepo, *, mission: str, head: str, base: str, title: str, body: str
    ) -> tuple[PullRequest, bool]:
        """Open the draft, or find the one that is there; re-read it. The flag says it was there.

        What is found is told as it is: it may be closed, or no draft any more.

        Raises:
            Unavailable: the forge can't be reached or refuses the credential.
            Refused: ``FORGE_REFUSED``.
        """
        asked = {
            "title": title,
            "head": head,
            "base": base,
            "body": bounded_body(body, mission),
            "draft": True,
            "maintainer_can_modify": False,
        }
        tried: list[str] = []

        async def find_or_make() -> tuple[int, bool]:
            found = await _find(self._api, repo, head, mission)
            if found is not None:
                return found.number, not tried
            return await self._make(repo, asked, mission, tried)

        number, there = await self._api.patiently(find_or_make)
        return await self._api.patiently(lambda: _read(self._api, repo, number)), there

    async def _make(
        self, repo: ForgeRepo, asked: dict[str, Any], mission: str, tried: list[str]
    ) -> tuple[int, bool]:
        """One POST. If its outcome is unknown the caller comes again, and looks first."""
        try:
            return pull_request(await self._api.post(repo, "/pulls", asked)).number, False
        except Unavailable as error:
            if error.code == "FORGE_UNAVAILABLE":
                tried.append(error.code)
            raise
        except Refused as error:
            if error.data.get("status") != 422:
                raise
            # Another call may have been faster, or an earlier one may have got through after all.
            found = await _find(self._api, repo, asked["head"], mission)
            if found is None:
                raise
            return found.number, not tried


async def _find(api: GithubApi, repo: ForgeRepo, branch: str, mission: str) -> PullRequest | None:
    names = {"head": f"{repo.owner}:{branch}", "state": "all", "per_page": "100"}
    found = await api.get(repo, "/pulls{?head,state,per_page}", names)
    if not isinstance(found, list):
        raise Unavailable("FORGE_UNAVAILABLE", "The forge's answer is no list of pull requests.")
    # A forge that does not understand the filter answers with everything.
    pulls = [each for each in map(pull_request, found) if each.head_branch == branch]
    ours = re.compile(rf"(?<![\w-]){re.escape(mission)}(?![\w-])")
    return max((p for p in pulls if ours.search(p.body)), key=lambda p: p.number, default=None)


async def _read(api: GithubApi, repo: ForgeRepo, number: int) -> PullRequest:
    return pull_request(await api.get(repo, "/pulls/{number}", {"number": str(number)}))


def bounded_body(body: str, mission: str) -> str:
    """The body as the forge takes it: not too long, the cut told, and the mission named."""
    mark = _MARK.format(mission=mission)
    whole = body if mission in body else body + mark
    if len(whole) <= MOST_BODY:
        return whole
    return body[: MOST_BODY - len(_CUT) - len(mark)] + _CUT + mark


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
