"""The declared operations as data, so that a command line is derived without importing the core.

``python -m cockpit.cli.declared`` writes the file anew; a test compares it with the registry.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

FILE = Path(__file__).with_name("operations.json")


@dataclass(frozen=True, slots=True)
class Declared:
    """One operation, as a surface needs it.

    Attributes:
        params: JSON schema of its parameters.
    """

    name: str
    scope: str
    summary: str
    params: dict[str, Any]

    @property
    def noun(self) -> str:
        """The first word of its command."""
        return self.name.partition(".")[0]

    @property
    def verb(self) -> str:
        """The second word of its command."""
        return self.name.partition(".")[2].replace("_", "-")


@cache
def listed() -> dict[str, Declared]:
    """The operations in the file, by name."""
    return {each["name"]: Declared(**each) for each in orjson.loads(FILE.read_bytes())}


@cache
def registered() -> dict[str, Declared]:
    """The operations of the core itself; importing it takes most of a second."""
    from core.catalog import REGISTRY

    return {each["name"]: Declared(**each) for each in _described(REGISTRY)}


def _described(registry: Any) -> Iterator[dict[str, Any]]:
    for name in sorted(registry):
        found = registry[name]
        yield {
            "name": name,
            "scope": found.scope,
            "summary": found.summary,
            "params": found.params.model_json_schema(),
        }


def encoded() -> bytes:
    """What the file must hold."""
    from core.catalog import REGISTRY

    return orjson.dumps(list(_described(REGISTRY)), option=orjson.OPT_INDENT_2) + b"\n"


if __name__ == "__main__":
    FILE.write_bytes(encoded())
    sys.stdout.write(f"{FILE}\n")
