"""The bounds within which a client is served (automation.md §4). Numbers only."""

from dataclasses import dataclass

from cockpit.rpc.frames import FRAME_LIMIT


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server gives to its clients.

    Attributes:
        frame: most bytes of a line; a longer one is refused and skipped.
        skipped: most bytes skipped of one line before the connection is dropped.
        batch: most requests in a batch.
        batch_bytes: most bytes of a batch's answer; what would follow is refused.
        in_flight: requests of one client performed at the same time; the rest waits unread.
        clients: connections; past them the longest idle one is dropped.
        idle_seconds: after this long without a request or a subscription a client is dropped.
        stalled_seconds: after this long without reading its answers a client is dropped.
        unread: bytes of answers a client may leave unread before we stop serving it.
    """

    frame: int = FRAME_LIMIT
    skipped: int = 16 * FRAME_LIMIT
    batch: int = 1000
    batch_bytes: int = 16 * FRAME_LIMIT
    in_flight: int = 32
    clients: int = 128
    idle_seconds: float = 900.0
    stalled_seconds: float = 30.0
    unread: int = FRAME_LIMIT
