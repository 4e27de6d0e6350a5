"""The command line as it is typed: global options anywhere, one object on refusal, exit codes."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from cockpit.__main__ import global_first, run

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("COCKPIT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COCKPIT_SOCKET", raising=False)
    yield tmp_path / "home"
    structlog.reset_defaults()


def _json(capsys: Capture, *words: str) -> tuple[int, Any]:
    code = run(["--json", *words])
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return code, json.loads(out)


@pytest.mark.parametrize(
    ("typed", "ordered"),
    [
        ("session list --json", "--json session list"),
        ("a --set x=1 b --set=y=2", "--set x=1 --set=y=2 a b"),
        ("a --profile work --in-process", "--profile work --in-process a"),
        ("a -- --json", "a -- --json"),
        ("a --jsonish --sets", "a --jsonish --sets"),
        ("a --profile", "--profile a"),
        ("", ""),
    ],
)
def test_global_options_may_stand_anywhere(typed: str, ordered: str) -> None:
    assert global_first(typed.split()) == ordered.split()


def test_help_and_version(capsys: Capture) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    for word in ("daemon", "mission", "session", "--in-process"):
        assert word in out
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("cockpit ")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["session", "nonsense"],
        ["session", "show"],
        ["session", "list", "--nonsense"],
        ["session", "list", "--limit", "many"],
        ["--nonsense"],
        ["--set", "novalue", "config", "show"],
        ["--set", "system.nonsense=1", "config", "show"],
        ["--profile", "No Such", "config", "show"],
        ["rpc", "ping", "[]"],
        ["rpc", "ping", "{"],
        ["config", "show", "nonsense"],
        ["config", "set", "system.language", "xx"],
        ["secret", "set", "nonsense"],
    ],
)
def test_usage_is_2_and_one_object(capsys: Capture, words: list[str]) -> None:
    code, answer = _json(capsys, *words)
    assert code == 2
    assert answer.keys() == {"code", "sentence", "recovery", "data"}
    assert answer["code"] in ("USAGE", "INVALID_INPUT")


def test_a_refusal_in_words_goes_to_standard_error(capsys: Capture) -> None:
    assert run(["rpc", "ping"]) == 3
    found = capsys.readouterr()
    assert found.out == ""
    assert "[NOT_RUNNING]" in found.err
    assert "cockpit daemon start" in found.err


def test_not_running_is_3(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    code, answer = _json(capsys, "daemon", "status")
    assert (code, answer["running"]) == (3, False)
    assert _json(capsys, "vault", "unlock")[0] == 3
    monkeypatch.setenv("COCKPIT_SOCKET", "/nowhere/x.sock")
    code, answer = _json(capsys, "session", "list")
    assert (code, answer["code"]) == (3, "NOT_RUNNING")


def test_settings_on_the_command_line(capsys: Capture, home: Path) -> None:
    code, answer = _json(capsys, "config", "set", "system.language", "zh")
    assert (code, answer["value"], answer["source"]) == (0, "zh", "file")
    assert 'language = "zh"' in (home / "config" / "settings.toml").read_text()
    code, answer = _json(capsys, "config", "show", "system.language")
    assert answer["settings"][0]["where"].endswith("settings.toml:2")
    code, answer = _json(capsys, "config", "show", "system.language", "--set", "system.language=en")
    assert answer["settings"][0]["source"] == "command_line"
    code, answer = _json(capsys, "config", "unset", "system.language")
    assert (answer["removed"], answer["source"]) == (True, "default")
    assert len(_json(capsys, "config", "show")[1]["settings"]) > 10


def test_plain_is_short(capsys: Capture) -> None:
    assert run(["--plain", "config", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert all(len(line) <= 70 for line in lines)


def test_a_throw_away_profile_has_no_daemon(capsys: Capture) -> None:
    code, answer = _json(capsys, "--profile", "temp", "daemon", "start")
    assert (code, answer["code"]) == (13, "PROFILE_THROWN_AWAY")


TOKEN = "github_pat_" + "A1b2" * 8


@pytest.mark.slow
def test_secrets(capsys: Capture, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    key = home / "key"
    home.mkdir(mode=0o700)
    key.write_text("correct horse battery staple")
    key.chmod(0o600)
    vault = ["--set", "system.vault=file"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(TOKEN))
    assert _json(capsys, *vault, "secret", "set", "github_token")[0] == 12
    monkeypatch.setenv("COCKPIT_VAULT_KEY_FILE", str(key))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{TOKEN}\n"))
    code, answer = _json(capsys, *vault, "secret", "set", "github_token")
    assert (code, answer) == (0, {"name": "github_token", "stored": True, "vault": "file"})
    code, answer = _json(capsys, *vault, "secret", "list")
    assert [s["name"] for s in answer["secrets"] if s["stored"]] == ["github_token"]
    assert TOKEN not in str(answer)
    assert _json(capsys, *vault, "secret", "test", "github_token")[1]["form"] == "right"
    assert _json(capsys, *vault, "secret", "test", "openai_api_key")[0] == 13
    monkeypatch.setattr(sys, "stdin", io.StringIO("not a token"))
    code, answer = _json(capsys, *vault, "secret", "set", "github_token")
    assert (code, answer["code"]) == (2, "INVALID_INPUT")
    assert "not a token" not in str(answer)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert _json(capsys, *vault, "secret", "set", "github_token")[0] == 2
    assert _json(capsys, *vault, "secret", "remove", "github_token")[1]["removed"] is True
    assert _json(capsys, *vault, "secret", "remove", "github_token")[1]["removed"] is False
    assert _json(capsys, *vault, "vault", "init")[1]["code"] == "VAULT_EXISTS"


@pytest.mark.slow
def test_a_vault_is_made(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = ["--set", "system.vault=file"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("short"))
    assert _json(capsys, *vault, "vault", "init")[0] == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse battery staple"))
    code, answer = _json(capsys, *vault, "vault", "init")
    assert (code, answer["vault"]) == (0, "file")
    assert Path(answer["file"]).stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_the_real_core_in_process(capsys: Capture) -> None:
    assert _json(capsys, "session", "list", "--in-process") == (0, {"sessions": []})
    code, answer = _json(capsys, "mission", "show", "m-nope")
    assert (code, answer["code"]) == (13, "MISSION_NOT_FOUND")
    code, answer = _json(capsys, "event", "list", "--limit", "0")
    assert (code, answer["code"]) == (2, "INVALID_INPUT")
    code, answer = _json(capsys, "journal", "verify")
    assert (code, answer["ok"]) == (0, True)
    assert run(["journal", "tail", "--lines", "1"]) == 0
    assert "system.started" in capsys.readouterr().out
    assert run(["--profile", "temp", "repo", "list"]) == 0


@pytest.mark.slow
def test_help_imports_little(home: Path) -> None:
    heavy = ["sqlalchemy", "sqlmodel", "openai", "google.genai", "structlog", "rich", "keyring"]
    code = (
        "import sys; from cockpit.__main__ import run; run(['--help']);"
        f"sys.exit(str([m for m in {heavy} if m in sys.modules]))"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert time.perf_counter() - began < 10
    assert done.stderr.strip() == "[]"
