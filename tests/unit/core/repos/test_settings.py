"""A repo's settings: four layers, each value with its origin, nothing dangerous guessed."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core.errors import Invalid
from core.repos.guesses import guess_commands
from core.repos.settings import (
    RepoSettings,
    commands_of,
    effective_budgets,
    from_snapshot,
    repo_settings,
    snapshot,
)
from core.settings import Budgets


def test_the_defaults_are_the_domains() -> None:
    settings = repo_settings().value
    assert settings.enabled is True
    assert settings.runner.host is False
    merge = settings.auto_merge
    assert (merge.enabled, merge.max_risk_score, merge.max_changed_lines) == (False, 30, 300)
    assert commands_of(snapshot(settings)) == ()


def test_strength_rises_from_guess_to_edit(tmp_path: Path) -> None:
    file = tmp_path / "app.toml"
    file.write_text("[commands]\ntest = 'make t'\nlint = 'make l'\n")
    file.chmod(0o600)
    guessed = {
        "commands.setup": {"value": "uv sync --frozen", "reason": "uv.lock"},
        "commands.test": "guessed-test",
        "commands.lint": "guessed-lint",
    }
    resolved = repo_settings(guessed, file, {"commands.lint": "ruff check ."})
    commands = resolved.value.commands
    assert (commands.setup, commands.test, commands.lint) == (
        "uv sync --frozen",
        "make t",
        "ruff check .",
    )
    origin = {key: (each.source, each.where) for key, each in resolved.provenance.items()}
    assert origin["commands.setup"] == ("guessed", "guessed: uv.lock")
    assert origin["commands.test"] == ("file", f"{file}:2")
    assert origin["commands.lint"] == ("operator", "operator's edit")
    assert origin["commands.build"] == ("default", "built-in")


def test_what_was_guessed_fits_as_it_stands() -> None:
    commands = guess_commands({"go.mod": b"", "go.sum": b"", "a_test.go": None})
    resolved = repo_settings(commands.as_guessed())
    assert resolved.value.commands.test == "go test ./..."
    assert resolved.provenance["commands.test"].where == "guessed: go.mod and *_test.go"


@pytest.mark.parametrize(
    "key",
    ["runner.host", "auto_merge.enabled", "enabled", "paths.allowed", "budgets.calls_per_mission"],
)
def test_nothing_that_opens_a_gate_is_guessed(key: str) -> None:
    with pytest.raises(Invalid, match="not guessed") as caught:
        repo_settings({key: True})
    assert caught.value.data["field"] == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("runner.host", "true"),
        ("runner.host", 1),
        ("auto_merge.enabled", "yes"),
        ("auto_merge.max_risk_score", 101),
        ("auto_merge.max_risk_score", True),
        ("commands.test", "a\nb"),
        ("commands.test", "a\0"),
        ("commands.test", 3),
        ("commands.test", "x" * 3000),
        ("paths.forbidden", ["!.env"]),
        ("paths.forbidden", [""]),
        ("paths.forbidden", "x"),
        ("paths.allowed", ["a\nb"]),
        ("base_branch", "-x"),
        ("base_branch", "a..b"),
        ("base_branch", "a b"),
        ("base_branch", "a.lock"),
        ("base_branch", "a@{1}"),
        ("base_branch", "/a"),
        ("remote.url", "ext::sh -c id"),
        ("remote.url", "--upload-pack=id"),
        ("remote.url", "https://me:token@example.com/x.git"),
        ("remote.url", "https://token@example.com/x.git"),
        ("remote.url", "http://example.com/x.git"),
        ("remote.url", "git://example.com/x.git"),
        ("remote.url", "ssh://-oProxyCommand=id/x"),
        ("remote.url", "file://server/x"),
        ("remote.url", "git@-oProxyCommand=id:x"),
        ("remote.url", "relative/path"),
        ("remote.forge", "gitlab"),
        ("remote.forge_url", "http://example.com"),
        ("budgets.validators_mission_usd", "-1"),
        ("validators.families", ["other"]),
        ("commands", "x"),
        ("command.test", "x"),
    ],
)
def test_a_wrong_value_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        repo_settings(edited={key: value})
    assert caught.value.data["field"] == key
    assert "token" not in caught.value.sentence or "vault" in caught.value.sentence


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/me/app.git",
        "git@github.com:me/app.git",
        "ssh://git@example.com:2222/app.git",
        "http://127.0.0.1:3000/me/app.git",
        "file:///srv/app.git",
        "/srv/app.git",
    ],
)
def test_remotes_that_git_can_push_to(url: str) -> None:
    assert repo_settings(edited={"remote.url": url}).value.remote.url == url


@pytest.mark.parametrize("name", ["main", "release/1.0", "feature/中文", "v1.2-x"])
def test_branch_names(name: str) -> None:
    assert repo_settings(edited={"base_branch": name}).value.base_branch == name


def test_a_snapshot_comes_back_as_it_was() -> None:
    settings = repo_settings(
        edited={
            "paths.forbidden": ["infra/**"],
            "budgets.validators_mission_usd": "0.10",
            "validators.families": ["openai", "claude"],
            "commands.test": "pytest",
            "commands.setup": "pip install x",
            "commands.timeout_seconds": 60,
        }
    ).value
    document = snapshot(settings)
    assert from_snapshot(document) == settings
    assert from_snapshot({}) == RepoSettings()
    assert [(c.name, c.line, c.timeout_seconds) for c in commands_of(document)] == [
        ("setup", "pip install x", 60.0),
        ("test", "pytest", 60.0),
    ]


def test_a_repos_caps_stand_in_place_of_the_profiles() -> None:
    repo = repo_settings(
        edited={"budgets.calls_per_mission": 5, "budgets.validators_mission_usd": 1}
    ).value
    merged = effective_budgets(repo, Budgets())
    assert (merged.calls_per_mission, merged.calls_per_day) == (5, 120)
    assert merged.validators_mission_usd == Decimal(1)
    assert effective_budgets(RepoSettings(), Budgets()) == Budgets()
