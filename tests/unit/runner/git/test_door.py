"""The process door: its environment, limits, time-outs and cancellation."""

import asyncio
import os
from pathlib import Path

import pytest

from core.errors import Unavailable
from runner.git.door import GitDoor, GitFailed, Leave, Site
from tests import zoo

NOWHERE = Site(None)


def fake_git(folder: Path, body: str) -> Path:
    """A program in git's place, to see what it is started with."""
    file = folder / "fake-git"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file


@pytest.mark.asyncio
async def test_nothing_of_our_environment_reaches_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_secret")
    monkeypatch.setenv("GIT_DIR", "/somewhere")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "touch x")
    monkeypatch.setenv("PATH", f".:relative:{os.environ['PATH']}:")
    door = GitDoor(tmp_path / "git", str(fake_git(tmp_path, "/usr/bin/env")))

    output = await door.run(["status"], NOWHERE)

    seen = dict(line.split("=", 1) for line in output.text.split("\n"))
    assert "ghp_secret" not in output.text
    assert "GIT_DIR" not in seen
    assert "GIT_EXTERNAL_DIFF" not in seen
    assert all(entry.startswith("/") for entry in seen["PATH"].split(":"))
    assert seen["GIT_CONFIG_NOSYSTEM"] == "1"
    assert seen["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert seen["GIT_ALLOW_PROTOCOL"] == "none"
    assert seen["GIT_TERMINAL_PROMPT"] == "0"
    assert seen["GIT_NO_LAZY_FETCH"] == "1"
    assert not any(Path(seen["HOME"]).iterdir())


@pytest.mark.asyncio
async def test_git_and_our_overrides_understand_each_other(door: GitDoor) -> None:
    output = await door.run(["config", "--list", "--show-scope", "-z"], NOWHERE)

    scopes = {record.split("\n")[0] for record in output.text.split("\0")[::2] if record}
    assert scopes == {"command"}
    assert "core.hookspath\n/dev/null" in output.text
    assert "protocol.allow\nnever" in output.text


@pytest.mark.asyncio
async def test_a_failure_names_command_code_and_message(door: GitDoor, tmp_path: Path) -> None:
    with pytest.raises(GitFailed) as failed:
        await door.run(["rev-parse", "HEAD"], Site(tmp_path / "absent"))

    assert failed.value.code == "HOLD-EVIDENCE-INCOMPLETE"
    assert failed.value.data["command"] == "rev-parse"
    assert failed.value.data["exit_code"] == 128
    assert "not a git repository" in failed.value.data["stderr"]


@pytest.mark.asyncio
async def test_a_full_disk_has_its_own_hold(tmp_path: Path) -> None:
    body = "echo 'fatal: write error: No space left on device' >&2; exit 128"
    door = GitDoor(tmp_path / "git", str(fake_git(tmp_path, body)))

    with pytest.raises(GitFailed) as failed:
        await door.run(["write-tree"], NOWHERE)

    assert failed.value.code == "HOLD-DISK-SPACE"


@pytest.mark.asyncio
async def test_an_accepted_exit_code_is_an_answer(tmp_path: Path) -> None:
    door = GitDoor(tmp_path / "git", str(fake_git(tmp_path, "echo out; echo err >&2; exit 3")))

    output = await door.run(["anything"], NOWHERE, ok=(0, 3))

    assert (output.stdout, output.stderr, output.code) == (b"out\n", "err\n", 3)


@pytest.mark.asyncio
@pytest.mark.slow
async def test_a_time_out_ends_the_whole_group(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "life")
    door = GitDoor(tmp_path / "git", str(fake_git(tmp_path, f"{_HOLD}; wait")))

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        lived = group.create_task(asyncio.to_thread((tmp_path / "life").read_text))
        with pytest.raises(GitFailed) as failed:
            await door.run(["fetch"], NOWHERE, seconds=0.5)

    assert failed.value.reason == "timed_out"
    assert lived.result() == "begun\n"


@pytest.mark.asyncio
@pytest.mark.slow
async def test_cancelling_ends_the_whole_group_even_if_it_ignores_term(tmp_path: Path) -> None:
    for name in ("life", "ready"):
        os.mkfifo(tmp_path / name)
    body = f"trap '' TERM; {_HOLD}; echo > {tmp_path / 'ready'}; wait; sleep 600"
    door = GitDoor(tmp_path / "git", str(fake_git(tmp_path, body)))

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        lived = group.create_task(asyncio.to_thread((tmp_path / "life").read_text))
        running = group.create_task(door.run(["fetch"], NOWHERE))
        await asyncio.to_thread((tmp_path / "ready").read_text)
        running.cancel()

    assert running.cancelled()
    assert lived.result() == "begun\n"


# Reading the pipe comes to its end when nobody is left who could write into it.
_HOLD = 'exec 9> "${0%/*}/life"; echo begun >&9; sleep 600 & true'


@pytest.mark.asyncio
async def test_without_git_or_with_an_old_one_nothing_works(tmp_path: Path) -> None:
    absent = GitDoor(tmp_path / "one", str(tmp_path / "no-git"))
    old = GitDoor(tmp_path / "two", str(fake_git(tmp_path, "echo git version 2.25.1")))

    for door in (absent, old):
        with pytest.raises(Unavailable) as unavailable:
            await door.version()
        assert unavailable.value.code == "GIT_UNAVAILABLE"


@pytest.mark.asyncio
async def test_large_input_and_output_pass(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    content = os.urandom(1024) * 4096

    sha = await door.run(["hash-object", "-w", "--stdin"], Site(folder / ".git"), stdin=content)
    output = await door.run(["cat-file", "blob", sha.text], Site(folder / ".git"))

    assert output.stdout == content


@pytest.mark.asyncio
async def test_leaving_a_stream_early_is_no_failure(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    site = Site(folder / ".git")
    sha = (await door.run(["hash-object", "-w", "--stdin"], site, stdin=b"x" * 10_000_000)).text

    async with door.stream(["cat-file", "blob", sha], site) as output:
        assert await output.read(10) == b"x" * 10


@pytest.mark.asyncio
async def test_a_stream_read_to_its_end_tells_of_failure(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")

    with pytest.raises(GitFailed):
        async with door.stream(["cat-file", "blob", "0" * 40], Site(folder / ".git")) as output:
            assert await output.read() == b""


@pytest.mark.asyncio
async def test_only_the_given_protocol_is_open(door: GitDoor, tmp_path: Path) -> None:
    folder = zoo.plain(tmp_path / "repo")
    site = Site(folder / ".git")

    with pytest.raises(GitFailed, match="not allowed"):
        await door.run(["ls-remote", str(folder)], site)
    with pytest.raises(GitFailed, match="not allowed"):
        await door.run(["ls-remote", "ext::true"], site, leave=Leave(("file",)))
    assert (
        "refs/heads/main"
        in (await door.run(["ls-remote", str(folder)], site, leave=Leave(("file",)))).text
    )
