"""Where the Claude CLI is, and what the one that is there can do."""

import os
import shutil
import subprocess
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from core.errors import Unavailable
from runner.process import plain_environment

_OPTIONAL_FLAGS = ("--safe-mode", "--restricted", "--no-session-persistence")
_NOWHERE = Path("/nonexistent")
_SECONDS = 60


def find_cli(configured: Path | None) -> Path:
    """The CLI: from the settings, else on PATH, else out of the claude-agent-sdk package.

    Raises:
        Unavailable: ``HOLD-NO-PLANNER-CLI``.
    """
    candidates = (_on_path(), _bundled()) if configured is None else (configured,)
    for path in candidates:
        if path is not None and path.is_file() and os.access(path, os.X_OK):
            return path.absolute()
    raise _missing(f"{configured} is no program." if configured else "No Claude CLI was found.")


def _missing(sentence: str) -> Unavailable:
    return Unavailable(
        "HOLD-NO-PLANNER-CLI",
        sentence,
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


def optional_flags(cli: Path) -> frozenset[str]:
    """Which of the flags that only newer versions have this one knows. Blocks on a first use.

    Raises:
        Unavailable: ``HOLD-NO-PLANNER-CLI``: it cannot be run.
    """
    text = _printed(cli, "--help", _changed(cli))
    return frozenset(flag for flag in _OPTIONAL_FLAGS if f"{flag} " in text)


def version_of(cli: Path) -> str:
    """What ``--version`` prints. Blocks on a first use.

    Raises:
        Unavailable: ``HOLD-NO-PLANNER-CLI``: it cannot be run.
    """
    return _printed(cli, "--version", _changed(cli)).strip()


def _changed(cli: Path) -> int:
    try:
        return cli.stat().st_mtime_ns
    except OSError as error:
        raise _missing(f"{cli} cannot be read: {error.strerror}.") from None


@lru_cache(maxsize=16)
def _printed(cli: Path, flag: str, changed: int) -> str:
    """What the program prints for a flag; ``changed`` makes another program another question."""
    try:
        ended = subprocess.run(
            [str(cli), flag],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env=plain_environment(_NOWHERE),
        )
    except OSError as error:
        raise _missing(f"{cli} cannot be run: {error.strerror}.") from None
    except subprocess.TimeoutExpired:
        raise _missing(f"{cli} {flag} did not end within {_SECONDS} s.") from None
    if ended.returncode != 0:
        raise _missing(f"{cli} {flag} ended with exit code {ended.returncode}.")
    return ended.stdout
