"""A real mission, from the idea to the draft pull request, on an emulator by others.

The Claude CLI and both validators' SDKs are asked under the addresses of the settings, with
credentials out of a vault; nothing of our own plays a model.
"""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from cockpit import rehearsal
from cockpit.client import InProcessClient
from cockpit.compose import Core, open_core
from cockpit.mission_run import MissionRun, Wanted
from core.errors import Unavailable
from core.folders import Folders
from core.private_files import write_private
from core.settings import Settings
from core.settings.model import ClaudeProvider, GeminiProvider, OpenAIProvider, Providers, System
from runner.agents.cli import find_cli
from tests import servers

pytestmark = [pytest.mark.slow, pytest.mark.real_cli, pytest.mark.asyncio]

GOAL = "Add `harbor/welcome.py` with a function `welcome(boat)` that returns one line of text."
CRITERION = 'welcome("Marlin") in harbor/welcome.py returns "Welcome, Marlin"'
CODE = '''"""What a boat is told when it enters."""


def welcome(boat: str) -> str:
    """One line of text for a boat."""
    return f"Welcome, {boat}"
'''
TEST = """import unittest

from harbor.welcome import welcome


class WelcomeTest(unittest.TestCase):
    def test_the_boat_is_named(self):
        self.assertEqual("Welcome, Marlin", welcome("Marlin"))
"""
TASK = {
    "id": "T1",
    "title": "Welcome a boat",
    "role": "coder",
    "depends_on": [],
    "context_files": ["harbor/fees.py"],
    "write_files": ["harbor/welcome.py", "tests/test_welcome.py"],
    "acceptance": [CRITERION],
    "expected_evidence": ["tests/test_welcome.py passes"],
    "checkpoint": False,
}
PLAN = {
    "prd": {
        "summary": "A boat is welcomed.",
        "goals": ["The harbour master says one line."],
        "non_goals": [],
        "acceptance_criteria": [CRITERION],
        "risks": [],
        "rollback": "Revert the merge.",
    },
    "adr": {
        "title": "A module of its own",
        "context": "Nothing welcomes a boat.",
        "decision": "harbor.welcome does.",
        "consequences": [],
    },
    "roadmap": [{"title": "Welcome", "outcome": "A line for each boat.", "tasks": ["T1"]}],
    "tasks": [TASK],
}
CYCLE = {**PLAN, "tasks": [{**TASK, "depends_on": ["T1"]}]}
UNDERSTOOD = {
    "message": "One function, one line.",
    "confidence": 0.9,
    "questions": [],
    "proposed_criteria": [],
}
VERDICT = {
    "verdict": "pass",
    "confidence": 0.9,
    "summary": "The function is there and tested.",
    "criteria": [{"id": "C1", "status": "pass", "where": "tests/test_welcome.py"}],
    "blocking_issues": [],
    "non_blocking_issues": [],
    "evidence_gaps": [],
}
# What each emulated provider is to report as used; aimock takes each wire's own names.
CLAUDE_USED = {"input_tokens": 700, "output_tokens": 70}
OPENAI_USED = {"prompt_tokens": 900, "completion_tokens": 90, "total_tokens": 990}
GEMINI_USED = {"promptTokenCount": 800, "candidatesTokenCount": 80, "totalTokenCount": 880}


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"userMessage": text, **more}


def turn(match: dict[str, Any], *calls: tuple[str, dict[str, Any]], text: str = "") -> Any:
    tools = [{"name": name, "arguments": given} for name, given in calls]
    response: dict[str, Any] = {"toolCalls": tools} if tools else {"content": text}
    return {"match": match, "response": {**response, "usage": CLAUDE_USED}}


def answer(prompt: str, structured: dict[str, Any]) -> Any:
    """A planner's whole call: handing its answer over ends it."""
    return turn(asked(prompt), ("StructuredOutput", structured))


def verdict(model: str, used: dict[str, int], **more: Any) -> Any:
    match = asked('"role":"validator"', model=model, **more)
    return {"match": match, "response": {"content": json.dumps(VERDICT), "usage": used}}


def throttled(model: str, **more: Any) -> Any:
    told = {"message": "Slow down", "type": "rate_limit_error"}
    match = asked('"role":"validator"', model=model, **more)
    return {"match": match, "response": {"error": told, "status": 429}}


def played() -> list[Any]:
    coder = '"role": "coder", "task": "T1"'
    files = {"harbor/welcome.py": CODE, "tests/test_welcome.py": TEST}
    written = [("Write", {"file_path": path, "content": text}) for path, text in files.items()]
    run = ("Bash", {"command": "python3 -m unittest tests.test_welcome", "description": "Test"})
    return [
        answer('"role": "planner", "step": "converse"', UNDERSTOOD),
        answer('"attempt": 2', PLAN),
        answer('"role": "planner", "step": "plan"', CYCLE),
        turn(asked(coder, turnIndex=0), *written),
        turn(asked(coder, turnIndex=1), run),
        turn(asked(coder, turnIndex=2), text="Two files; the test passes."),
        throttled("gpt-5", sequenceIndex=0),
        verdict("gpt-5", OPENAI_USED),
        verdict("gemini-2.5-pro", GEMINI_USED),
    ]


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[str]:
    try:
        find_cli(None)
    except Unavailable:
        pytest.skip("there is no Claude CLI")
    folder = tmp_path / "fixtures"
    folder.mkdir()
    (folder / "mission.json").write_text(json.dumps({"fixtures": played()}))
    with servers.aimock(folder) as url:
        yield url


def settings_for(url: str) -> Settings:
    return Settings(
        system=System(
            allow_remote_writes=True, remote_write_repos=(rehearsal.SAMPLE_NAME,), vault="file"
        ),
        providers=Providers(
            claude=ClaudeProvider(base_url=url),
            openai=OpenAIProvider(base_url=url),
            gemini=GeminiProvider(base_url=url),
        ),
    )


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Credentials that look like the providers' own, and a vault that can be opened."""
    passphrase = tmp_path / "passphrase"
    write_private(passphrase, secrets.token_hex(16).encode())
    monkeypatch.setenv("COCKPIT_VAULT_KEY_FILE", str(passphrase))
    return {
        "claude_oauth_token": f"sk-ant-oat01-{secrets.token_hex(20)}",
        "openai_api_key": f"sk-proj-{secrets.token_hex(20)}",
        "gemini_api_key": f"AIza{secrets.token_hex(20)[:35]}",
    }


@asynccontextmanager
async def opened(folders: Folders, url: str, keys: dict[str, str]) -> AsyncIterator[Core]:
    async with open_core(folders, settings_for(url)) as core:
        assert core.vault is not None
        for name, value in keys.items():
            await asyncio.to_thread(core.vault.set, name, value)
        yield core


async def walked(folders: Folders, core: Core) -> tuple[int, dict[str, Any]]:
    """The whole way on the sample repository, with a remote on this machine."""
    client = InProcessClient(core.desk)
    sample = await rehearsal.make_sample(folders)
    async with rehearsal.local_remote(folders, sample) as (push_url, forge_url):
        await rehearsal.register(client, sample)
        await rehearsal.connect_remote(client, push_url, forge_url)
        host = {"repo": rehearsal.SAMPLE_NAME, "key": "runner.host", "value": "true"}
        await client.call("repo.set", host)
        wanted = Wanted(
            repo=sample.repository,
            goal=GOAL,
            criteria=[CRITERION],
            approve=True,
            run_commands_on_host=True,
        )
        return await MissionRun(client, wanted).run()


async def seen_by(url: str) -> list[dict[str, Any]]:
    """Every request that reached the emulator, and how it was answered."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}/__aimock/journal")
    found: list[dict[str, Any]] = answer.json()
    return found


def asked_of(seen: list[dict[str, Any]]) -> Counter[tuple[str, int]]:
    return Counter((urlsplit(each["path"]).path, each["response"]["status"]) for each in seen)


async def test_a_mission_is_delivered_on_models_played_by_others(
    tmp_path: Path, emulator: str, keys: dict[str, str]
) -> None:
    folders = Folders("t", tmp_path / "data", tmp_path / "config", tmp_path / "run").make()
    async with opened(folders, emulator, keys) as core:
        code, said = await walked(folders, core)
        rows = (await InProcessClient(core.desk).call("usage.list", {}))["calls"]
    assert (code, said["state"], said["rehearsal"]) == (0, "done", None), said
    assert said["pull_request"]["draft"] is True
    assert (said["decision"], {v["verdict"] for v in said["verdicts"]}) == ("AUTO_MERGE", {"pass"})
    assert [task["attempts"] for task in said["tasks"]] == [1]
    # Everything was asked there: the plan twice, because its first version had a cycle, and
    # OpenAI twice, because it was throttled once.
    assert asked_of(await seen_by(emulator)) == {
        ("/v1/messages", 200): 6,
        ("/v1/chat/completions", 429): 1,
        ("/v1/chat/completions", 200): 1,
        ("/v1beta/models/gemini-2.5-pro:generateContent", 200): 1,
    }
    used = [(r["role"], r["auth_mode"], r["input_tokens"], r["output_tokens"]) for r in rows]
    assert sorted(used) == [
        ("coder", "subscription", 2100, 210),
        *[("planner", "subscription", 700, 70)] * 3,
        ("validator", "api", 800, 80),
        ("validator", "api", 900, 90),
    ]
    assert_nowhere(tmp_path, keys)


def assert_nowhere(folder: Path, keys: dict[str, str]) -> None:
    """No credential stands in any file, the journal and the sealed vault included."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            assert not [name for name, key in keys.items() if key.encode() in content], path
