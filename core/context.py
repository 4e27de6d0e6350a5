"""Time, ids and randomness come in through here, so that tests and replays are exact."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NewType

from ulid import ULID

SessionId = NewType("SessionId", str)
MissionId = NewType("MissionId", str)
RunId = NewType("RunId", str)
TaskId = NewType("TaskId", str)
RepoId = NewType("RepoId", str)
ApprovalId = NewType("ApprovalId", str)
HoldId = NewType("HoldId", str)

_RANDOM_CHARS = 10


def _now() -> datetime:
    return datetime.now(UTC)


def _new_ulid(at: datetime) -> str:
    return str(ULID.from_datetime(at))


@dataclass(frozen=True, slots=True)
class Context:
    """The clock, the id maker and the source of secrets of one Desk.

    Attributes:
        now: the current time, always aware and in UTC.
        ulid: makes a new ULID for the given time.
        token: makes an unguessable URL-safe string of about ``n`` random bytes.
    """

    now: Callable[[], datetime] = _now
    ulid: Callable[[datetime], str] = _new_ulid
    token: Callable[[int], str] = field(default=secrets.token_urlsafe)

    def short_id(self, prefix: str) -> str:
        """A new id such as ``m-4T9K2QX0ZB``: prefix and 10 random characters (domain.md §1)."""
        return f"{prefix}-{self.ulid(self.now())[-_RANDOM_CHARS:]}"
