"""How long to wait before something outside is asked again, and what it says about that itself."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_HEADER = 100


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait between two attempts, in seconds.

    Attributes:
        jitter: at most this much is added to each wait of ours.
        longest_wait: also caps what the other side asks for by Retry-After.
    """

    first_wait: float = 1.0
    jitter: float = 1.0
    longest_wait: float = 60.0


def seconds_of(retry_after: str | None, now: datetime | None = None) -> float | None:
    """``Retry-After`` in seconds: a number, or a date; None for anything else.

    Args:
        now: what a date is compared with; the present unless given.
    """
    if not retry_after or len(retry_after) > _LONGEST_HEADER:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        return _until(retry_after, now or datetime.now(UTC))
    return seconds if 0 <= seconds < 1e9 else None


def _until(date: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(date)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, (at - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
