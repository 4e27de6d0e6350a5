"""What outlives a killed core in the tests: commits, pushes, pull requests, answered calls."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class World:
    """A folder of JSON files, each replaced in one step."""

    folder: Path

    def read(self, name: str) -> dict[str, Any]:
        """What is kept under ``name``; empty at first."""
        try:
            found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def keep(self, name: str, key: str, value: Any) -> None:
        """Remember one thing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{name}.{os.getpid()}"
        part.write_text(json.dumps({**self.read(name), key: value}))
        part.replace(self.folder / f"{name}.json")

    def count(self, name: str) -> None:
        """Count that something was done."""
        self.keep("counts", name, self.counted(name) + 1)

    def counted(self, name: str) -> int:
        """How often it was done."""
        found: int = self.read("counts").get(name, 0)
        return found
