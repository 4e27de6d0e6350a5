"""A repo's commands, run for real: how they end, what they leave, what they see."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.judgement.harness import Command, CommandName, CommandRun
from core.tasks import spawn
from runner.harness import HostHarness
from tests.processes import working_in

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]
KEY = "r-1"
FOREIGN = (
    *("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "GITHUB_TOKEN"),
    *("GH_TOKEN", "AWS_SECRET_ACCESS_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "COCKPIT_VAULT_KEY_FILE"),
    *("PYTHONPATH", "VIRTUAL_ENV", "LD_PRELOAD", "SSH_AUTH_SOCK"),
)
LEAVES = {
    "a child": "sleep 1000 &",
    "a session of its own": "setsid sleep 1000 &",
    "nohup": "nohup sleep 1000 >/dev/null 2>&1 &",
    "a daemon": "(setsid sh -c 'sleep 1000 & exec sleep 1000' &) &",
    "deaf to TERM": "sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' &",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "checkout"
    folder.mkdir()
    yield folder
    left = working_in(tmp_path)
    for process in left:
        process.kill()
    assert left == []


def command(line: str, name: CommandName = "test", seconds: float = 60.0) -> Command:
    return Command(name, line, seconds)


async def run(checkout: Path, *commands: Command) -> tuple[CommandRun, ...]:
    return await HostHarness().run(KEY, commands, checkout, checkout.parent / "logs")


async def ran(checkout: Path, line: str, **more: Any) -> CommandRun:
    (found,) = await run(checkout, command(line, **more))
    return found


async def until(met: Callable[[], Any], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not met():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.01)


class TestTheEnd:
    @pytest.mark.parametrize(
        ("line", "end", "code"),
        [
            ("true", "passed", 0),
            ("exit 1", "failed", 1),
            ("exit 124", "failed", 124),
            ("kill -9 $$", "failed", -9),
            ("no-such-program", "not_runnable", 127),
            ("/etc/passwd", "not_runnable", 126),
            ("true; no-such-program", "not_runnable", 127),
            ("false | true", "passed", 0),
            ("(", "failed", 2),
        ],
    )
    async def test_is_its_exit_codes_to_say(
        self, checkout: Path, line: str, end: str, code: int
    ) -> None:
        found = await ran(checkout, line)
        assert (found.end, found.exit_code) == (end, code)
        assert bool(found.reason) == (end == "not_runnable")
        assert (found.name, found.line) == ("test", line)

    async def test_is_not_runnable_where_there_is_no_checkout(self, tmp_path: Path) -> None:
        found = await ran(tmp_path / "gone", "true")
        assert (found.end, found.exit_code) == ("not_runnable", 127)
        assert "gone" in found.log.read_text()

    async def test_comes_when_time_is_up(self, checkout: Path) -> None:
        found = await ran(checkout, "echo before; exec sleep 1000", seconds=0.5)
        assert (found.end, found.exit_code, found.reason) == ("timed_out", 124, "time is up")
        assert 500 <= found.duration_ms < 5_000
        assert found.log.read_text() == "before\n"

    async def test_of_one_command_leaves_the_others_to_run(self, checkout: Path) -> None:
        commands = [command("exit 3"), command("true", "lint"), command("no-such", "build")]
        found = await run(checkout, *commands)
        assert [each.end for each in found] == ["failed", "passed", "not_runnable"]
        assert len({each.log for each in found}) == 3

    @pytest.mark.parametrize("leaves", LEAVES.values(), ids=LEAVES.keys())
    async def test_is_the_end_of_what_it_left_running(self, checkout: Path, leaves: str) -> None:
        before = time.monotonic()
        found = await ran(checkout, f"{leaves} echo started")
        assert (found.end, found.log.read_text()) == ("passed", "started\n")
        assert time.monotonic() - before < 10.0
        assert working_in(checkout) == []


class TestTheLog:
    async def test_has_both_streams_in_order_and_a_digest(self, checkout: Path) -> None:
        found = await ran(checkout, "echo one; echo two >&2; echo three")
        content = found.log.read_bytes()
        assert content == b"one\ntwo\nthree\n"
        assert found.log_sha256 == hashlib.sha256(content).hexdigest()

    async def test_says_what_the_shell_could_not_read(self, checkout: Path) -> None:
        found = await ran(checkout, "echo 'half a word")
        assert found.end == "failed"
        assert found.log.read_text()

    async def test_may_be_long_and_of_any_bytes(self, checkout: Path) -> None:
        line = "head -c 50000000 /dev/zero; printf '\\377\\n3 passed in 0.1s\\n'"
        found = await ran(checkout, line)
        assert found.log.stat().st_size == 50_000_000 + 2 + 17
        assert found.counts["passed"] == 3
        with found.log.open("rb") as file:
            assert found.log_sha256 == hashlib.file_digest(file, "sha256").hexdigest()

    async def test_is_the_operators_alone_and_forgets_an_earlier_one(self, checkout: Path) -> None:
        await ran(checkout, "echo earlier")
        found = await ran(checkout, "echo later")
        assert found.log.read_text() == "later\n"
        assert found.log.stat().st_mode & 0o777 == 0o600
        assert found.log.parent.stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("instead", ["ln -s /etc/passwd", "mkfifo", "mkdir", "true"])
    async def test_that_a_command_replaces_is_empty(self, checkout: Path, instead: str) -> None:
        link = 'log=$(readlink /proc/$$/fd/1); rm "$log"; '
        found = await asyncio.wait_for(ran(checkout, f'{link}{instead} "$log"'), 20.0)
        assert found.end == "passed"
        assert found.log_sha256 == hashlib.sha256(b"").hexdigest()

    async def test_is_counted(self, checkout: Path) -> None:
        case = "import unittest\n\nclass T(unittest.TestCase):\n    def test_a(self): pass\n"
        (checkout / "test_one.py").write_text(case)
        found = await ran(checkout, "python3 -m unittest")
        assert found.counts == {"passed": 1, "failed": 0, "skipped": 0, "errors": 0}


class TestTheEnvironment:
    async def test_is_made_from_scratch(
        self, checkout: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in FOREIGN:
            monkeypatch.setenv(name, "canary")
        found = await ran(checkout, "env -0 >variables")
        assert found.end == "passed"
        rows = (checkout / "variables").read_text().rstrip("\0").split("\0")
        variables = dict(row.split("=", 1) for row in rows)
        assert "canary" not in variables.values()
        allowed = {"PATH", "TZ", "LANG", "LC_CTYPE", "TERM", "HOME", "CI", "COCKPIT_GUARD"}
        assert set(variables) - {"PWD", "OLDPWD", "SHLVL", "_"} <= allowed | {
            "PYTHONDONTWRITEBYTECODE"
        }
        assert variables["CI"] == "1"

    async def test_has_a_home_that_set_up_and_commands_share(self, checkout: Path) -> None:
        harness, logs = HostHarness(), checkout.parent / "logs"
        keep = command('echo kept >"$HOME/tool"', "setup")
        await harness.run(KEY, [keep], checkout, logs)
        (found,) = await harness.run(KEY, [command('cat "$HOME/tool"')], checkout, logs)
        assert found.log.read_text() == "kept\n"
        assert not (Path.home() / "tool").exists()

    async def test_prefers_the_operators_programs_and_has_a_python(
        self, checkout: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = checkout.parent / "bin"
        folder.mkdir()
        own = folder / "python3"
        own.write_text("#!/bin/sh\necho mine\n")
        own.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        assert (await ran(checkout, "python3")).log.read_text() == "mine\n"
        monkeypatch.setenv("PATH", "/nonexistent")
        assert (await ran(checkout, "python3 -c 'print(6 * 7)'")).log.read_text() == "42\n"

    async def test_reads_nothing_from_the_operator(self, checkout: Path) -> None:
        assert (await ran(checkout, "cat")).log.read_text() == ""


class TestAStop:
    async def test_ends_what_runs_and_what_would_follow(self, checkout: Path) -> None:
        harness, logs = HostHarness(), checkout.parent / "logs"
        line = "setsid sh -c 'trap \"\" TERM; touch ready; while :; do sleep 1000; done'"
        commands = [command(line), command("touch second", "lint")]
        running = spawn(harness.run(KEY, commands, checkout, logs), name="running")
        await until((checkout / "ready").exists)
        before = time.monotonic()
        await harness.stop(KEY)
        assert time.monotonic() - before < 2.0
        assert working_in(checkout) == []
        assert [each.end for each in await running] == ["stopped", "stopped"]
        assert not (checkout / "second").exists()

    @pytest.mark.parametrize("moment", [0.0, 0.002, 0.01, 0.03, 0.06, 0.1])
    async def test_while_a_command_is_being_started_is_not_forgotten(
        self, checkout: Path, moment: float
    ) -> None:
        harness = HostHarness()
        work = harness.run(KEY, [command("sleep 1000")], checkout, checkout.parent / "logs")
        running = spawn(work, name="running")
        await asyncio.sleep(moment)
        await harness.stop(KEY)
        (found,) = await asyncio.wait_for(running, 10.0)
        assert found.end == "stopped"

    async def test_concerns_its_own_key_alone(self, checkout: Path) -> None:
        harness, logs = HostHarness(), checkout.parent / "logs"
        line = "touch {0}; while [ ! -e go ]; do sleep 0.02; done"
        works = [
            spawn(harness.run(key, [command(line.format(key))], checkout, logs / key), name=key)
            for key in ("a", "b")
        ]
        await until(lambda: all((checkout / key).exists() for key in ("a", "b")))
        await harness.stop("a")
        await harness.stop("unknown")
        (checkout / "go").touch()
        ends = [found.end for (found,) in await asyncio.gather(*works)]
        assert ends == ["stopped", "passed"]

    async def test_is_over_with_the_next_call(self, checkout: Path) -> None:
        harness, logs = HostHarness(), checkout.parent / "logs"
        await harness.stop(KEY)
        (found,) = await harness.run(KEY, [command("true")], checkout, logs)
        assert found.end == "passed"

    async def test_by_cancelling_leaves_nothing(self, checkout: Path) -> None:
        harness, logs = HostHarness(), checkout.parent / "logs"
        line = "setsid sleep 1000 & touch ready; sleep 1000"
        running = spawn(harness.run(KEY, [command(line)], checkout, logs), name="running")
        await until((checkout / "ready").exists)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert working_in(checkout) == []
