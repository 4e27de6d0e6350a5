"""The rehearsal plays for the real Claude CLI, started as the product starts it."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from core.context import Context
from runner.rehearsal.sample import write_sample
from runner.rehearsal.scripts import Script, load_all
from runner.rehearsal.server import RehearsalServer

MODEL = "claude-sonnet-4-5"
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"prd": {"type": "object"}, "tasks": {"type": "array", "minItems": 1}},
        "required": ["prd", "tasks"],
    }
)
Json = dict[str, Any]


def bundled_cli() -> Path | None:
    package = pytest.importorskip("claude_agent_sdk").__file__
    found = Path(package).parent / "_bundled" / "claude"
    return found if found.exists() else None


def faulty(**turn: Any) -> Script:
    return Script.model_validate(
        {
            "title": "a fault",
            "description": "one fault",
            "goal": "a goal",
            "criteria": ["a criterion"],
            "goal_attempted": True,
            "planner": [{"step": "plan", "turns": [turn]}],
            "coder": [{"turns": [turn]}],
        }
    )


FAULTS = {
    "unauthorized": faulty(fault={"status": 401, "message": "Invalid bearer token"}),
    "limited": faulty(fault={"status": 429, "reset_in_seconds": 3600}),
    "throttled": faulty(fault={"status": 429, "headers": {"retry-after": "0"}}),
    "overloaded": faulty(fault={"status": 529}),
    "broken": faulty(fault={"status": 500}),
    "hanging": faulty(fault={"hang": True}),
    "cut": faulty(text="a long text " * 20, fault={"cut_after_events": 5}),
    "misfit": faulty(structured={"unexpected": 1}),
    "slow": faulty(text="a long text " * 20, chunk_delay_ms=5_000),
}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RehearsalServer]:
    async with RehearsalServer({**load_all(), **FAULTS}) as running:
        yield running


@dataclass(frozen=True)
class Ended:
    code: int
    events: list[Json]
    stderr: str

    @property
    def result(self) -> Json:
        return next(event for event in self.events if event["type"] == "result")


class Cli:
    """The real CLI, started as the product starts it, in a home and a config folder of its own."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.checkout = folder / "checkout"
        write_sample(self.checkout)
        for name in ("home", "config"):
            (folder / name).mkdir()

    async def start(
        self, base_url: str, call: Json, *args: str, **env: str
    ) -> asyncio.subprocess.Process:
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": base_url}}))
        line = json.dumps({**call, "cwd": str(self.checkout)})
        process = await asyncio.create_subprocess_exec(
            *(str(self.binary), "-p", "--output-format", "stream-json", "--verbose"),
            *("--setting-sources", "user", "--strict-mcp-config"),
            *("--settings", str(settings), "--model", MODEL, *args),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.checkout,
            env=self._environment(env),
            limit=16 * 1024 * 1024,
        )
        assert process.stdin is not None
        process.stdin.write(f"cockpit-call: {line}\n\nDo what the plan says.\n".encode())
        process.stdin.close()
        return process

    async def run(self, base_url: str, call: Json, *args: str, **env: str) -> Ended:
        process = await self.start(base_url, call, *args, **env)
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, [json.loads(x) for x in out.splitlines()], err.decode())

    async def code(self, base_url: str, task: str = "T1", attempt: int = 1, **env: str) -> Ended:
        call = {"role": "coder", "task": task, "attempt": attempt}
        return await self.run(base_url, call, "--permission-mode", "bypassPermissions", **env)

    async def plan(self, base_url: str, attempt: int = 1) -> Ended:
        call = {"role": "planner", "step": "plan", "attempt": attempt}
        return await self.run(base_url, call, "--tools", "Read,Grep,Glob", "--json-schema", SCHEMA)

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "CLAUDE_CONFIG_DIR": str(self.folder / "config"),
            "CLAUDE_CODE_OAUTH_TOKEN": "rehearsal",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **extra,
        }

    def tests_pass(self) -> bool:
        ran = subprocess.run(
            [sys.executable, "-m", "unittest"],
            cwd=self.checkout,
            capture_output=True,
            check=False,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        )
        return ran.returncode == 0


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    binary = bundled_cli()
    if binary is None:
        pytest.skip("the package has no CLI for this platform")
    return Cli(binary, tmp_path)


def usage_of(script: Script, task: str) -> dict[str, int]:
    part = next(part for part in script.coder if part.task == task)
    sent = [turn.usage for turn in part.turns if turn.usage is not None]
    assert len(sent) == len(part.turns)
    return {
        "inputTokens": sum(usage.input for usage in sent),
        "outputTokens": sum(usage.output for usage in sent),
        "cacheReadInputTokens": sum(usage.cache_read for usage in sent),
        "cacheCreationInputTokens": sum(usage.cache_write for usage in sent),
    }


def tool_errors(ended: Ended) -> list[str]:
    contents = [event["message"]["content"] for event in ended.events if event["type"] == "user"]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return [str(block["content"]) for block in blocks if block.get("is_error")]


@pytest.mark.slow
@pytest.mark.real_cli
@pytest.mark.asyncio
class TestClaudeCli:
    async def test_the_happy_tasks_write_their_files_and_pass_the_tests(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        for task in ("T1", "T2", "T3"):
            ended = await cli.code(server.base_url("happy"), task)
            assert (ended.code, tool_errors(ended), ended.stderr) == (0, [], "")
            told = ended.result["modelUsage"][MODEL]
            expected = usage_of(load_all()["happy"], task)
            assert {key: told[key] for key in expected} == expected
        assert "def nights" in (cli.checkout / "harbor/bookings.py").read_text()
        assert (cli.checkout / "tests/test_invoice.py").exists()
        assert cli.tests_pass()

    async def test_a_failing_attempt_is_repaired_by_the_next(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        first = await cli.code(server.base_url("failing_test"))
        assert (first.code, tool_errors(first), cli.tests_pass()) == (0, [], False)
        second = await cli.code(server.base_url("failing_test"), attempt=2)
        assert (second.code, tool_errors(second), cli.tests_pass()) == (0, [], True)

    async def test_the_repair_works_on_a_fresh_checkout_too(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        second = await cli.code(server.base_url("failing_test"), attempt=2)
        assert (second.code, tool_errors(second), cli.tests_pass()) == (0, [], True)

    async def test_the_forbidden_workflow_is_really_written(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        ended = await cli.code(server.base_url("forbidden_path"))
        assert (ended.code, tool_errors(ended)) == (0, [])
        assert (cli.checkout / ".github/workflows/ci.yml").exists()
        assert cli.tests_pass()

    async def test_any_repository_gets_one_more_file(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        before = {path.name for path in cli.checkout.iterdir()}
        ended = await cli.code(server.base_url("any_repository"), task="T7", attempt=3)
        assert (ended.code, tool_errors(ended)) == (0, [])
        added = {path.name for path in cli.checkout.iterdir()} - before
        assert added == {"COCKPIT_REHEARSAL.md"}

    async def test_the_plan_comes_back_as_structured_output(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        ended = await cli.plan(server.base_url("happy"))
        assert (ended.code, tool_errors(ended)) == (0, [])
        script = load_all()["happy"]
        planned = next(part for part in script.planner if part.step == "plan")
        assert ended.result["structured_output"] == planned.turns[-1].structured

    async def test_a_malformed_plan_has_no_structure_and_its_repair_has_one(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        first = await cli.plan(server.base_url("malformed_plan"))
        assert (first.code, first.result["is_error"]) == (0, False)
        assert "structured_output" not in first.result
        second = await cli.plan(server.base_url("malformed_plan"), attempt=2)
        assert second.result["structured_output"]["tasks"][0]["id"] == "T1"

    async def test_a_structure_that_misses_the_schema_ends_in_an_error(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        ended = await cli.plan(server.base_url("misfit"))
        assert ended.code == 1
        assert ended.result["subtype"] == "error_max_structured_output_retries"

    @pytest.mark.parametrize(
        ("script", "status"),
        [
            ("unauthorized", 401),
            ("limited", 429),
            ("throttled", 429),
            ("overloaded", 529),
            ("broken", 500),
            ("cut", None),
        ],
    )
    async def test_a_fault_becomes_the_envelope_of_that_fault(
        self, cli: Cli, server: RehearsalServer, script: str, status: int | None
    ) -> None:
        ended = await cli.code(server.base_url(script))
        told = {key: ended.result[key] for key in ("is_error", "api_error_status", "subtype")}
        assert told == {"is_error": True, "api_error_status": status, "subtype": "success"}
        assert (ended.code, ended.result["terminal_reason"]) == (1, "api_error")

    async def test_the_limit_of_the_subscription_names_its_reset_and_is_not_retried(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        before = time.time()
        ended = await cli.code(server.base_url("limited"))
        told = [e["rate_limit_info"] for e in ended.events if e["type"] == "rate_limit_event"]
        assert told[-1]["status"] == "rejected"
        assert before + 3599 <= told[-1]["resetsAt"] <= time.time() + 3600
        assert [seen.status for seen in server.requests if seen.role == "coder"] == [429]

    async def test_the_shipped_limit_stops_the_first_attempt_and_not_the_second(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        assert (await cli.code(server.base_url("rate_limit"))).result["api_error_status"] == 429
        second = await cli.code(server.base_url("rate_limit"), attempt=2)
        assert (second.code, tool_errors(second), cli.tests_pass()) == (0, [], True)

    async def test_the_crash_kills_the_process_and_the_next_attempt_works(
        self, cli: Cli, server: RehearsalServer
    ) -> None:
        first = await cli.code(server.base_url("coder_crash"))
        assert first.code == -9
        assert "result" not in [event["type"] for event in first.events]
        assert (cli.checkout / "NOTES.md").exists()
        second = await cli.code(server.base_url("coder_crash"), attempt=2)
        assert (second.code, tool_errors(second), cli.tests_pass()) == (0, [], True)

    @pytest.mark.parametrize("script", ["hanging", "slow"])
    async def test_a_hanging_call_ends_with_the_client(
        self, cli: Cli, server: RehearsalServer, script: str
    ) -> None:
        call = {"role": "coder", "task": "T1", "attempt": 1}
        process = await cli.start(
            server.base_url(script), call, "--permission-mode", "bypassPermissions"
        )
        assert process.stdout is not None
        first = json.loads(await process.stdout.readline())
        assert first["subtype"] == "init"
        process.terminate()
        await process.communicate()
        assert process.returncode == 143

    async def test_a_restart_in_the_middle_of_a_task_is_survived(self, cli: Cli) -> None:
        asked = asyncio.Event()

        def now() -> datetime:
            asked.set()
            return datetime.now(UTC)

        call = {"role": "coder", "task": "T1", "attempt": 1}
        first = RehearsalServer({"mission": FAULTS["slow"]}, context=Context(now=now))
        async with first:
            process = await cli.start(
                first.base_url("mission"), call, "--permission-mode", "bypassPermissions"
            )
            await asked.wait()
        async with RehearsalServer({"mission": load_all()["happy"]}, port=first.port):
            out, _ = await process.communicate()
        result = json.loads(out.splitlines()[-1])
        assert (process.returncode, result["is_error"]) == (0, False)
        assert (cli.checkout / "tests/test_nights.py").exists()

    async def test_side_requests_do_no_harm(self, cli: Cli, server: RehearsalServer) -> None:
        ended = await cli.code(
            server.base_url("happy"), CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=""
        )
        assert (ended.code, tool_errors(ended)) == (0, [])
