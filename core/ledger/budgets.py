"""Decides before a call whether it could pass a cap; one that could is not started (domain.md §14).

Pure: no asyncio, SQL or I/O.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from core.ledger.usage import AuthMode, Role, Usage
from core.settings.model import Budgets

HOLD = "HOLD-BUDGET"
Purse = Literal["coder_api", "planner_api", "validators"]
Amount = int | Decimal

# A headless call is one CLI process started for one of these roles.
HEADLESS: frozenset[Role] = frozenset({"planner", "coder", "reviewer"})
# The reviewer is of the coder's family and pays out of its purse.
_PURSES: Mapping[Role, Purse] = MappingProxyType(
    {
        "planner": "planner_api",
        "coder": "coder_api",
        "reviewer": "coder_api",
        "validator": "validators",
    }
)


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that has not started.

    Attributes:
        worst_case_usd: the most it could cost; None when nobody can say.
        worst_case_tokens: the most it could use; None when nobody can say.
    """

    role: Role
    auth_mode: AuthMode
    worst_case_usd: Decimal | None = None
    worst_case_tokens: int | None = None

    @property
    def headless(self) -> bool:
        """Whether it starts a CLI process that the call caps count."""
        return self.role in HEADLESS

    @property
    def purse(self) -> Purse | None:
        """What pays for it; a subscription and a rehearsal cost nothing by the call."""
        return _PURSES[self.role] if self.auth_mode == "api" else None


@dataclass(frozen=True, slots=True)
class Account:
    """What one mission, or one UTC day, has used, running calls counted at their worst case.

    Attributes:
        calls: headless calls begun.
        usd: spent from each purse.
        unknown: purses that paid for a call whose cost nobody can bound.
        tokens_unknown: a call ran whose tokens nobody can bound.
    """

    calls: int = 0
    tokens: int = 0
    usd: Mapping[Purse, Decimal] = field(default_factory=dict)
    unknown: frozenset[Purse] = frozenset()
    tokens_unknown: bool = False

    def plus(self, call: PlannedCall) -> "Account":
        """This account with a call reserved, so that a second one beside it is judged rightly."""
        usd, unknown = dict(self.usd), self.unknown
        if call.purse is not None and call.worst_case_usd is None:
            unknown |= {call.purse}
        elif call.purse is not None and call.worst_case_usd is not None:
            usd[call.purse] = usd.get(call.purse, Decimal(0)) + call.worst_case_usd
        return replace(
            self,
            calls=self.calls + call.headless,
            tokens=self.tokens + (call.worst_case_tokens or 0),
            usd=usd,
            unknown=unknown,
            tokens_unknown=self.tokens_unknown or call.worst_case_tokens is None,
        )


@dataclass(frozen=True, slots=True)
class Spent:
    """What the call's mission and the current UTC day have used."""

    mission: Account = Account()
    day: Account = Account()

    def plus(self, call: PlannedCall) -> "Spent":
        """Both accounts with a call reserved."""
        return Spent(self.mission.plus(call), self.day.plus(call))


@dataclass(frozen=True, slots=True)
class BudgetHold:
    """The first cap that a call could pass.

    Attributes:
        cap: the setting's name below ``budgets``.
        spent: so far; None when unknown.
        limit: the cap.
    """

    cap: str
    spent: Amount | None
    limit: Amount


def account_of(
    rows: Iterable[Usage], *, calls: int, ceiling: Callable[[Usage], Decimal | None]
) -> Account:
    """The account of recorded usage.

    Args:
        rows: of the mission, or of the UTC day.
        calls: headless calls begun, which a crashed process counts in without a row.
        ceiling: the most an unpriced call can have cost; None when nobody can say.
    """
    tokens, usd, unknown = 0, dict[Purse, Decimal](), set[Purse]()
    for row in rows:
        tokens += row.tokens
        if row.auth_mode != "api":
            continue
        purse = _PURSES[row.role]
        cost = row.cost_usd if row.cost_usd is not None else ceiling(row)
        if cost is None:
            unknown.add(purse)
        else:
            usd[purse] = usd.get(purse, Decimal(0)) + cost
    return Account(calls, tokens, usd, frozenset(unknown))


def check(call: PlannedCall, spent: Spent, budgets: Budgets) -> BudgetHold | None:
    """The first cap that ``call`` could pass, or None when it may start.

    The coder's and planner's dollars are capped for the mission and for the day alike. A cap of 0
    lets no paid call start, whatever its estimate; what nobody can bound is held.
    """
    for finding in (*_calls(call, spent, budgets), *_tokens(call, spent, budgets)):
        if finding is not None:
            return finding
    return next((each for each in _dollars(call, spent, budgets) if each is not None), None)


def _calls(call: PlannedCall, spent: Spent, budgets: Budgets) -> Iterator[BudgetHold | None]:
    if call.headless:
        yield _over("calls_per_mission", spent.mission.calls, 1, budgets.calls_per_mission)
        yield _over("calls_per_day", spent.day.calls, 1, budgets.calls_per_day)


def _tokens(call: PlannedCall, spent: Spent, budgets: Budgets) -> Iterator[BudgetHold | None]:
    for cap, account, limit in (
        ("tokens_per_mission", spent.mission, budgets.tokens_per_mission),
        ("tokens_per_day", spent.day, budgets.tokens_per_day),
    ):
        if limit is not None:
            used = None if account.tokens_unknown else account.tokens
            yield _over(cap, used, call.worst_case_tokens, limit)


def _dollars(call: PlannedCall, spent: Spent, budgets: Budgets) -> Iterator[BudgetHold | None]:
    purse = call.purse
    if purse is None:
        return
    caps = {
        "coder_api": ("coder_api_usd", "coder_api_usd"),
        "planner_api": ("planner_api_usd", "planner_api_usd"),
        "validators": ("validators_mission_usd", "validators_day_usd"),
    }
    for cap, account in zip(caps[purse], (spent.mission, spent.day), strict=True):
        limit: Decimal = getattr(budgets, cap)
        used = None if purse in account.unknown else account.usd.get(purse, Decimal(0))
        yield _over(cap, used, call.worst_case_usd if limit else None, limit)


def _over(cap: str, used: Amount | None, wanted: Amount | None, limit: Amount) -> BudgetHold | None:
    if used is not None and wanted is not None and used + wanted <= limit:
        return None
    return BudgetHold(cap, used, limit)
