"""Finding the CLI and asking what it can do, with small programs in its place."""

import os
from pathlib import Path

import pytest

from core.errors import Unavailable
from runner.agents.cli import find_cli, optional_flags, version_of


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = program(tmp_path / "bin" / "claude", "echo 9.9.9")
    monkeypatch.setenv("PATH", str(found.parent), prepend=os.pathsep)
    return found


class TestFinding:
    def test_the_settings_come_first(self, tmp_path: Path, on_path: Path) -> None:
        chosen = program(tmp_path / "mine", "true")
        assert find_cli(chosen) == chosen

    def test_then_the_path(self, on_path: Path) -> None:
        assert find_cli(None) == on_path

    @pytest.mark.slow
    def test_then_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("claude_agent_sdk")
        monkeypatch.setenv("PATH", "/nonexistent")
        assert find_cli(None).parent.name == "_bundled"

    def test_a_chosen_one_that_is_missing_is_not_replaced(
        self, tmp_path: Path, on_path: Path
    ) -> None:
        with pytest.raises(Unavailable) as caught:
            find_cli(tmp_path / "gone")
        assert caught.value.code == "HOLD-NO-PLANNER-CLI"
        assert "gone" in caught.value.sentence

    def test_a_file_that_cannot_be_run_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "text").write_text("text")
        for path in (tmp_path / "text", tmp_path):
            with pytest.raises(Unavailable):
                find_cli(path)


class TestAsking:
    def test_the_version_is_asked_once(self, tmp_path: Path) -> None:
        asked = tmp_path / "asked"
        cli = program(tmp_path / "claude", f"echo x >> {asked}; echo 2.1.0")
        assert (version_of(cli), version_of(cli)) == ("2.1.0", "2.1.0")
        assert asked.read_text() == "x\n"

    def test_another_program_is_asked_again(self, tmp_path: Path) -> None:
        cli = program(tmp_path / "claude", "echo 1")
        assert version_of(cli) == "1"
        program(cli, "echo 2")
        os.utime(cli, ns=(1, 1))
        assert version_of(cli) == "2"

    def test_the_shell_is_not_inherited(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "canary")
        assert "canary" not in version_of(program(tmp_path / "claude", "env"))

    def test_only_flags_it_knows_are_used(self, tmp_path: Path) -> None:
        old = program(tmp_path / "old", "echo '  --safe-mode   x\n  --restricted-too  y'")
        assert optional_flags(old) == {"--safe-mode"}

    @pytest.mark.parametrize("body", ["exit 3", "kill -9 $$"])
    def test_one_that_fails_is_none(self, tmp_path: Path, body: str) -> None:
        with pytest.raises(Unavailable):
            version_of(program(tmp_path / "claude", body))

    def test_one_that_is_no_program_is_none(self, tmp_path: Path) -> None:
        broken = tmp_path / "claude"
        broken.write_bytes(b"\x00\x01")
        broken.chmod(0o755)
        with pytest.raises(Unavailable):
            optional_flags(broken)

    def test_one_that_is_gone_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(Unavailable):
            version_of(tmp_path / "gone")
