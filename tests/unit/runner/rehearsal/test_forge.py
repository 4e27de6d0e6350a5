"""The local forge is as strict as GitHub where it matters, and keeps what it was told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from runner.rehearsal.forge import LocalForge
from tests.forges import HEAD, bare_repository, move

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]
PULLS = "/repos/o/r/pulls"
SENT = {"title": "t", "head": HEAD, "base": "main", "draft": True}


@asynccontextmanager
async def http(forge: LocalForge, token: str = "rehearsal") -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(base_url=forge.url, trust_env=False, headers=headers) as client:
        yield client


@pytest_asyncio.fixture
async def forge(tmp_path: Path) -> AsyncIterator[LocalForge]:
    bare_repository(tmp_path / "r.git", HEAD, "second")
    async with LocalForge({"o/r": tmp_path / "r.git"}, tmp_path / "forge") as running:
        yield running


async def test_a_draft_is_kept_and_listed(forge: LocalForge) -> None:
    async with http(forge) as client:
        made = await client.post(PULLS, json=SENT)
        read = await client.get(f"{PULLS}/1")
        listed = await client.get(PULLS, params={"head": f"o:{HEAD}", "state": "all"})
    assert made.status_code == 201
    assert made.json() == read.json() == listed.json()[0]
    assert (read.json()["draft"], read.json()["merged"], read.json()["state"]) == (
        True,
        False,
        "open",
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": None}, "title"),
        ({"title": " "}, "title"),
        ({"head": 7}, "head"),
        ({"head": "missing"}, "head"),
        ({"head": "someone-else:second"}, "head"),
        ({"head": "../../../etc/passwd"}, "head"),
        ({"base": "missing"}, "base"),
        ({"draft": "yes"}, "draft"),
        ({"body": ["x"]}, "body"),
        ({"body": "x" * 65_537}, "body"),
        ({"title": "x" * 257}, "title"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_opened(
    forge: LocalForge, changes: dict[str, Any], field: str
) -> None:
    async with http(forge) as client:
        refused = await client.post(PULLS, json={**SENT, **changes})
        listed = await client.get(PULLS, params={"state": "all"})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == field
    assert listed.json() == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (b"[]", 422),
        (b"null", 422),
        (b"\xff", 400),
        (b" " * 2_000_000, 413),
    ],
)
async def test_a_body_that_is_none_is_refused(
    forge: LocalForge, content: bytes, status: int
) -> None:
    async with http(forge) as client:
        assert (await client.post(PULLS, content=content)).status_code == status


async def test_without_changes_and_twice_it_is_refused(forge: LocalForge) -> None:
    async with http(forge) as client:
        same = await client.post(PULLS, json={**SENT, "head": "main"})
        first = await client.post(PULLS, json={**SENT, "head": f"o:{HEAD}"})
        again = await client.post(PULLS, json=SENT)
    assert [same.status_code, first.status_code, again.status_code] == [422, 201, 422]
    assert same.json()["errors"][0]["message"] == "No commits between main and main"
    assert "already exists" in again.json()["errors"][0]["message"]


async def test_of_many_at_once_one_is_opened(forge: LocalForge) -> None:
    async with http(forge) as client:
        answers = await asyncio.gather(*(client.post(PULLS, json=SENT) for _ in range(8)))
        listed = await client.get(PULLS)
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 7
    assert len(listed.json()) == 1


async def test_nobody_without_a_credential_is_answered(forge: LocalForge) -> None:
    async with http(forge, token="") as client:
        answers = [
            await client.post(PULLS, json=SENT),
            await client.get(PULLS),
            await client.get(f"{PULLS}/1"),
            await client.get("/repos/o/r"),
        ]
    assert {answer.status_code for answer in answers} == {401}


@pytest.mark.parametrize(
    "path", ["/", "/repos/o/elsewhere/pulls", f"{PULLS}/7", f"{PULLS}/1/merge"]
)
async def test_what_is_not_there_is_not_found(forge: LocalForge, path: str) -> None:
    async with http(forge) as client:
        answers = [await client.request(method, path) for method in ("GET", "PUT", "DELETE")]
    assert {answer.status_code for answer in answers} == {404}


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({}, [2, 1]),
        ({"state": "closed"}, []),
        ({"head": "o:second"}, [2]),
        ({"head": "O:second"}, [2]),
        ({"head": "elsewhere:second"}, []),
        ({"base": "other"}, []),
        ({"per_page": "1"}, [2]),
        ({"per_page": "1", "page": "2"}, [1]),
        ({"per_page": "0"}, [2]),
        ({"per_page": "many", "page": "-1"}, [2, 1]),
    ],
)
async def test_lists_are_filtered_and_newest_first(
    forge: LocalForge, asked: dict[str, str], numbers: list[int]
) -> None:
    async with http(forge) as client:
        for head in (HEAD, "second"):
            await client.post(PULLS, json={**SENT, "head": head})
        listed = await client.get(PULLS, params=asked)
    assert [pull["number"] for pull in listed.json()] == numbers


async def test_two_repositories_count_for_themselves_and_survive_a_restart(tmp_path: Path) -> None:
    places = {f"o/{name}": tmp_path / name for name in ("a", "b")}
    for place in places.values():
        bare_repository(place, HEAD)
    for expected in (201, 422):
        async with LocalForge(places, tmp_path / "forge") as running, http(running) as client:
            answers = [await client.post(f"/repos/{name}/pulls", json=SENT) for name in places]
            listed = [(await client.get(f"/repos/{name}/pulls")).json() for name in places]
        assert [answer.status_code for answer in answers] == [expected, expected]
        assert [[pull["number"] for pull in pulls] for pulls in listed] == [[1], [1]]


async def test_the_head_follows_a_push(forge: LocalForge, tmp_path: Path) -> None:
    async with http(forge) as client:
        before = (await client.post(PULLS, json=SENT)).json()["head"]["sha"]
        moved = move(tmp_path / "r.git", HEAD)
        after = (await client.get(f"{PULLS}/1")).json()["head"]["sha"]
    assert before != after == moved


async def test_its_file_is_the_operators_alone(forge: LocalForge, tmp_path: Path) -> None:
    async with http(forge) as client:
        await client.post(PULLS, json=SENT)
    file = tmp_path / "forge" / "pulls.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_bytes())[0]["head"] == HEAD
