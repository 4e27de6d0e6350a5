"""How the Claude CLI is called, so that a hostile repository changes nothing.

Settings, hooks, MCP servers and CLAUDE.md of the checkout are not loaded, and a file named with @
in a prompt is not attached. The environment is made from scratch; the credential is in it and
nowhere else.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import orjson

from core.private_files import make_folder, write_private
from runner.agents.cli import find_cli, optional_flags, version_of
from runner.process import plain_environment

__all__ = [
    "CODER_TOOLS",
    "PLANNER_TOOLS",
    "REHEARSAL",
    "CliCall",
    "Credential",
    "find_cli",
    "outside",
    "version_of",
]

REHEARSAL_TOKEN = "rehearsal"  # noqa: S105 - the placeholder that every rehearsal uses
CODER_TOOLS = ("Bash", "Edit", "Write", "Read", "Grep", "Glob")
PLANNER_TOOLS = ("Read", "Grep", "Glob")
_MOST_DENIED = 2_000
_GLOB = str.maketrans({sign: f"\\{sign}" for sign in "\\*?[]{}!#() "})
_ALWAYS = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_CLAUDE_MDS": "1",
    "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
    "CLAUDE_CODE_MAX_RETRIES": "3",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "NO_PROXY": "127.0.0.1,::1",
}
Auth = Literal["rehearsal", "token", "api_key", "login"]


@dataclass(frozen=True, slots=True)
class Credential:
    """What the CLI proves itself with; ``login`` is the operator's own, kept by the CLI."""

    auth: Auth
    secret: str = field(default="", repr=False)

    def environment(self) -> dict[str, str]:
        """The variables that carry it."""
        name = "ANTHROPIC_API_KEY" if self.auth == "api_key" else "CLAUDE_CODE_OAUTH_TOKEN"
        return {name: self.secret} if self.secret else {}

    @property
    def hidden(self) -> str:
        """What must not stand in any file: the secret, but not the public placeholder."""
        return self.secret if self.auth in ("token", "api_key") else ""


REHEARSAL = Credential("rehearsal", REHEARSAL_TOKEN)


@dataclass(frozen=True, slots=True)
class CliCall:
    """One call of the CLI.

    Attributes:
        folder: the call's own files: settings, home, configuration.
        checkout: the only folder whose files its tools may read or write without a rule.
        tools: the only tools there are.
        deny: permission rules that refuse, such as reads outside the checkout.
        extra: further arguments; no secret and no text of others.
        variables: further variables of the environment.
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
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings_file(self) -> Path:
        """Our own settings; they win over any others."""
        return self.folder / "in" / "settings.json"

    def prepare(self) -> None:
        """Write the settings and make the folders; blocks.

        Nothing but Bash is allowed by a rule: one for Read would open the whole machine, and
        inside the checkout reading needs none.
        """
        for name in ("in", "out", "home", "config", "tmp"):
            make_folder(self.folder / name)
        settings = {
            "env": self._provider(),
            "permissions": {
                "allow": ["Bash"] if "Bash" in self.tools else [],
                "deny": list(self.deny),
            },
            "includeCoAuthoredBy": False,
            "cleanupPeriodDays": 1,
        }
        write_private(self.settings_file, orjson.dumps(settings))

    def argv(self) -> list[str]:
        """The command line; it holds no secret and no text of others. Blocks on a first use.

        Raises:
            Unavailable: ``HOLD-NO-PLANNER-CLI``: the program cannot be run.
        """
        flags = optional_flags(self.cli)
        wanted = ["--safe-mode", "--no-session-persistence"]
        if "Bash" not in self.tools:
            wanted.append("--restricted")
        return [
            str(self.cli),
            "-p",
            *("--output-format", "stream-json", "--verbose"),
            *("--setting-sources", "" if self.credential.auth == "login" else "user"),
            "--strict-mcp-config",
            *("--settings", str(self.settings_file)),
            *("--model", self.model),
            *("--permission-mode", self.permission_mode),
            *("--tools", ",".join(self.tools)),
            *[flag for flag in wanted if flag in flags],
            *self.extra,
        ]

    def environment(self) -> dict[str, str]:
        """The whole environment, from scratch (domain.md §7)."""
        temporary = str(self.folder / "tmp")
        return {
            **plain_environment(self.folder / "home"),
            **_ALWAYS,
            "TMPDIR": temporary,
            "CLAUDE_CODE_TMPDIR": temporary,
            **self._configuration(),
            **self._provider(),
            **self.credential.environment(),
            **self.variables,
        }

    def _configuration(self) -> dict[str, str]:
        """A configuration of its own, or the operator's, where the CLI keeps the login.

        On macOS the login is in the keychain, which is found from the real home folder alone.
        """
        if self.credential.auth != "login":
            return {"CLAUDE_CONFIG_DIR": str(self.folder / "config")}
        chosen = os.environ.get("CLAUDE_CONFIG_DIR")
        home = {"HOME": str(Path.home())} if sys.platform == "darwin" else {}
        if chosen or not home:
            return {**home, "CLAUDE_CONFIG_DIR": chosen or str(Path.home() / ".claude")}
        return home

    def _provider(self) -> dict[str, str]:
        """In the environment too: the CLI asks its own host first when it is not there."""
        return {"ANTHROPIC_BASE_URL": self.base_url} if self.base_url else {}


def outside(checkout: Path) -> list[str]:
    """Rules that refuse to read anything outside ``checkout`` (domain.md §5). Blocks.

    A rule cannot say "all but", so each neighbour on the way from the root is named. What appears
    later is refused by the permission mode, which grants nothing outside either. The CLI follows
    links in rules and in paths: a link beside the checkout may lead to it, so links have no rule.
    Above 2,000 rules the nearest neighbours go without: the home folder matters more.
    """
    rules: list[str] = []
    at = checkout.resolve()
    for folder in at.parents:
        for name in _neighbours(folder, at):
            pattern = f"/{folder / name}".translate(_GLOB)
            rules += [f"Read({pattern})", f"Read({pattern}/**)"]
        at = folder
    return rules[-_MOST_DENIED:]


def _neighbours(folder: Path, at: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as found:
            names = sorted(each.name for each in found if not each.is_symlink())
    except OSError:
        return
    yield from (name for name in names if name != at.name and name.isprintable())
