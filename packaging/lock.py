"""Writes the lock files: every package pinned with its hashes, and no address of a registry."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMON = ("--universal", "--python-version", "3.11", "--generate-hashes", "--quiet")
PLAIN = ("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header")
LOCKS = {
    "run.txt": ("--extra", "rehearsal", "--group", "build"),
    "dev.txt": ("--extra", "rehearsal", "--group", "build", "--group", "dev"),
}


def main() -> int:
    """Compile each lock again; 0 when all are written."""
    for name, groups in LOCKS.items():
        target = ROOT / "requirements" / name
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *groups]
        done = subprocess.run([*command, *COMMON, *PLAIN, "-o", str(target)], cwd=ROOT, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
