"""What calls used and cost: one row a call, and exact sums that say how much is unpriced.

Pure: no asyncio, SQL or I/O.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Context, Decimal, Inexact
from typing import Literal, TypeVar

from core.context import MissionId, RepoId, RunId, SessionId, TaskId
from core.errors import Invalid
from core.ledger.model_usage import ModelUsage

AuthMode = Literal["subscription", "api", "rehearsal"]
Role = Literal["planner", "coder", "reviewer", "validator"]
PULL_REQUEST_DAYS = 7

_MOST_TOKENS = 10**15
_MOST_USD = Decimal(10**12)
_FINEST_EXPONENT = -60
# Wide enough for any sum of accepted costs; an inexact sum would raise rather than round.
_EXACT = Context(prec=120, traps=[Inexact])
Key = TypeVar("Key")


def call_id(run: str, model: str) -> str:
    """The id of one model of one CLI process (domain.md §14)."""
    return f"{run}:{model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One row of ``model_usage`` (domain.md §14): one model of one process, or one attempt.

    Attributes:
        id: see :func:`call_id`, or the provider's request id.
        cost_usd: None when unknown, never 0 for unknown.
        at: aware; days are UTC days.

    Raises:
        Invalid: naming the field, for an empty id, a negative or absurd count or cost, or a naive
            time.
    """

    id: str
    role: Role
    auth_mode: AuthMode
    provider: str
    model: str
    at: datetime
    mission: MissionId | None = None
    session: SessionId | None = None
    repo: RepoId | None = None
    task: TaskId | None = None
    run: RunId | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal | None = None
    duration_ms: int = 0

    def __post_init__(self) -> None:
        for name in ("id", "provider", "model"):
            if not getattr(self, name):
                raise _bad(name, "must not be empty")
        for name in (*_TOKENS, "duration_ms"):
            _check_count(name, getattr(self, name))
        _check_cost(self.cost_usd)
        if self.at.utcoffset() != timedelta(0):
            raise _bad("at", "must be a time in UTC")

    @property
    def tokens(self) -> int:
        """All tokens of the call."""
        return sum(getattr(self, name) for name in _TOKENS)


_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def _check_count(name: str, count: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MOST_TOKENS:
        raise _bad(name, "must be a whole number that is not negative")


def _check_cost(cost: object) -> None:
    if cost is None:
        return
    if not isinstance(cost, Decimal) or not cost.is_finite():
        raise _bad("cost_usd", "must be a decimal amount or unknown")
    exponent = cost.as_tuple().exponent
    fine = isinstance(exponent, int) and exponent < _FINEST_EXPONENT
    if not 0 <= cost <= _MOST_USD or fine:
        raise _bad("cost_usd", "is negative, too large or too fine to be a price")


def _bad(field: str, what: str) -> Invalid:
    return Invalid(field, f"{field} {what}.", recovery="Nothing was recorded.")


@dataclass(frozen=True, slots=True)
class CallOrigin:
    """Who made a call, for what."""

    role: Role
    auth_mode: AuthMode
    at: datetime
    mission: MissionId | None = None
    session: SessionId | None = None
    repo: RepoId | None = None
    task: TaskId | None = None
    run: RunId | None = None


def attributed(call: ModelUsage, origin: CallOrigin, cost_usd: Decimal | None) -> Usage:
    """The row of a call: what the provider reported, who made it, and what it cost."""
    return Usage(
        id=call.call_id,
        role=origin.role,
        auth_mode=origin.auth_mode,
        provider=call.provider,
        model=call.model,
        at=origin.at,
        mission=origin.mission,
        session=origin.session,
        repo=origin.repo,
        task=origin.task,
        run=origin.run,
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        cache_read_tokens=call.cache_read_tokens,
        cache_write_tokens=call.cache_write_tokens,
        cost_usd=cost_usd,
        duration_ms=call.duration_ms,
    )


@dataclass(frozen=True, slots=True)
class Total:
    """An exact sum.

    Attributes:
        known_cost_usd: of the calls that have a price.
        unpriced: number of calls that have none; the true cost is unknown while it is not 0.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    known_cost_usd: Decimal = Decimal(0)
    unpriced: int = 0

    @property
    def cost_usd(self) -> Decimal | None:
        """The whole cost, or None while a part of it is unknown."""
        return None if self.unpriced else self.known_cost_usd

    @property
    def tokens(self) -> int:
        """All tokens."""
        return sum(getattr(self, name) for name in _TOKENS)

    def plus(self, row: Usage) -> "Total":
        """This sum with one more call."""
        known = self.known_cost_usd
        if row.cost_usd is not None:
            known = _EXACT.add(known, row.cost_usd)
        return Total(
            calls=self.calls + 1,
            input_tokens=self.input_tokens + row.input_tokens,
            output_tokens=self.output_tokens + row.output_tokens,
            cache_read_tokens=self.cache_read_tokens + row.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + row.cache_write_tokens,
            known_cost_usd=known,
            unpriced=self.unpriced + (row.cost_usd is None),
        )


def total(rows: Iterable[Usage]) -> Total:
    """The exact sum of ``rows``."""
    result = Total()
    for row in rows:
        result = result.plus(row)
    return result


def totals_by(rows: Iterable[Usage], key: Callable[[Usage], Key | None]) -> dict[Key, Total]:
    """The exact sum for each key; rows whose key is None are in none of them."""
    result: dict[Key, Total] = {}
    for row in rows:
        found = key(row)
        if found is not None:
            result[found] = result.get(found, Total()).plus(row)
    return result


def per_mission(rows: Iterable[Usage]) -> dict[MissionId, Total]:
    """Sums of missions; what a session used before one is in none."""
    return totals_by(rows, lambda row: row.mission)


def per_repo(rows: Iterable[Usage]) -> dict[RepoId, Total]:
    """Sums of repos."""
    return totals_by(rows, lambda row: row.repo)


def per_day(rows: Iterable[Usage]) -> dict[date, Total]:
    """Sums of UTC days."""
    return totals_by(rows, lambda row: row.at.date())


@dataclass(frozen=True, slots=True)
class PullRequestCost:
    """What the pull requests of the last days cost, with all calls of their missions."""

    each: Mapping[MissionId, Total]
    whole: Total

    @property
    def mean_usd(self) -> Decimal | None:
        """Cost of one on average; None without any, or while a part is unknown."""
        cost = self.whole.cost_usd
        return None if cost is None or not self.each else cost / len(self.each)


def per_pull_request(
    rows: Iterable[Usage],
    opened: Mapping[MissionId, datetime],
    now: datetime,
    *,
    days: int = PULL_REQUEST_DAYS,
) -> PullRequestCost:
    """The cost of the pull requests opened in the last ``days`` days before ``now``.

    Args:
        opened: when each mission's pull request was opened.
    """
    since = now - timedelta(days=days)
    recent = {mission for mission, at in opened.items() if since < at <= now}
    mine = [row for row in rows if row.mission in recent]
    each = {mission: Total() for mission in recent} | per_mission(mine)
    return PullRequestCost(each, total(mine))
