"""What every recorded fact looks like: a typed payload in an envelope with its place in the chain.

The closed list of payloads is in ``events.py``; this module only says what an event is.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from core.errors import Broken, Refused


class Event(BaseModel):
    """The payload of one fact. A subclass names its ``kind`` and so joins the closed list.

    A field's value must survive JSON unchanged: money is ``Decimal``, time is aware UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: ClassVar[str] = ""

    def __init_subclass__(cls, *, kind: str = "", **options: object) -> None:
        """Register the subclass under ``kind``; a class without one is an abstract step between."""
        super().__init_subclass__(**options)  # type: ignore[arg-type]
        if not kind:
            return
        if kind in KINDS:
            raise Broken(f"Event kind {kind!r} is declared twice.")
        cls.kind = kind
        KINDS[kind] = cls


KINDS: dict[str, type[Event]] = {}


def model_of(kind: str) -> type[Event]:
    """The payload model of ``kind``.

    Raises:
        Refused: ``UNKNOWN_EVENT_KIND`` when the closed list does not hold it (domain.md §2).
    """
    try:
        return KINDS[kind]
    except KeyError:
        raise Refused(
            "UNKNOWN_EVENT_KIND", f"No event is called {kind!r}.", data={"kind": kind}
        ) from None


@dataclass(frozen=True, slots=True)
class Envelope:
    """One row of the journal (domain.md §2); ``version`` counts within its stream."""

    seq: int
    id: str
    stream: str
    version: int
    at: datetime
    actor: str
    event: Event
    prev_hash: str
    hash: str
    causation_id: str | None = None
    correlation_id: str | None = None
    idempotency_key: str | None = None

    @property
    def kind(self) -> str:
        """The dotted name of the payload's model."""
        return self.event.kind
