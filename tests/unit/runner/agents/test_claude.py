"""The command line, settings and environment of a call."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.agents.claude import (
    CODER_TOOLS,
    PLANNER_TOOLS,
    REHEARSAL,
    CliCall,
    Credential,
    outside,
)

SECRET = "sk-ant-oat01-a-secret-of-a-test"
TOKEN = Credential("token", SECRET)


@pytest.fixture
def cli(tmp_path: Path) -> Path:
    path = tmp_path / "claude"
    path.write_text("#!/bin/sh\necho ' --safe-mode  --restricted  --no-session-persistence  '\n")
    path.chmod(0o755)
    return path


def call(cli: Path, tools: tuple[str, ...] = CODER_TOOLS, **more: Any) -> CliCall:
    facts: dict[str, Any] = {
        "cli": cli,
        "folder": cli.parent / "call",
        "checkout": cli.parent / "checkout",
        "model": "m",
        "credential": TOKEN,
        "tools": tools,
        "permission_mode": "acceptEdits",
        "base_url": "http://127.0.0.1:1/x",
    }
    return CliCall(**{**facts, **more})


def test_the_secret_is_in_the_environment_alone(cli: Path) -> None:
    made = call(cli)
    made.prepare()
    assert made.environment()["CLAUDE_CODE_OAUTH_TOKEN"] == SECRET
    assert SECRET not in repr(made.argv()) + repr(made) + repr(TOKEN)
    for file in made.folder.rglob("*"):
        assert not file.is_file() or SECRET not in file.read_text()


def test_a_key_has_its_own_variable(cli: Path) -> None:
    env = call(cli, credential=Credential("api_key", "k")).environment()
    assert (env.get("ANTHROPIC_API_KEY"), env.get("CLAUDE_CODE_OAUTH_TOKEN")) == ("k", None)


def test_only_what_is_named_is_in_the_environment(
    cli: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = [
        *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "GEMINI_API_KEY"),
        *("GOOGLE_API_KEY", "GITHUB_TOKEN", "GH_TOKEN", "AWS_SECRET_ACCESS_KEY"),
        *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_OAUTH_TOKEN", "HTTPS_PROXY", "NODE_OPTIONS"),
        *("LD_PRELOAD", "CLAUDE_CONFIG_DIR", "TMPDIR", "HOME", "BASH_ENV"),
    ]
    for name in foreign:
        monkeypatch.setenv(name, "canary")
    env = call(cli).environment()
    assert "canary" not in env.values()
    assert {n for n in env if n.startswith(("ANTHROPIC_", "AWS_", "GH_", "GITHUB_"))} == {
        "ANTHROPIC_BASE_URL"
    }


def test_home_configuration_and_temporary_files_are_the_calls_own(cli: Path) -> None:
    made = call(cli)
    made.prepare()
    env = made.environment()
    for name in ("HOME", "CLAUDE_CONFIG_DIR", "TMPDIR", "CLAUDE_CODE_TMPDIR"):
        folder = Path(env[name])
        assert folder.parent == made.folder
        assert folder.stat().st_mode & 0o777 == 0o700
        assert list(folder.iterdir()) == []
    assert made.settings_file.stat().st_mode & 0o777 == 0o600


def test_the_address_is_in_the_settings_and_in_the_environment(cli: Path) -> None:
    made = call(cli)
    made.prepare()
    settings = json.loads(made.settings_file.read_text())
    assert settings["env"] == {"ANTHROPIC_BASE_URL": made.base_url}
    assert made.environment()["ANTHROPIC_BASE_URL"] == made.base_url


def test_without_an_address_none_is_set(cli: Path) -> None:
    made = call(cli, base_url=None)
    made.prepare()
    assert json.loads(made.settings_file.read_text())["env"] == {}
    assert "ANTHROPIC_BASE_URL" not in made.environment()


def test_no_reading_tool_is_allowed_by_a_rule(cli: Path) -> None:
    for tools, allowed in ((PLANNER_TOOLS, []), (CODER_TOOLS, ["Bash"])):
        made = call(cli, tools)
        made.prepare()
        assert json.loads(made.settings_file.read_text())["permissions"]["allow"] == allowed


def test_the_command_line_shuts_the_repository_out(cli: Path) -> None:
    argv = call(cli, PLANNER_TOOLS).argv()
    assert argv[argv.index("--setting-sources") + 1] == "user"
    assert argv[argv.index("--tools") + 1] == "Read,Grep,Glob"
    assert {"--strict-mcp-config", "--safe-mode", "--restricted"} <= set(argv)
    assert "--restricted" not in call(cli).argv()


def test_flags_that_this_version_lacks_are_left_out(cli: Path) -> None:
    cli.write_text("#!/bin/sh\necho old\n")
    argv = call(cli, PLANNER_TOOLS).argv()
    assert not {"--safe-mode", "--restricted", "--no-session-persistence"} & set(argv)
    assert "--strict-mcp-config" in argv


def test_the_placeholder_is_no_secret_and_a_real_one_is() -> None:
    assert (REHEARSAL.hidden, TOKEN.hidden, Credential("login").hidden) == ("", SECRET, "")


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_the_operators_own_login_brings_none_of_their_settings(
    cli: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setenv("HOME", "/home/operator")
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    monkeypatch.setattr(sys, "platform", system)
    made = call(cli, credential=Credential("login"))
    assert made.argv()[made.argv().index("--setting-sources") + 1] == ""
    env = made.environment()
    assert "CLAUDE_CODE_OAUTH_TOKEN" not in env
    expected = {
        "linux": (str(made.folder / "home"), "/home/operator/.claude"),
        "darwin": ("/home/operator", None),
    }
    assert (env["HOME"], env.get("CLAUDE_CONFIG_DIR")) == expected[system]


def test_a_chosen_configuration_folder_of_the_operator_is_used_for_the_login(
    cli: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", "/home/operator/cfg")
    env = call(cli, credential=Credential("login")).environment()
    assert env["CLAUDE_CONFIG_DIR"] == "/home/operator/cfg"


def test_every_neighbour_is_outside_and_the_checkout_is_not(tmp_path: Path) -> None:
    for name in ("a", "b[1]", "c (d)", "e*", "new\nline"):
        (tmp_path / "x" / name).mkdir(parents=True)
    checkout = tmp_path / "x" / "a"
    (tmp_path / "y").write_text("y")
    rules = outside(checkout)
    assert f"Read(/{tmp_path}/y)" in rules
    assert f"Read(/{tmp_path}/y/**)" in rules
    assert "Read(//etc/**)" in rules
    assert rf"Read(/{tmp_path}/x/b\[1\])" in rules
    for folder in (checkout, *checkout.parents):
        assert f"Read(/{folder}/**)" not in rules
    assert not any("\n" in rule for rule in rules)


def test_a_link_that_leads_to_the_checkout_shuts_nothing_out(tmp_path: Path) -> None:
    (tmp_path / "real" / "checkout").mkdir(parents=True)
    (tmp_path / "current").symlink_to(tmp_path / "real")
    for checkout in (tmp_path / "real" / "checkout", tmp_path / "current" / "checkout"):
        assert not any("current" in r or "/real/**" in r for r in outside(checkout))


def test_where_there_are_too_many_the_way_from_the_root_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("checkout", "other"):
        (tmp_path / name).mkdir()
    every = outside(tmp_path / "checkout")
    assert f"Read(/{tmp_path}/other)" in every
    monkeypatch.setattr("runner.agents.claude._MOST_DENIED", len(every) - 2)
    few = outside(tmp_path / "checkout")
    assert "Read(//etc/**)" in few
    assert f"Read(/{tmp_path}/other)" not in few
