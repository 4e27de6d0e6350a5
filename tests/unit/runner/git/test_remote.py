"""Asking, fetching from and pushing to a remote: over files, and over http with a token."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from core.errors import Invalid, Unavailable
from runner.git.mirror import Mirror
from runner.git.remote import Connection, Credential, Pushed, Remote
from tests import zoo
from tests.git_http import serving

BRANCH = "cockpit/harbour-m-4T9K2QX0ZB"
TOKEN = "ghp_" + "k" * 36


def remote_of(tmp_path: Path, source: Path) -> Path:
    """A bare remote whose hook writes down every push, and refuses the branch ``main``."""
    remote = tmp_path / "served" / "r.git"
    remote.parent.mkdir()
    zoo.git("clone", "-q", "--bare", source, remote, cwd=source)
    zoo.git("config", "http.receivepack", "true", cwd=remote)
    hook = remote / "hooks" / "pre-receive"
    hook.write_text(
        '#!/bin/sh\nwhile read old new ref; do\n  echo "$old $new $ref" >> pushes\n'
        '  test "$ref" != refs/heads/main || exit 1\ndone\n'
    )
    hook.chmod(0o755)
    return remote


async def ready(mirror: Mirror, tmp_path: Path) -> tuple[Path, str]:
    source = zoo.plain(tmp_path / "repo")
    remote = remote_of(tmp_path, source)
    (source / "more").write_text("more")
    zoo.commit(source)
    return remote, await mirror.create_or_update(source, "main")


def pushes(remote: Path) -> list[str]:
    log = remote / "pushes"
    return log.read_text().splitlines() if log.exists() else []


@pytest.mark.asyncio
@pytest.mark.parametrize("form", ["{}", "file://{}"])
async def test_a_push_over_files(mirror: Mirror, tmp_path: Path, form: str) -> None:
    folder, sha = await ready(mirror, tmp_path)
    remote = Remote(mirror, form.format(folder))

    assert await remote.head(BRANCH) is None
    assert await remote.push(sha, BRANCH) == Pushed("pushed")
    assert await remote.push(sha, BRANCH) == Pushed("already_there")

    assert await remote.head(BRANCH) == sha
    assert pushes(folder) == [f"{'0' * 40} {sha} refs/heads/{BRANCH}"]


@pytest.mark.asyncio
async def test_what_the_remote_refuses_or_would_lose_is_rejected(
    mirror: Mirror, tmp_path: Path
) -> None:
    folder, sha = await ready(mirror, tmp_path)
    remote = Remote(mirror, str(folder))
    base = zoo.git("rev-parse", "main", cwd=folder)
    await remote.push(sha, BRANCH)

    refused = await remote.push(sha, "main")
    backwards = await remote.push(base, BRANCH)

    assert refused.outcome == "rejected"
    assert "pre-receive hook declined" in refused.reason
    assert backwards.outcome == "rejected"
    assert "fast-forward" in backwards.reason
    assert await remote.head(BRANCH) == sha
    assert await remote.head("main") == base


@pytest.mark.asyncio
async def test_the_base_is_fetched_into_the_mirror(mirror: Mirror, tmp_path: Path) -> None:
    folder, sha = await ready(mirror, tmp_path)
    remote = Remote(mirror, str(folder))

    tip = await remote.fetch("main")

    assert tip == zoo.git("rev-parse", "main", cwd=folder)
    assert await mirror.is_ancestor(tip, sha)
    assert not await mirror.is_ancestor(sha, tip)
    with pytest.raises(Unavailable) as unavailable:
        await remote.fetch("absent")
    assert unavailable.value.code == "REMOTE_UNAVAILABLE"


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_push_over_http_with_a_token(mirror: Mirror, tmp_path: Path) -> None:
    folder, sha = await ready(mirror, tmp_path)
    with serving(folder.parent, token=TOKEN) as server:
        remote = Remote(mirror, f"{server.url}/r.git", credential=Credential(SecretStr(TOKEN)))

        assert await remote.push(sha, BRANCH) == Pushed("pushed")
        assert await remote.head(BRANCH) == sha
        assert await remote.fetch("main") == zoo.git("rev-parse", "main", cwd=folder)

    left = [path for path in (tmp_path / "git").rglob("*") if path.is_file()]
    left += [path for path in mirror.folder.rglob("*") if path.is_file()]
    assert left
    assert not any(TOKEN.encode() in path.read_bytes() for path in left)
    assert not any(mirror.door.scratch.iterdir())


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.parametrize("credential", [None, Credential(SecretStr("wrong"))])
async def test_without_the_right_token_nothing_is_pushed(
    mirror: Mirror, tmp_path: Path, credential: Credential | None
) -> None:
    folder, sha = await ready(mirror, tmp_path)
    with serving(folder.parent, token=TOKEN) as server:
        remote = Remote(mirror, f"{server.url}/r.git", credential=credential)

        pushed = await remote.push(sha, BRANCH)
        with pytest.raises(Unavailable) as unavailable:
            await remote.head(BRANCH)
        with pytest.raises(Unavailable):
            await remote.fetch("main")

    assert pushed.outcome == "auth_required"
    assert unavailable.value.code == "HOLD-GITHUB-AUTH"
    assert pushes(folder) == []


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_redirect_never_gets_the_token(mirror: Mirror, tmp_path: Path) -> None:
    folder, sha = await ready(mirror, tmp_path)
    with (
        serving(folder.parent, token="other") as thief,
        serving(folder.parent, redirect=thief.url) as server,
    ):
        remote = Remote(mirror, f"{server.url}/r.git", credential=Credential(SecretStr(TOKEN)))
        pushed = await remote.push(sha, BRANCH)

    assert pushed.outcome == "unreachable"
    assert not any(thief.seen)
    assert pushes(folder) == []


@pytest.mark.asyncio
async def test_the_token_is_in_no_argument_and_no_environment(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, sha = await ready(mirror, tmp_path)
    seen = tmp_path / "seen"
    fake = tmp_path / "fake-git"
    fake.write_text(
        f'#!/bin/sh\nfor a in "$@"; do echo "$a"; done >> {seen}; env >> {seen}\n'
        f'cat "$GIT_ASKPASS" >> {seen}\n'
        f'"$GIT_ASKPASS" "Password for \'https://x-access-token@example.org\': " > {seen}.yes\n'
        f'"$GIT_ASKPASS" "Password for \'https://x-access-token@evil.org\': " > {seen}.no\n'
        "exit 128\n"
    )
    fake.chmod(0o755)
    remote = Remote(mirror, "https://example.org/o/r.git", credential=Credential(SecretStr(TOKEN)))
    monkeypatch.setattr(mirror.door, "_git", str(fake))
    monkeypatch.setattr("runner.git.remote.check_branch", _any_branch)

    await remote.push(sha, BRANCH)

    assert TOKEN not in seen.read_text()
    assert Path(f"{seen}.yes").read_text() == f"{TOKEN}\n"
    assert Path(f"{seen}.no").read_text() == ""


async def _any_branch(door: object, name: str) -> str:
    return name


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_remote_that_is_not_there(mirror: Mirror, tmp_path: Path) -> None:
    _, sha = await ready(mirror, tmp_path)

    absent = await Remote(mirror, str(tmp_path / "absent.git")).push(sha, BRANCH)
    closed = await Remote(mirror, "http://127.0.0.1:9/r.git").push(sha, BRANCH)
    with serving(tmp_path / "served") as server:
        other = await Remote(mirror, f"{server.url}/other.git").push(sha, BRANCH)

    assert absent.outcome == "not_found"
    assert closed.outcome == "unreachable"
    assert other.outcome == "not_found"
    assert closed.reason


def test_addresses_and_credentials_are_checked_first(mirror: Mirror) -> None:
    for url in ("ext::sh -c x", "-u", "http://example.org/r", "git://x/r"):
        with pytest.raises(Invalid):
            Remote(mirror, url)
    for url, token in (
        ("https://example.org/r", "a b"),
        ("https://example.org/r", "a\nb"),
        ("https://other@example.org/r", "abc"),
        ("ssh://git@example.org/r", "abc"),
        ("/srv/r", "abc"),
    ):
        with pytest.raises(Invalid):
            Remote(mirror, url, credential=Credential(SecretStr(token)))


def test_of_the_operators_environment_only_the_way_out_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")

    found = Connection.of_operator().variables

    assert found["HTTPS_PROXY"] == "http://proxy:3128"
    assert "GITHUB_TOKEN" not in found


@pytest.mark.asyncio
async def test_nothing_but_one_branch_is_ever_pushed(mirror: Mirror, tmp_path: Path) -> None:
    folder, sha = await ready(mirror, tmp_path)
    zoo.git("tag", "-a", "-m", "x", "v1", sha, cwd=mirror.folder)
    remote = Remote(mirror, str(folder))

    for branch in ("a:b", "refs/../x", "--all", "--mirror", ":x", "*", ""):
        with pytest.raises(Invalid):
            await remote.push(sha, branch)
    with pytest.raises(Invalid):
        await remote.push("", BRANCH)
    await remote.push(sha, BRANCH)

    assert pushes(folder) == [f"{'0' * 40} {sha} refs/heads/{BRANCH}"]
    assert zoo.git("tag", cwd=folder) == ""
