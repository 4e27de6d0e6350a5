"""Sets up a fresh machine: an environment, locked packages, and what the system lacks.

Standard library only, for it runs before anything is installed. Usage: ``setup.py run|dev|tests``.
System packages are installed where that is allowed without asking; otherwise the command that
installs them is named in one line.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)
# What a part of the test suite drives for real: program → Debian package.
TEST_PROGRAMS = {
    "dbus-run-session": "dbus-daemon",
    "gnome-keyring-daemon": "gnome-keyring",
    "ps": "procps",
}


def main(step: str) -> int:
    """Do one step; 0 when it is done."""
    if sys.version_info < OLDEST:
        return _fail(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed: make run PYTHON=…")
    if shutil.which("git") is None and not _install(["git"]):
        return _fail("git is needed")
    if step == "tests":
        _test_programs()
        return 0
    if not _environment():
        return _fail("no virtual environment could be made: install python3-venv")
    return _packages(step)


def _environment() -> bool:
    """Make the environment; Debian keeps the module for it in a package of its own."""
    if (VENV / "bin" / "python").exists() and _runs([VENV / "bin" / "python", "-m", "pip", "-V"]):
        return True
    shutil.rmtree(VENV, ignore_errors=True)
    make = [sys.executable, "-m", "venv", VENV]
    if _runs(make):
        return True
    shutil.rmtree(VENV, ignore_errors=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    return (_install([version]) or _install(["python3-venv"])) and _runs(make)


def _packages(step: str) -> int:
    """Install what is locked for ``step``, and the product itself in place."""
    python = VENV / "bin" / "python"
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    pip = [python, "-m", "pip", "install", *quiet]
    print(f"Setting up ({step}): this takes a minute the first time.", flush=True)
    lock = ROOT / "requirements" / f"{step}.txt"
    for arguments in (
        ["--require-hashes", "-r", lock],
        ["--no-deps", "--no-build-isolation", "-e", ROOT],
    ):
        if subprocess.run([*pip, *arguments], check=False, env=_pip_environment()).returncode:
            return _fail("pip could not install the locked packages")
    for done in ("run", "dev") if step == "dev" else (step,):
        (VENV / f".{done}").touch()
    return 0


def _pip_environment() -> dict[str, str]:
    """The operator's, without what would put packages elsewhere."""
    dropped = {"PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PYTHONPATH", "PYTHONHOME"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def _test_programs() -> None:
    missing = [p for program, p in TEST_PROGRAMS.items() if shutil.which(program) is None]
    if missing and sys.platform == "linux":
        _install(missing)
    node = [VENV / "bin" / "python", ROOT / "tests" / "node" / "install.py"]
    subprocess.run(node, check=False)


def _install(packages: list[str]) -> bool:
    """Install Debian packages as root; otherwise say how, and go on."""
    command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"Missing: {', '.join(packages)}. Install with: sudo {command}", flush=True)
        return False
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["apt-get", "update", "-q"], command.split()):
        done = subprocess.run(
            arguments, check=False, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    return done.returncode == 0


def _runs(command: list[object]) -> bool:
    arguments = [str(part) for part in command]
    return subprocess.run(arguments, check=False, capture_output=True).returncode == 0


def _fail(sentence: str) -> int:
    print(f"Set-up stopped: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
