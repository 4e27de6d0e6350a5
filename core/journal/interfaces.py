"""What the journal asks of those who guard streams and of those who project them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Executable, Table

from core.journal.envelope import Envelope, Event

Write = tuple[Executable, dict[str, Any]]


class Aggregate(Protocol):
    """Guards and folds the streams of one prefix. States are immutable values."""

    def initial(self, stream: str) -> Any:
        """The state of an empty stream."""
        ...

    def check(self, state: Any, event: Event) -> None:
        """Refuse what the state machine forbids; raises ``Refused``."""
        ...

    def evolve(self, state: Any, envelope: Envelope) -> Any:
        """The state after a recorded event; never fails on one."""
        ...


class Projection(Protocol):
    """Read tables made from events. A changed ``version`` rebuilds them at opening."""

    name: str
    version: int
    tables: Sequence[Table]

    def writes(self, envelope: Envelope, before: Any, after: Any) -> Iterable[Write]:
        """The statements of one event, in order; applied in the transaction of its append."""
        ...


@dataclass(frozen=True, slots=True)
class Append:
    """Events for one or more streams that are recorded together or not at all.

    Attributes:
        events: by stream, in the order in which they are recorded.
        expected: the version that a stream must be at, whether or not it gets events; a stream
            without one is not checked.
    """

    events: Mapping[str, Sequence[Event]]
    actor: str
    expected: Mapping[str, int]
    causation_id: str | None = None
    correlation_id: str | None = None
    idempotency_key: str | None = None
