"""Operations on the journal itself: verify the chain, rebuild the read tables, read events."""

from typing import Annotated, Any

from pydantic import Field

from core.desk import Desk
from core.operations import Nothing, Params, View, operation


class VerifyView(View):
    """Whether every event is as it was written."""

    ok: bool
    events: int
    head: int
    damaged_seq: int | None
    damage: str


class RebuildView(View):
    """How much was replayed."""

    events: int
    tables: int


class ReadEvents(Params):
    """Which events."""

    after: Annotated[int, Field(ge=0, description="Only after this sequence number")] = 0
    stream: Annotated[str, Field(description="Only of this stream, such as mission:m-…")] = ""
    limit: Annotated[int, Field(ge=1, le=5000)] = 100


class EventsView(View):
    """Events, oldest first, and the sequence number of the newest one there is."""

    head: int
    events: tuple[dict[str, Any], ...]


@operation("journal.verify", "read")
async def verify_journal(desk: Desk, params: Nothing) -> VerifyView:
    """Check the hash chain over every event."""
    report = await desk.aside(desk.journal.verify)
    return VerifyView(
        ok=report.ok,
        events=report.events,
        head=report.head,
        damaged_seq=report.damage.seq if report.damage else None,
        damage=report.damage.what if report.damage else "",
    )


@operation("journal.rebuild", "write")
async def rebuild_journal(desk: Desk, params: Nothing) -> RebuildView:
    """Drop and replay all read tables."""
    report = await desk.aside(desk.journal.rebuild)
    return RebuildView(events=report.events, tables=report.tables)


@operation("event.list", "read")
async def list_events(desk: Desk, params: ReadEvents) -> EventsView:
    """Recorded events."""
    found = await desk.aside(
        lambda: desk.journal.read(
            after=params.after, stream=params.stream or None, limit=params.limit
        )
    )
    return EventsView(
        head=desk.journal.head(),
        events=tuple(
            {
                "seq": e.seq,
                "stream": e.stream,
                "kind": e.kind,
                "at": e.at.isoformat(),
                "actor": e.actor,
                "payload": e.event.model_dump(mode="json"),
            }
            for e in found
        ),
    )
