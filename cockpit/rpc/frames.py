"""Cuts a byte stream into lines and never keeps more of one than the limit. No JSON, no sockets."""

FRAME_LIMIT = 1024 * 1024  # bytes, automation.md §4


class Frames:
    """Lines out of chunks. A line past the limit is reported once and skipped to its end.

    Args:
        limit: most bytes of a line, its end not counted.

    Attributes:
        skipped: bytes thrown away of the line that is being skipped.
    """

    def __init__(self, limit: int = FRAME_LIMIT):
        self._limit = limit
        self._tail = bytearray()
        self._skipping = False
        self.skipped = 0

    @property
    def kept(self) -> int:
        """Bytes of an unfinished line in memory."""
        return len(self._tail)

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that ``data`` completes, without their ends; None for one that is too long."""
        *lines, rest = data.split(b"\n")
        found: list[bytes | None] = []
        for line in lines:
            self._take(line, found)
            if not self._skipping:
                found.append(bytes(self._tail) if self._tail else b"")
            self._tail.clear()
            self._skipping = False
            self.skipped = 0
        if rest:
            self._take(rest, found)
        return found

    def _take(self, part: bytes, found: list[bytes | None]) -> None:
        if not self._skipping and len(self._tail) + len(part) > self._limit:
            self._skipping = True
            self._tail = bytearray()
            found.append(None)
        if self._skipping:
            self.skipped += len(part)
        else:
            self._tail += part
