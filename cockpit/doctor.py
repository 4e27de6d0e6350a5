"""The doctor: what this machine has and lacks, one finding a line and one fix a finding.

It looks and never mends. No check makes a model call, and none takes longer than ten seconds.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.errors import CockpitError
from core.folders import Folders
from core.settings import Settings

Group = Literal["Required", "Planner and coder", "Validators", "Outward writes"]
Status = Literal["ok", "missing", "warning", "skipped"]
_SECONDS = 10.0
_OLDEST = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        status: ``missing`` of a required thing makes the doctor's exit code 1.
        found: what is there, on one line.
        fix: the one command or step that mends it; empty when nothing is wrong.
    """

    id: str
    group: Group
    status: Status
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """What the checks need."""

    folders: Folders
    settings: Settings


Check = Callable[[Examination], Awaitable[Finding]]


async def examine(folders: Folders, settings: Settings) -> tuple[Finding, ...]:
    """Run every check side by side."""
    about = Examination(folders, settings)
    return tuple(await asyncio.gather(*(_bounded(name, about) for name in CHECKS)))


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether nothing that is required is missing."""
    return not any(f.group == "Required" and f.status == "missing" for f in findings)


def report(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as one JSON object."""
    return {
        "healthy": is_healthy(findings),
        "findings": [asdict(finding) for finding in findings],
    }


async def _bounded(name: str, about: Examination) -> Finding:
    group, check = CHECKS[name]
    try:
        async with asyncio.timeout(_SECONDS):
            return await check(about)
    except TimeoutError:
        return Finding(name, group, "warning", f"no answer in {_SECONDS:g} s", "Try again.")
    except CockpitError as error:
        return Finding(name, group, "missing", error.sentence, error.recovery)
    except OSError as error:
        return Finding(name, group, "missing", f"{type(error).__name__}: {error.strerror}")


async def _python(about: Examination) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info >= _OLDEST
    return Finding(
        "python",
        "Required",
        "ok" if fits else "missing",
        f"Python {version}",
        "" if fits else "Install Python 3.11 or newer.",
    )


async def _git(about: Examination) -> Finding:
    from runner.git.door import GitDoor

    version = await GitDoor(about.folders.data / "git").version()
    return Finding("git", "Required", "ok", f"git {'.'.join(map(str, version))}")


async def _folders(about: Examination) -> Finding:
    await asyncio.to_thread(about.folders.make)
    return Finding("folders", "Required", "ok", f"{about.folders.data} is private")


async def _disk(about: Examination) -> Finding:
    free = shutil.disk_usage(about.folders.data).free // (1 << 20)
    floor = about.settings.system.disk_floor_mb
    enough = free >= floor
    return Finding(
        "disk",
        "Required",
        "ok" if enough else "missing",
        f"{free} MB free, {floor} MB are kept free",
        "" if enough else "Free some space, or lower system.disk_floor_mb.",
    )


async def _vault(about: Examination) -> Finding:
    from runner.vault import open_vault

    vault = await asyncio.to_thread(open_vault, about.folders, about.settings, dict(os.environ))
    if vault.kind == "file" and not about.folders.vault_file.exists():
        return Finding("vault", "Required", "ok", "an encrypted file, made with the first secret")
    if vault.locked:
        return Finding(
            "vault", "Required", "warning", f"{vault.kind}, locked", "cockpit vault unlock"
        )
    return Finding("vault", "Required", "ok", vault.kind)


async def _claude(about: Examination) -> Finding:
    from runner.agents.claude import find_cli, version_of

    cli = await asyncio.to_thread(find_cli, about.settings.providers.claude.cli)
    version = await asyncio.to_thread(version_of, cli)
    return Finding("claude_cli", "Planner and coder", "ok", f"{version} at {cli}")


async def _claude_login(about: Examination) -> Finding:
    name = "anthropic_api_key"
    if about.settings.providers.claude.auth == "subscription":
        name = "claude_oauth_token"
    if await _has_secret(about, name):
        return Finding("claude_login", "Planner and coder", "ok", f"{name} is in the vault")
    return Finding(
        "claude_login",
        "Planner and coder",
        "warning",
        f"no {name} in the vault; the CLI's own login is used, if there is one",
        f"cockpit secret set {name}",
    )


async def _runner(about: Examination) -> Finding:
    return Finding(
        "runner",
        "Planner and coder",
        "warning",
        "agents run on the host, in rehearsals and where a repository allows it",
        "cockpit repo set NAME runner.host true",
    )


def _key(check: str, secret: str, group: Group) -> Check:
    async def look(about: Examination) -> Finding:
        if await _has_secret(about, secret):
            return Finding(check, group, "ok", f"{secret} is in the vault")
        return Finding(check, group, "warning", f"no {secret}", f"cockpit secret set {secret}")

    return look


async def _remote_writes(about: Examination) -> Finding:
    system = about.settings.system
    if not system.allow_remote_writes:
        return Finding("remote_writes", "Outward writes", "skipped", "off: nothing can leave")
    repos = ", ".join(system.remote_write_repos) or "no repository"
    return Finding("remote_writes", "Outward writes", "ok", f"on for {repos}")


async def _has_secret(about: Examination, name: str) -> bool:
    from runner.vault import open_vault

    def look() -> bool:
        vault = open_vault(about.folders, about.settings, dict(os.environ))
        return not vault.locked and vault.get(name) is not None

    return await asyncio.to_thread(look)


CHECKS: dict[str, tuple[Group, Check]] = {
    "python": ("Required", _python),
    "folders": ("Required", _folders),
    "git": ("Required", _git),
    "disk": ("Required", _disk),
    "vault": ("Required", _vault),
    "claude_cli": ("Planner and coder", _claude),
    "claude_login": ("Planner and coder", _claude_login),
    "runner": ("Planner and coder", _runner),
    "openai": ("Validators", _key("openai", "openai_api_key", "Validators")),
    "gemini": ("Validators", _key("gemini", "gemini_api_key", "Validators")),
    "remote_writes": ("Outward writes", _remote_writes),
    "github": ("Outward writes", _key("github", "github_token", "Outward writes")),
}
