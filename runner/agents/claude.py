"""The Claude CLI: where it is, and how it is called so that a hostile repository changes nothing.

Settings, hooks, MCP servers and CLAUDE.md of the checkout are not loaded; the environment is made
from scratch; the credential is in the environment of the one process and nowhere else.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import orjson

from core.errors import Unavailable
from core.private_files import make_folder, write_private
from runner.process import plain_environment

REHEARSAL_TOKEN = "rehearsal"  # noqa: S105 - the placeholder that every rehearsal uses
CODER_TOOLS = ("Bash", "Edit", "Write", "Read", "Grep", "Glob")
PLANNER_TOOLS = ("Read", "Grep", "Glob")
_RETRIES = "3"
_OPTIONAL_FLAGS = ("--safe-mode", "--restricted", "--no-session-persistence")
Auth = Literal["rehearsal", "token", "api_key", "login"]


@dataclass(frozen=True, slots=True)
class Credential:
    """What the CLI proves itself with; ``login`` is the operator's own, kept by the CLI."""

    auth: Auth
    secret: str = ""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Credential({self.auth!r})"

    def environment(self) -> dict[str, str]:
        """The variables that carry it."""
        name = "ANTHROPIC_API_KEY" if self.auth == "api_key" else "CLAUDE_CODE_OAUTH_TOKEN"
        return {name: self.secret} if self.secret else {}


REHEARSAL = Credential("rehearsal", REHEARSAL_TOKEN)


def find_cli(configured: Path | None) -> Path:
    """The CLI: from the settings, else on PATH, else out of the claude-agent-sdk package.

    Raises:
        Unavailable: ``HOLD-NO-PLANNER-CLI``.
    """
    candidates = [configured, _on_path(), _bundled()] if configured is None else [configured]
    for path in candidates:
        if path is not None and path.is_file() and os.access(path, os.X_OK):
            return path
    raise Unavailable(
        "HOLD-NO-PLANNER-CLI",
        f"{configured} is no program." if configured else "No Claude CLI was found.",
        recovery="Install it, or set providers.claude.cli to its path.",
    )


def _on_path() -> Path | None:
    found = shutil.which("claude")
    return Path(found) if found else None


def _bundled() -> Path | None:
    spec = find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "_bundled" / "claude"


@lru_cache(maxsize=8)
def _help(cli: Path, changed: float) -> str:
    listed = subprocess.run(
        [str(cli), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=plain_environment(Path("/nonexistent")),
    )
    return listed.stdout


def optional_flags(cli: Path) -> frozenset[str]:
    """Which of the flags that only newer versions have this one knows. Blocks on a first use."""
    text = _help(cli, cli.stat().st_mtime)
    return frozenset(flag for flag in _OPTIONAL_FLAGS if f"{flag} " in text)


def version_of(cli: Path) -> str:
    """What ``--version`` prints. Blocks."""
    found = subprocess.run(
        [str(cli), "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=plain_environment(Path("/nonexistent")),
    )
    return found.stdout.strip() or f"exit {found.returncode}"


@dataclass(frozen=True, slots=True)
class CliCall:
    """One call of the CLI.

    Attributes:
        folder: the call's own files: settings, home, configuration.
        tools: the only tools there are.
        deny: permission rules that refuse, such as reads outside the checkout.
    """

    cli: Path
    folder: Path
    checkout: Path
    model: str
    credential: Credential
    tools: Sequence[str]
    permission_mode: str
    base_url: str | None = None
    deny: Sequence[str] = ()
    extra: Sequence[str] = ()
    variables: Mapping[str, str] | None = None

    @property
    def settings_file(self) -> Path:
        """Our own settings, the only ones that are loaded."""
        return self.folder / "in" / "settings.json"

    def prepare(self) -> None:
        """Write the settings and make the folders; blocks."""
        for name in ("in", "out", "home", "config"):
            make_folder(self.folder / name)
        allow = [tool for tool in self.tools if tool != "Bash"] + (
            ["Bash"] if "Bash" in self.tools else []
        )
        settings = {
            "env": self._provider(),
            "permissions": {"allow": allow, "deny": list(self.deny)},
            "includeCoAuthoredBy": False,
            "cleanupPeriodDays": 1,
        }
        write_private(self.settings_file, orjson.dumps(settings))

    def argv(self) -> list[str]:
        """The command line; it holds no secret and no text of others."""
        flags = optional_flags(self.cli)
        known: list[str] = [flag for flag in ("--safe-mode", "--no-session-persistence") if flag in flags]
        if "Bash" not in self.tools and "--restricted" in flags:
            known.append("--restricted")
        return [
            str(self.cli),
            "-p",
            *("--output-format", "stream-json", "--verbose"),
            *("--setting-sources", "user"),
            "--strict-mcp-config",
            *("--settings", str(self.settings_file)),
            *("--model", self.model),
            *("--permission-mode", self.permission_mode),
            *("--tools", ",".join(self.tools)),
            *known,
            *self.extra,
        ]

    def environment(self) -> dict[str, str]:
        """The whole environment, from scratch (domain.md §7)."""
        env = plain_environment(self.folder / "home")
        env |= {
            "CLAUDE_CONFIG_DIR": str(self.folder / "config"),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": _RETRIES,
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "NO_PROXY": "127.0.0.1,::1",
        }
        if self.credential.auth == "login":
            env["HOME"] = str(Path.home())
            del env["CLAUDE_CONFIG_DIR"]
        return env | self._provider() | self.credential.environment() | dict(self.variables or {})

    def _provider(self) -> dict[str, str]:
        """In the environment too: the CLI asks its own host first when it is not there."""
        return {"ANTHROPIC_BASE_URL": self.base_url} if self.base_url else {}
