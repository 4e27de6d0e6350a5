"""GitHub's REST API as one client: one request, or one with retries; what goes wrong is typed.

It knows no pull requests. The client library shapes requests and reads answers; time-outs,
bounds, retries and the choice of the credential are ours.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2
import stamina

from core.delivery.forge import ForgeRepo
from core.delivery.local_urls import is_local_url
from core.errors import Refused, Unavailable
from runner.http_client import JSON, client
from runner.waiting import Pace, seconds_of

if TYPE_CHECKING:
    from gidgethub import HTTPException

API_VERSION = "2022-11-28"
USER_AGENT = "operator-cockpit"
# What a forge on this machine is told; the operator's token is for the forge it was issued by.
LOCAL_TOKEN = "rehearsal"  # noqa: S105
PACE = Pace(first_wait=0.5, jitter=0.5, longest_wait=15.0)
_ATTEMPTS = 3
_HEADERS = {
    **JSON,
    "accept": "application/vnd.github+json",
    "x-github-api-version": API_VERSION,
    "user-agent": USER_AGENT,
}
_SENDABLE = re.compile(r"[\x21-\x7e]{1,1000}")
_T = TypeVar("_T")


class GithubApi:
    """Asks the forge of a repository; it keeps no connection."""

    def __init__(
        self, token: Callable[[], str | None], pace: Pace = PACE, timeout_seconds: float = 30.0
    ):
        """Take the token from ``token`` when it is needed; it may block."""
        self._token = token
        self._pace = pace
        self._timeout = timeout_seconds

    async def patiently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Repeat ``ask`` while the forge is away or asks for a short wait.

        Raises:
            Unavailable: what the last attempt raised.
        """

        def wait(error: Exception) -> float | bool:
            if not isinstance(error, Unavailable) or error.code == "HOLD-GITHUB-AUTH":
                return False
            asked = error.data.get("retry_after")
            if asked is None:
                return error.code == "FORGE_UNAVAILABLE"
            return float(asked) if asked <= self._pace.longest_wait else False

        async for each in stamina.retry_context(
            on=wait,
            attempts=_ATTEMPTS,
            timeout=None,
            wait_initial=self._pace.first_wait,
            wait_max=self._pace.longest_wait,
            wait_jitter=self._pace.jitter,
        ).with_name("forge", (), {}):
            with each:
                return await ask()
        raise AssertionError("the last attempt returns or raises")

    async def get(self, repo: ForgeRepo, path: str, names: Mapping[str, str]) -> Any:
        """One GET of ``path``, a URI template below the repository.

        Raises:
            Unavailable: ``HOLD-GITHUB-AUTH``, ``HOLD-RATE-LIMIT`` or ``FORGE_UNAVAILABLE``.
            Refused: ``FORGE_REFUSED`` for what the forge will never accept.
        """
        return await self._ask(repo, "GET", path, names, b"")

    async def post(self, repo: ForgeRepo, path: str, data: Mapping[str, Any]) -> Any:
        """One POST; raises as :meth:`get` does. After ``FORGE_UNAVAILABLE`` look before another."""
        return await self._ask(repo, "POST", path, {}, dict(data))

    async def _ask(
        self, repo: ForgeRepo, method: str, path: str, names: Mapping[str, str], data: Any
    ) -> Any:
        token = await asyncio.to_thread(self._credential, repo.api_url)
        headers = {**_HEADERS, "authorization": f"Bearer {token}"}
        http = await asyncio.to_thread(client, self._timeout, headers)
        async with http:
            try:
                async with asyncio.timeout(self._timeout):
                    return await _send(http, repo, method, path=path, names=names, data=data)
            except TimeoutError:
                raise _away(f"it gave no answer in {self._timeout:g} s") from None

    def _credential(self, api_url: str) -> str:
        local = is_local_url(api_url) and api_url.startswith("http")
        if not local and not api_url.startswith("https://"):
            raise Refused(
                "FORGE_REFUSED",
                "The forge's address is neither https nor a literal loopback address.",
                recovery="Set https://HOST/api/v3 or http://127.0.0.1:PORT as remote.forge_url.",
            )
        token = LOCAL_TOKEN if local else (self._token() or "").strip()
        if not _SENDABLE.fullmatch(token):
            raise _no_access("there is no token, or one that cannot be sent")
        return token


async def _send(
    http: httpx2.AsyncClient,
    repo: ForgeRepo,
    method: str,
    *,
    path: str,
    names: Mapping[str, str],
    data: Any,
) -> Any:
    import gidgethub
    from gidgethub.httpx import GitHubAPI

    api = GitHubAPI(http, USER_AGENT, base_url=repo.api_url)
    url = "/repos/{owner}/{repo}" + path
    variables = {"owner": repo.owner, "repo": repo.name, **names}
    try:
        if method == "GET":
            return await api.getitem(url, variables)
        return await api.post(url, variables, data=data)
    except gidgethub.HTTPException as error:
        raise _typed(error) from None
    except (gidgethub.GitHubException, httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise _away(type(error).__name__) from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise _away(f"its answer cannot be read ({type(error).__name__})") from None


def _typed(error: "HTTPException") -> Exception:
    """An HTTP status as one of the house's errors. 403 may mean rights, or a rate limit."""
    status = int(error.status_code)
    wait = _asked_wait(error)
    if status == 429 or (status == 403 and wait is not None):
        return _rate_limited(wait)
    if status in (401, 403):
        return _no_access(f"it refused the credential ({status})", status=status)
    if status >= 500 or status == 408:
        return _away(f"HTTP {status}", retry_after=wait, status=status)
    recovery = {404: "Check that the repository exists and that the token may see it."}
    return Refused(
        "FORGE_REFUSED",
        f"The forge refused the request ({status}): {str(error)[:300]}",
        recovery=recovery.get(status, ""),
        data={"status": status},
    )


def _asked_wait(error: "HTTPException") -> float | None:
    """Seconds until the forge wants to be asked again, where it says so (primary or secondary)."""
    asked = seconds_of(error.headers.get("retry-after"))
    if asked is not None:
        return asked
    if error.headers.get("x-ratelimit-remaining") == "0":
        reset = seconds_of(error.headers.get("x-ratelimit-reset"))
        return max(0.0, (reset or 0) - datetime.now(UTC).timestamp()) if reset else 60.0
    return 60.0 if "rate limit" in str(error).lower() else None


def _rate_limited(wait: float | None) -> Unavailable:
    seconds = 60.0 if wait is None else wait
    resumes = datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC)
    return Unavailable(
        "HOLD-RATE-LIMIT",
        "The forge's rate limit is reached.",
        recovery="Wait; the forge says when.",
        data={"retry_after": seconds, "resumes_at": resumes.isoformat()},
    )


def _no_access(what: str, **data: Any) -> Unavailable:
    return Unavailable(
        "HOLD-GITHUB-AUTH",
        f"The forge cannot be used: {what}.",
        recovery="Store a token that may open pull requests: cockpit secret set github_token",
        data=data,
    )


def _away(what: str, **data: Any) -> Unavailable:
    return Unavailable(
        "FORGE_UNAVAILABLE",
        f"The forge did not answer as it should: {what}.",
        recovery="Try again later.",
        data=data,
    )
