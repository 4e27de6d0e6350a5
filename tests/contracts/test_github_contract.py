"""Our requests and the local forge's answers, checked against GitHub's own description.

Between both stands a proxy that refuses what the description does not allow, and that knows no
path which merges.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from core.delivery.forge import ForgeRepo
from core.errors import Refused, Unavailable
from runner.forge.github import GithubForge, GithubWriter
from runner.rehearsal.forge import LocalForge
from runner.waiting import Pace
from tests import servers
from tests.forges import HEAD, MISSION, ForgeWire, bare_repository
from tests.judge_wire import Play

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

QUICK = Pace(first_wait=0.0, jitter=0.0, longest_wait=0.1)
HEADERS = {"authorization": "Bearer rehearsal", "accept": "application/vnd.github+json"}


@pytest.fixture(scope="module")
def port() -> Iterator[tuple[str, int]]:
    """The proxy, and the port where it looks for its upstream."""
    number = servers.free_port()
    with servers.prism(f"http://127.0.0.1:{number}") as url:
        yield url, number


@pytest_asyncio.fixture
async def forge(tmp_path: Path, port: tuple[str, int]) -> AsyncIterator[LocalForge]:
    bare = tmp_path / "r.git"
    bare_repository(bare, HEAD, "second", "third")
    async with LocalForge({"o/r": bare}, tmp_path / "forge", port=port[1]) as running:
        yield running


@pytest.fixture
def repo(forge: LocalForge, port: tuple[str, int]) -> ForgeRepo:
    return ForgeRepo("/srv/o/r.git", port[0], "o", "r")


@asynccontextmanager
async def http(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, trust_env=False, headers=HEADERS) as client:
        yield client


async def opened(repo: ForgeRepo, head: str = HEAD) -> tuple[Any, bool]:
    body = f"What was done. {MISSION}"
    return await GithubWriter(lambda: None, QUICK).open_draft(
        repo, mission=MISSION, head=head, base="main", title="A title", body=body
    )


async def test_all_that_we_ask_and_all_that_the_local_forge_answers_fits(repo: ForgeRepo) -> None:
    made, there = await opened(repo)
    again, there_again = await opened(repo)
    reader = GithubForge(lambda: None, QUICK)
    assert (made.draft, there, there_again) == (True, False, True)
    assert made == again == await reader.find(repo, HEAD, MISSION)
    assert made == await reader.read(repo, made.number)
    assert await reader.find(repo, "second", MISSION) is None


async def test_refusals_of_the_local_forge_fit_too(repo: ForgeRepo) -> None:
    await opened(repo)
    for head in ("missing", "main", "../../etc"):
        with pytest.raises(Refused) as raised:
            await opened(repo, head)
        assert raised.value.data["status"] == 422
    asked = {"title": "t", "head": HEAD, "base": "main"}
    async with http(repo.api_url) as client:
        double = await client.post("/repos/o/r/pulls", json=asked)
        absent = await client.get("/repos/o/r/pulls/99")
        other = await client.get("/repos/o/elsewhere")
    assert (double.status_code, absent.status_code, other.status_code) == (422, 404, 404)
    assert double.json()["errors"][0]["message"] == f"A pull request already exists for o:{HEAD}."


async def test_the_repository_and_every_page_of_the_list_fit(repo: ForgeRepo) -> None:
    for head in (HEAD, "second", "third"):
        async with http(repo.api_url) as client:
            sent = {"title": head, "head": head, "base": "main", "draft": True}
            made = await client.post("/repos/o/r/pulls", json=sent)
            assert (made.status_code, "sl-violations" in made.headers) == (201, False)
    async with http(repo.api_url) as client:
        whole = await client.get("/repos/o/r")
        pages = [
            await client.get("/repos/o/r/pulls", params={"per_page": 2, "page": page})
            for page in (1, 2, 3)
        ]
    assert whole.json()["default_branch"] == "main"
    assert [[p["number"] for p in page.json()] for page in pages] == [[3, 2], [1], []]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/repos/o/r/pulls/1/merge"),
        ("POST", "/repos/o/r/merges"),
        ("PUT", "/repos/o/r/pulls/1/update-branch"),
        ("PATCH", "/repos/o/r/pulls/1"),
        ("DELETE", "/repos/o/r/git/refs/heads/main"),
    ],
)
async def test_nobody_can_merge(repo: ForgeRepo, forge: LocalForge, method: str, path: str) -> None:
    await opened(repo)
    for url in (repo.api_url, forge.url):
        async with http(url) as client:
            refused = await client.request(method, path, json={})
        assert refused.status_code in (404, 405)
    assert not (await GithubForge(lambda: None, QUICK).read(repo, 1)).merged


@pytest.mark.parametrize(
    "sent", [{"title": "t", "base": "main"}, {"title": "t", "head": HEAD, "base": 7}]
)
async def test_the_proxy_refuses_a_request_that_github_would_refuse(
    repo: ForgeRepo, sent: dict[str, Any]
) -> None:
    async with http(repo.api_url) as client:
        refused = await client.post("/repos/o/r/pulls", json=sent)
    assert refused.status_code == 422
    assert "stoplight" in refused.json()["type"]


async def test_the_proxy_refuses_an_answer_that_github_would_not_give(
    port: tuple[str, int],
) -> None:
    repo = ForgeRepo("/srv/o/r.git", port[0], "o", "r")
    short = Play(body=b'[{"number": 1, "state": "open", "title": "no html_url"}]')
    async with ForgeWire("http://127.0.0.1:9", [short] * 3, port=port[1]):
        with pytest.raises(Unavailable) as raised:
            await GithubForge(lambda: None, QUICK).find(repo, HEAD, MISSION)
    assert raised.value.data["status"] == 500


async def test_what_is_opened_survives_a_restart(tmp_path: Path, port: tuple[str, int]) -> None:
    bare = tmp_path / "bare.git"
    bare_repository(bare, HEAD)
    repo = ForgeRepo(str(bare), port[0], "o", "r")
    async with LocalForge({"o/r": bare}, tmp_path / "kept", port=port[1]):
        made, _ = await opened(repo)
    async with LocalForge({"o/r": bare}, tmp_path / "kept", port=port[1]):
        again, there = await opened(repo)
    assert (again, there) == (made, True)
