"""Before a call: may it begin? After it: which usage events does it make (domain.md §14)?"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, and_, func, select

from core.context import MissionId
from core.desk import Desk
from core.errors import Unavailable
from core.journal.envelope import Event
from core.journal.events.shared import UsageRecorded
from core.journal.tables import CallRow, UsageRow, table_of
from core.ledger.budgets import Account, PlannedCall, Spent, account_of, check
from core.ledger.model_usage import ModelUsage
from core.ledger.usage import AuthMode, Role, Usage
from core.repos.policy import settings_of
from core.repos.settings import effective_budgets

_calls, _usage = table_of(CallRow), table_of(UsageRow)
PROVIDER_OF_FAMILY = {"openai": "openai", "gemini": "google", "claude": "anthropic"}


def auth_mode(desk: Desk, role: Role, *, rehearsal: bool) -> AuthMode:
    """Who pays: nobody in a rehearsal, the subscription, or an API account."""
    if rehearsal:
        return "rehearsal"
    if role == "validator" or desk.settings.providers.claude.auth == "api_key":
        return "api"
    return "subscription"


async def require_call(
    desk: Desk,
    *,
    repo: str,
    mission: str,
    role: Role,
    rehearsal: bool,
    call: str = "",
    **worst: Any,
) -> None:
    """Refuse a call that could pass a cap; nothing has been started then.

    Args:
        call: the id under which this very call has been announced, so that it is not counted twice.
        worst: ``worst_case_usd`` and ``worst_case_tokens``, where somebody can say.

    Raises:
        Unavailable: ``HOLD-BUDGET`` naming the cap, what was spent and the limit.
    """
    planned = PlannedCall(role, auth_mode(desk, role, rehearsal=rehearsal), **worst)
    budgets = effective_budgets(settings_of(desk, desk.repo(repo)), desk.settings.budgets)
    found = check(planned, _spent(desk, mission, call), budgets)
    if found is not None:
        raise Unavailable(
            "HOLD-BUDGET",
            f"The cap {found.cap} is {found.limit}; {_shown(found.spent)} is used.",
            recovery=f"Wait, or raise it: cockpit config set budgets.{found.cap} VALUE",
            data={"cap": found.cap, "spent": _shown(found.spent), "limit": str(found.limit)},
        )


def _shown(amount: object) -> str:
    return "an unknown amount" if amount is None else str(amount)


def _spent(desk: Desk, mission: str, call: str) -> Spent:
    midnight = datetime.combine(desk.context.now().date(), time(), UTC)
    with desk.journal.query() as connection:
        other = _calls.c.id != call
        of_mission = (_usage.c.mission == mission, and_(_calls.c.mission == mission, other))
        of_day = (_usage.c.at >= midnight, and_(_calls.c.at >= midnight, other))
        return Spent(
            mission=_account(desk, connection, *of_mission) if mission else Account(),
            day=_account(desk, connection, *of_day),
        )


def _account(desk: Desk, connection: Connection, usage: Any, calls: Any) -> Account:
    rows = connection.execute(select(_usage).where(usage)).mappings().all()
    begun = connection.execute(select(func.count()).select_from(_calls).where(calls)).scalar_one()
    return account_of(
        [usage_of(dict(row)) for row in rows],
        calls=begun,
        ceiling=lambda row: desk.ports.prices.ceiling(
            row.provider, row.model, input_tokens=row.tokens, output_tokens=row.output_tokens
        ),
    )


def usage_of(row: Mapping[str, Any]) -> Usage:
    """A row of ``model_usage`` as the ledger's value."""
    cost = None if row["cost_usd"] is None else Decimal(row["cost_usd"])
    mission = MissionId(row["mission"]) if row["mission"] else None
    given: dict[str, Any] = {k: row[k] or None for k in ("session", "repo", "task", "run")}
    at = row["at"] if row["at"].tzinfo else row["at"].replace(tzinfo=UTC)
    same = ("id", "role", "auth_mode", "provider", "model", "duration_ms")
    tokens = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    return Usage(
        **{k: row[k] for k in (*same, *tokens)}, **given, mission=mission, at=at, cost_usd=cost
    )


def usage_events(
    desk: Desk, calls: Iterable[ModelUsage], *, role: Role, rehearsal: bool, **origin: str
) -> list[Event]:
    """One event for each model of a process, or each answered attempt, with its price.

    Args:
        origin: ``repo`` and, where known, ``session``, ``mission``, ``task``, ``run``.
    """
    mode = auth_mode(desk, role, rehearsal=rehearsal)
    return [
        UsageRecorded(
            call_id=call.call_id,
            role=role,
            auth_mode=mode,
            provider=call.provider,
            model=call.model,
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            cache_read_tokens=call.cache_read_tokens,
            cache_write_tokens=call.cache_write_tokens,
            cost_usd=_cost(desk, call, mode),
            duration_ms=call.duration_ms,
            **origin,
        )
        for call in calls
    ]


def _cost(desk: Desk, call: ModelUsage, mode: AuthMode) -> Decimal | None:
    """A subscription's call and a rehearsal's have no price; an unknown price stays unknown."""
    if mode != "api":
        return None
    if call.cost_usd is not None:
        return call.cost_usd
    return desk.ports.prices.cost(call, desk.context.now())
