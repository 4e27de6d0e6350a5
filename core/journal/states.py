"""The newest committed state of the streams in use, folded from the store when not at hand.

It holds what is committed and nothing else; safe from any thread.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from core.errors import Invalid
from core.journal import recording
from core.journal.chain import StoredEvent
from core.journal.interfaces import Aggregate
from core.journal.store import EVENT, STORED, Store

CACHED_STREAMS = 4096
State = tuple[int, Any]


class States:
    """Versions and states by stream; the least recently used are let go."""

    def __init__(
        self, aggregates: Mapping[str, Aggregate], store: Store, most: int = CACHED_STREAMS
    ):
        """Keep at most ``most`` streams at hand."""
        self._aggregates = aggregates
        self._store = store
        self._most = most
        self._known: OrderedDict[str, State] = OrderedDict()
        self._lock = threading.Lock()
        self._let_go = 0

    def aggregate(self, stream: str) -> Aggregate:
        """Who guards ``stream``.

        Raises:
            Invalid: a stream of an unknown kind.
        """
        prefix = stream.partition(":")[0]
        if prefix not in self._aggregates:
            raise Invalid(
                "stream",
                f"No stream is called {stream!r}.",
                recovery=f"Its name begins with one of: {', '.join(sorted(self._aggregates))}.",
            )
        return self._aggregates[prefix]

    def get(self, stream: str) -> State:
        """Version and state; a stream without events is at version 0 in its initial state.

        Raises:
            Invalid: a stream of an unknown kind.
        """
        with self._lock:
            if stream in self._known:
                self._known.move_to_end(stream)
                return self._known[stream]
            let_go = self._let_go
        state = self.fold(stream)
        with self._lock:
            # Published while this was folded: newer. Published and let go again: this fold may be
            # old, so it serves its caller but is not kept.
            if stream in self._known:
                return self._known[stream]
            if state[0] and let_go == self._let_go:
                self._keep(stream, state)
        return state

    def fold(self, stream: str, until: int | None = None) -> State:
        """The state from the stored events of ``stream``, up to sequence number ``until``."""
        aggregate = self.aggregate(stream)
        version, state = 0, aggregate.initial(stream)
        query = select(*STORED).where(EVENT.c.stream == stream).order_by(EVENT.c.version)
        if until is not None:
            query = query.where(EVENT.c.seq <= until)
        with self._store.reading() as connection:
            for row in connection.execute(query):
                envelope = recording.envelope_of(StoredEvent._make(row))
                version, state = envelope.version, aggregate.evolve(state, envelope)
        return version, state

    def publish(self, states: Mapping[str, State]) -> None:
        """Committed states take the place of the older ones."""
        with self._lock:
            for stream, state in states.items():
                self._keep(stream, state)

    def _keep(self, stream: str, state: State) -> None:
        self._known[stream] = state
        self._known.move_to_end(stream)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
            self._let_go += 1
