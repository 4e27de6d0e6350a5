"""Pull requests over a real socket: found, opened once, told as they are, never merged."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from core.delivery.forge import ForgeRepo, PullRequest
from core.errors import CockpitError, Refused, Unavailable
from runner.forge.github import MOST_BODY, GithubForge, GithubWriter, bounded_body
from runner.rehearsal.forge import LocalForge
from runner.waiting import Pace
from tests.forges import FORWARD, HEAD, LOST, MISSION, ForgeWire, bare_repository, move, refusing
from tests.judge_wire import Play

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

QUICK = Pace(first_wait=0.0, jitter=0.0, longest_wait=0.3)
TOKEN = "ghp_" + "k" * 36
BODY = f"What was done.\n\nCockpit-Mission: {MISSION}"


@dataclass
class Place:
    """A forge on this machine and the repository behind it."""

    forge: LocalForge
    bare: Path
    commits: dict[str, str]

    @property
    def repo(self) -> ForgeRepo:
        return ForgeRepo(str(self.bare), self.forge.url, "o", "r")

    def through(self, wire: ForgeWire) -> ForgeRepo:
        return replace(self.repo, api_url=wire.url)


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    bare = tmp_path / "r.git"
    commits = bare_repository(bare, HEAD, "other")
    async with LocalForge({"o/r": bare}, tmp_path / "forge") as forge:
        yield Place(forge, bare, commits)


def reader() -> GithubForge:
    return GithubForge(lambda: TOKEN, QUICK)


def writer(patience: float = 10.0) -> GithubWriter:
    return GithubWriter(lambda: TOKEN, QUICK, patience)


async def opened(
    repo: ForgeRepo, *, body: str = BODY, head: str = HEAD, patience: float = 10.0
) -> tuple[PullRequest, bool]:
    return await writer(patience).open_draft(
        repo, mission=MISSION, head=head, base="main", title="A title", body=body
    )


async def test_a_draft_is_opened_re_read_and_found_again(place: Place) -> None:
    made, there = await opened(place.repo)
    assert (made.draft, made.open, made.merged, there) == (True, True, False, False)
    assert (made.head_branch, made.base_branch, made.title) == (HEAD, "main", "A title")
    assert made.head_sha == place.commits[HEAD]
    assert made.body == BODY
    assert await reader().find(place.repo, HEAD, MISSION) == made
    assert await reader().read(place.repo, made.number) == made


async def test_a_second_call_returns_the_same_pull_request(place: Place) -> None:
    made, _ = await opened(place.repo)
    again, there = await opened(place.repo, body=f"Other words. {MISSION}")
    assert (again, there) == (made, True)


async def test_two_calls_at_once_open_one(place: Place) -> None:
    both = await asyncio.gather(opened(place.repo), opened(place.repo))
    assert both[0][0].number == both[1][0].number == 1


@pytest.mark.parametrize(
    ("branch", "mission"),
    [("other", MISSION), (HEAD, "m-OTHERMISSN"), (HEAD, MISSION[:-1]), (HEAD, "-4T9K2QX0ZB")],
)
async def test_what_is_not_ours_is_not_found(place: Place, branch: str, mission: str) -> None:
    await opened(place.repo)
    assert await reader().find(place.repo, branch, mission) is None


async def test_the_head_is_told_as_it_is_now(place: Place) -> None:
    made, _ = await opened(place.repo)
    moved = move(place.bare, HEAD)
    assert (await reader().read(place.repo, made.number)).head_sha == moved


async def test_an_existing_one_that_is_no_draft_is_told_as_such(place: Place) -> None:
    stored = place.bare.parent / "forge" / "pulls.json"
    await opened(place.repo)
    facts = json.loads(stored.read_bytes())
    stored.write_text(json.dumps([{**facts[0], "draft": False, "state": "closed"}]))
    found, there = await opened(place.repo)
    assert (found.draft, found.open, there) == (False, False, True)


@pytest.mark.parametrize(
    "lost", [LOST, Play(502, b"<html>Bad gateway"), Play(body=b"{", then="cut")]
)
async def test_a_lost_answer_never_opens_a_second_one(place: Place, lost: Play) -> None:
    async with ForgeWire(place.forge.url, [FORWARD, lost]) as wire:
        made, there = await opened(place.through(wire))
    assert (made.number, made.draft, there) == (1, True, False)
    assert wire.methods.count("POST") == (1 if lost is LOST else 2)
    assert wire.methods[:3] == ["GET", "POST", "GET"]
    assert (await reader().read(place.repo, 1)).number == 1
    with pytest.raises(Refused):
        await reader().read(place.repo, 2)


async def test_silence_after_a_write_is_an_unknown_outcome_too(place: Place) -> None:
    async with ForgeWire(place.forge.url, [FORWARD, Play(then="hang")]) as wire:
        made, _ = await opened(place.through(wire), patience=1.0)
    assert made.number == 1
    assert wire.methods == ["GET", "POST", "GET", "POST", "GET"]


async def test_a_refused_write_is_not_repeated(place: Place) -> None:
    async with ForgeWire(place.forge.url, []) as wire:
        with pytest.raises(Refused) as raised:
            await opened(place.through(wire), head="no-such-branch")
    assert (raised.value.code, raised.value.data["status"]) == ("FORGE_REFUSED", 422)
    assert wire.methods == ["GET", "POST", "GET"]


async def test_where_drafts_are_not_supported_nothing_else_is_opened(place: Place) -> None:
    no = refusing(422, "Draft pull requests are not supported in this repository.")
    async with ForgeWire(place.forge.url, [FORWARD, no]) as wire:
        with pytest.raises(Refused, match="Draft pull requests are not supported"):
            await opened(place.through(wire))
    assert [a.body["draft"] for a in wire.asked if a.method == "POST"] == [True]


@pytest.mark.parametrize(
    ("play", "code"),
    [
        (refusing(401), "HOLD-GITHUB-AUTH"),
        (refusing(403, "Resource not accessible by personal access token"), "HOLD-GITHUB-AUTH"),
        (refusing(404), "FORGE_REFUSED"),
        (refusing(451), "FORGE_REFUSED"),
        (refusing(301, location="https://elsewhere.example"), "FORGE_REFUSED"),
        (refusing(403, retry_after="900"), "HOLD-RATE-LIMIT"),
        (refusing(403, "You have exceeded a secondary rate limit."), "HOLD-RATE-LIMIT"),
        (
            refusing(
                403,
                x_ratelimit_remaining="0",
                x_ratelimit_limit="60",
                x_ratelimit_reset="4000000000",
            ),
            "HOLD-RATE-LIMIT",
        ),
        (refusing(429), "HOLD-RATE-LIMIT"),
    ],
)
async def test_what_the_forge_says_becomes_a_hold_or_a_refusal_at_once(
    place: Place, play: Play, code: str
) -> None:
    async with ForgeWire(place.forge.url, [play]) as wire:
        with pytest.raises(CockpitError) as raised:
            await opened(place.through(wire))
    assert raised.value.code == code
    assert wire.methods == ["GET"]
    assert TOKEN not in f"{raised.value!r}{raised.value.data}"


async def test_a_rate_limit_says_when_it_ends(place: Place) -> None:
    async with ForgeWire(place.forge.url, [refusing(429, retry_after="900")]) as wire:
        with pytest.raises(Unavailable) as raised:
            await reader().read(place.through(wire), 1)
    assert raised.value.data["retry_after"] == 900
    assert raised.value.data["resumes_at"] > "2026"


ODD = [
    refusing(500),
    refusing(599),
    Play(then="cut", body=b"[]" * 20),
    Play(body=b"not json"),
    Play(body=b'{"an": "object"}'),
    Play(body=b'[{"number": "x"}, 7]'),
    Play(body=b"[" * 100_000),
    Play(body=b"[]", headers={"content-type": "application/json; charset=nonsense"}),
    Play(
        body=b"[]",
        headers={"x-ratelimit-limit": "x", "x-ratelimit-remaining": "y", "x-ratelimit-reset": "z"},
    ),
    Play(body=b"[]", headers={"content-encoding": "gzip"}),
    Play(then="flood"),
]


@pytest.mark.parametrize("play", ODD, ids=range(len(ODD)))
async def test_odd_answers_are_retried_and_then_the_forge_is_away(place: Place, play: Play) -> None:
    async with ForgeWire(place.forge.url, [play, play, play]) as wire:
        with pytest.raises(Unavailable) as raised:
            await reader().find(place.through(wire), HEAD, MISSION)
    assert raised.value.code == "FORGE_UNAVAILABLE"
    assert wire.methods == ["GET"] * 3
    async with ForgeWire(place.forge.url, [play, play]) as wire:
        assert await reader().find(place.through(wire), HEAD, MISSION) is None


async def test_a_short_wait_is_waited_for(place: Place) -> None:
    plays = [refusing(429, retry_after="0.25"), refusing(503, retry_after="0.25")]
    async with ForgeWire(place.forge.url, plays) as wire:
        assert await reader().find(place.through(wire), HEAD, MISSION) is None
    waits = [b.at - a.at for a, b in zip(wire.asked, wire.asked[1:], strict=False)]
    assert min(waits) >= 0.25


async def test_requests_name_version_and_product_and_encode_what_they_ask(place: Place) -> None:
    async with ForgeWire(place.forge.url, []) as wire:
        odd = "cockpit/a&state=closed#x"
        await reader().find(place.through(wire), odd, MISSION)
    (asked,) = wire.asked
    assert asked.headers["x-github-api-version"] == "2022-11-28"
    assert asked.headers["user-agent"] == "operator-cockpit"
    assert asked.headers["accept"] == "application/vnd.github+json"
    assert "state=all" in asked.path
    assert "&state=closed" not in asked.path


async def test_an_enterprise_path_is_kept(place: Place) -> None:
    async with ForgeWire(place.forge.url, [Play(body=b"[]")]) as wire:
        repo = replace(place.repo, api_url=f"{wire.url}/api/v3")
        assert await reader().find(repo, HEAD, MISSION) is None
    assert wire.asked[0].path.startswith("/api/v3/repos/o/r/pulls?")


async def test_the_operators_token_does_not_go_to_a_forge_on_this_machine(place: Place) -> None:
    async with ForgeWire(place.forge.url, []) as wire:
        await reader().find(place.through(wire), HEAD, MISSION)
    assert wire.asked[0].headers["authorization"] == "Bearer rehearsal"


@pytest.mark.parametrize("token", [None, "", "two words", "a\nb", "ключ"])
async def test_without_a_token_that_can_be_sent_it_is_a_hold(
    place: Place, token: str | None
) -> None:
    repo = replace(place.repo, api_url="https://ghe.invalid/api/v3")
    with pytest.raises(Unavailable) as raised:
        await GithubForge(lambda: token, QUICK).read(repo, 1)
    assert raised.value.code == "HOLD-GITHUB-AUTH"
    assert not token or token not in f"{raised.value!r}{raised.value.data}"


@pytest.mark.parametrize(
    "url", ["http://ghe.invalid/api/v3", "http://localhost:1", "ftp://x", "/p", ""]
)
async def test_a_token_is_sent_over_https_only(place: Place, url: str) -> None:
    with pytest.raises(Refused) as raised:
        await reader().read(replace(place.repo, api_url=url), 1)
    assert raised.value.code == "FORGE_REFUSED"


@pytest.mark.usefixtures("hostile_shell")
async def test_no_proxy_and_no_token_come_from_the_shell(place: Place) -> None:
    made, _ = await opened(place.repo)
    assert made.number == 1


@pytest.fixture
def hostile_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


async def test_a_reader_has_no_way_to_write() -> None:
    assert not {name for name in dir(GithubForge) if name in ("post", "open_draft", "session")}
    for kind in (GithubForge, GithubWriter):
        assert not [name for name in dir(kind) if "merge" in name]


@pytest.mark.parametrize("size", [0, 100, MOST_BODY - 20, MOST_BODY, MOST_BODY + 1, 3 * MOST_BODY])
async def test_a_long_body_is_cut_visibly_and_still_names_the_mission(size: int) -> None:
    whole = "x" * size
    body = bounded_body(whole, MISSION)
    assert len(body) <= MOST_BODY
    assert body.endswith(MISSION)
    assert ("[cut: the whole is in the evidence package]" in body) == (size > MOST_BODY - 40)


async def test_a_long_body_arrives(place: Place) -> None:
    made, _ = await opened(place.repo, body="ü" * (2 * MOST_BODY))
    assert len(made.body) == MOST_BODY
    assert (await reader().find(place.repo, HEAD, MISSION)) == made


async def test_a_cancelled_question_hangs_up(place: Place) -> None:
    async with ForgeWire(place.forge.url, [Play(then="hang")]) as wire:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await reader().read(place.through(wire), 1)
        await asyncio.wait_for(wire.hung_up.wait(), 10.0)
    assert wire.methods == ["GET"]
