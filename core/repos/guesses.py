"""Guesses a repo's own commands from its files, each with the reason, for the operator to confirm.

Pure. The content is hostile: it chooses among our lines and never becomes part of one, and
nothing in it raises.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from core.judgement.harness import CommandName

Files = Mapping[str, bytes | None]
_LONGEST = 512 * 1024
_TEST_FILE = re.compile(r"(?:^|/)(?:test[^/]*|[^/]*_test)\.py$")
_IMPORTS_PYTEST = re.compile(r"^[ \t]*(?:import|from)[ \t]+pytest\b", re.MULTILINE)
_NPM_PLACEHOLDER = "no test specified"


@dataclass(frozen=True, slots=True)
class Guess:
    """One command line and why it was guessed."""

    name: CommandName
    line: str
    reason: str


@dataclass(frozen=True, slots=True)
class Commands:
    """What was guessed; a name that nothing speaks for is absent."""

    guesses: tuple[Guess, ...] = ()

    def line(self, name: CommandName) -> str:
        """The line of that command, or an empty one."""
        return next((guess.line for guess in self.guesses if guess.name == name), "")

    def as_guessed(self) -> dict[str, dict[str, str]]:
        """By dotted key, as ``repo_settings`` takes it."""
        return {
            f"commands.{guess.name}": {"value": guess.line, "reason": guess.reason}
            for guess in self.guesses
        }


def guess_commands(files: Files) -> Commands:
    """Guess setup, test, lint and build from a repo's files.

    Several languages side by side are joined with ``&&``; a Makefile only fills gaps.

    Args:
        files: repo-relative path to content, or None where the content was not read.
    """
    found = [guess for language in _LANGUAGES for guess in language(files)]
    names = {guess.name for guess in found}
    found.extend(guess for guess in _make(files) if guess.name not in names)
    order: tuple[CommandName, ...] = ("setup", "test", "lint", "build")
    joined = (_join(name, [guess for guess in found if guess.name == name]) for name in order)
    return Commands(tuple(guess for guess in joined if guess is not None))


def _join(name: CommandName, guesses: list[Guess]) -> Guess | None:
    if not guesses:
        return None
    lines = " && ".join(guess.line for guess in guesses)
    return Guess(name, lines, "; ".join(guess.reason for guess in guesses))


def _text(files: Files, path: str) -> str:
    content = files.get(path)
    if content is None or len(content) > _LONGEST:
        return ""
    return content.decode("utf-8", errors="replace")


def _document(files: Files, path: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        found = parse(_text(files, path))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _table(document: Any, *path: str) -> dict[str, Any]:
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


# Python


def _python(files: Files) -> Iterator[Guess]:
    tests = [path for path in files if _TEST_FILE.search(path)]
    project = _document(files, "pyproject.toml", tomllib.loads)
    setup = _python_setup(files)
    if setup is not None:
        yield setup
    prefix = _python_prefix(files)
    why = _pytest_reason(files, project, tests)
    if why is not None:
        yield Guess("test", f"{prefix}python3 -m pytest -q", why)
    elif tests:
        yield Guess("test", f"{prefix}{_unittest(files, tests)}", f"{_first(tests)}, no pytest")
    config = next((path for path in ("ruff.toml", ".ruff.toml") if path in files), None)
    if config is not None or _table(project, "tool", "ruff"):
        yield Guess("lint", f"{prefix}ruff check .", config or "[tool.ruff] in pyproject.toml")
    elif ".flake8" in files:
        yield Guess("lint", f"{prefix}python3 -m flake8", ".flake8")


def _python_setup(files: Files) -> Guess | None:
    for path, line in (
        ("uv.lock", "uv sync --frozen"),
        ("poetry.lock", "poetry install --no-interaction"),
        ("pdm.lock", "pdm sync"),
        ("Pipfile.lock", "pipenv sync --dev"),
        ("requirements-dev.txt", "python3 -m pip install -r requirements-dev.txt"),
        ("requirements.txt", "python3 -m pip install -r requirements.txt"),
    ):
        if path in files:
            return Guess("setup", line, path)
    return None


def _python_prefix(files: Files) -> str:
    """What runs a tool in the environment that the lock file's own tool made."""
    for path, prefix in (
        ("uv.lock", "uv run --frozen "),
        ("poetry.lock", "poetry run "),
        ("pdm.lock", "pdm run "),
        ("Pipfile.lock", "pipenv run "),
    ):
        if path in files:
            return prefix
    return ""


def _pytest_reason(files: Files, project: dict[str, Any], tests: list[str]) -> str | None:
    if _table(project, "tool", "pytest"):
        return "[tool.pytest] in pyproject.toml"
    for path, section in (
        ("pytest.ini", ""),
        ("tox.ini", "[pytest]"),
        ("setup.cfg", "[tool:pytest]"),
    ):
        if path in files and section in _text(files, path):
            return f"{section} in {path}" if section else path
    for path in files:
        if PurePosixPath(path).name == "conftest.py":
            return path
        if re.fullmatch(r"requirements[^/]*\.txt", path) and _names_pytest(_text(files, path)):
            return f"pytest in {path}"
    if _names_pytest(_dependencies(project)):
        return "pytest among the dependencies in pyproject.toml"
    return next(
        (f"{p} imports pytest" for p in tests if _IMPORTS_PYTEST.search(_text(files, p))), None
    )


def _names_pytest(requirements: str) -> bool:
    return re.search(r"^[ \t]*pytest\b", requirements, re.MULTILINE) is not None


def _dependencies(project: dict[str, Any]) -> str:
    groups = [
        _table(project, "project").get("dependencies"),
        *_table(project, "project", "optional-dependencies").values(),
        *_table(project, "dependency-groups").values(),
        list(_table(project, "tool", "poetry", "dependencies")),
        list(_table(project, "tool", "poetry", "dev-dependencies")),
    ]
    named = _table(project, "tool", "poetry", "group").values()
    groups.extend(list(_table(group, "dependencies")) for group in named)
    lists = (group for group in groups if isinstance(group, list))
    return "\n".join(entry for group in lists for entry in group if isinstance(entry, str))


def _unittest(files: Files, tests: list[str]) -> str:
    """``unittest`` looks below packages only, so a plain folder of tests is named."""
    for folder in ("tests", "test"):
        inside = any(path.startswith(f"{folder}/") for path in tests)
        if inside and f"{folder}/__init__.py" not in files:
            return f"python3 -m unittest discover -s {folder}"
    return "python3 -m unittest"


def _first(paths: list[str]) -> str:
    return min(paths)


# Node


def _node(files: Files) -> Iterator[Guess]:
    if "package.json" not in files:
        return
    runner, setup, lock = _node_runner(files)
    if lock:
        yield Guess("setup", setup, lock)
    scripts = _table(_document(files, "package.json", json.loads), "scripts")
    names: tuple[CommandName, ...] = ("test", "lint", "build")
    for name in names:
        script = scripts.get(name)
        if isinstance(script, str) and script.strip() and _NPM_PLACEHOLDER not in script:
            yield Guess(name, f"{runner} run {name}", f"scripts.{name} in package.json")


def _node_runner(files: Files) -> tuple[str, str, str]:
    """The package manager, its exact install and the lock file that names it."""
    if "pnpm-lock.yaml" in files:
        return "pnpm", "pnpm install --frozen-lockfile", "pnpm-lock.yaml"
    if "yarn.lock" in files:
        exact = "--immutable" if ".yarnrc.yml" in files else "--frozen-lockfile"
        return "yarn", f"yarn install {exact}", "yarn.lock"
    lock = next(
        (path for path in ("package-lock.json", "npm-shrinkwrap.json") if path in files), ""
    )
    return "npm", "npm ci", lock


# Go, Rust, Make


def _go(files: Files) -> Iterator[Guess]:
    if "go.mod" not in files:
        return
    if "go.sum" in files:
        yield Guess("setup", "go mod download", "go.sum")
    if any(path.endswith("_test.go") for path in files):
        yield Guess("test", "go test ./...", "go.mod and *_test.go")
    yield Guess("lint", "go vet ./...", "go.mod")
    yield Guess("build", "go build ./...", "go.mod")


def _rust(files: Files) -> Iterator[Guess]:
    if "Cargo.toml" not in files:
        return
    locked = "Cargo.lock" in files
    flag = " --locked" if locked else ""
    if locked:
        yield Guess("setup", "cargo fetch --locked", "Cargo.lock")
    yield Guess("test", f"cargo test{flag}", "Cargo.toml")
    if "clippy.toml" in files or ".clippy.toml" in files:
        yield Guess("lint", f"cargo clippy{flag} -- -D warnings", "clippy.toml")
    yield Guess("build", f"cargo build{flag}", "Cargo.toml")


def _make(files: Files) -> Iterator[Guess]:
    path = next((name for name in ("GNUmakefile", "makefile", "Makefile") if name in files), None)
    if path is None:
        return
    targets = _targets(_text(files, path))
    names: tuple[CommandName, ...] = ("setup", "test", "lint", "build")
    for name in names:
        if name in targets:
            yield Guess(name, f"make {name}", f"target {name} in {path}")


def _targets(makefile: str) -> set[str]:
    found: set[str] = set()
    for row in makefile.splitlines():
        names, colon, rest = row.partition(":")
        if colon and not row[:1].isspace() and not rest.lstrip(":").startswith("="):
            found.update(names.split())
    return found


_LANGUAGES: tuple[Callable[[Files], Iterator[Guess]], ...] = (_python, _node, _go, _rust)
