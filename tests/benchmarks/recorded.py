"""Events as a real mission records them, in as many copies as a benchmark needs.

A mission is driven once over stand-ins; each copy has ids of its own, so that every aggregate,
guard and projection does what it does in use.
"""

import asyncio
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.journal.chain import canonical
from core.journal.envelope import Event
from core.journal.upcasts import current_version, load
from tests.missions import Stage, add_repo, mission_until, start

_ID = re.compile(r"\b(s|m|r|a|h|msg)-([0-9A-Z]{4})[0-9A-Z]{6}\b")
_CALL = re.compile(r"\b(openai|gemini):([0-9a-f]{8})[0-9a-f]{8}\b")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event of one copy."""

    stream: str
    kind: str
    payload: str

    def event(self) -> Event:
        """The typed payload."""
        return load(self.kind, current_version(self.kind), self.payload)


async def _one_mission(folder: Path) -> list[Recorded]:
    stage = Stage(folder)
    async with stage.core() as core:
        await add_repo(core, folder)
        mission = await start(core)
        await mission_until(core, mission, "mission.decided")
        return [
            Recorded(e.stream, e.kind, canonical(e.event.model_dump(mode="json")).decode())
            for e in core.desk.journal.read(limit=None)
            if e.stream.startswith(("session:", "mission:"))
        ]


def one_mission() -> list[Recorded]:
    """The events of a session and its mission, from the idea to the decision."""
    with tempfile.TemporaryDirectory(prefix="cockpit-") as folder:
        events = asyncio.run(_one_mission(Path(folder)))
    text = "\n".join(e.stream + e.payload for e in events)
    whole = {match.group(0) for match in _ID.finditer(text)}
    kept = {match.group(1, 2) for match in _ID.finditer(text)}
    return events if len(whole) == len(kept) else one_mission()


def copies(events: list[Recorded], first: int, count: int) -> Iterator[list[Recorded]]:
    """Copies ``first`` to ``first + count - 1`` of a mission."""
    for number in range(first, first + count):

        def other(text: str, number: int = number) -> str:
            text = _ID.sub(rf"\g<1>-\g<2>{number:06d}", text)
            return _CALL.sub(rf"\g<1>:\g<2>{number:08d}", text)

        yield [Recorded(other(e.stream), e.kind, other(e.payload)) for e in events]
