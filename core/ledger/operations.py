"""Operations on the ledger: what calls used and cost, exactly, with honest blanks."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import select

from core.desk import Desk
from core.journal.tables import UsageRow, table_of
from core.ledger.spending import usage_of
from core.ledger.usage import Total, Usage, total, totals_by
from core.operations import Params, View, operation


class UsageParams(Params):
    """Which calls."""

    mission: Annotated[str, Field(description="Only of this mission")] = ""
    repo: Annotated[str, Field(description="Only of this repository")] = ""
    days: Annotated[int, Field(ge=1, le=3650, description="How far back")] = 30
    by: Annotated[
        Literal["model", "role", "mission", "repo", "day"], Field(description="One row for each")
    ] = "model"


class TotalView(View):
    """An exact sum; ``cost_usd`` is null while a part of it is unknown."""

    name: str
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    known_cost_usd: Decimal
    cost_usd: Decimal | None
    unpriced: int


class UsageView(View):
    """Sums, and the sum of all."""

    rows: tuple[TotalView, ...]
    total: TotalView


class ListUsage(Params):
    """Which calls, one by one."""

    mission: Annotated[str, Field(description="Only of this mission")] = ""
    limit: Annotated[int, Field(ge=1, le=10_000)] = 200


class UsageRowView(View):
    """One call."""

    id: str
    at: str
    mission: str | None
    run: str | None
    role: str
    auth_mode: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Decimal | None
    duration_ms: int


class UsageListView(View):
    """Calls, newest first."""

    calls: tuple[UsageRowView, ...]


_KEYS = {
    "model": lambda row: f"{row.provider} {row.model} {row.auth_mode}",
    "role": lambda row: row.role,
    "mission": lambda row: row.mission or "(before a mission)",
    "repo": lambda row: row.repo or "",
    "day": lambda row: row.at.date().isoformat(),
}


def usage_of_mission(desk: Desk, mission: str) -> list[Usage]:
    """Every recorded call of a mission."""
    table = table_of(UsageRow)
    with desk.journal.query() as connection:
        found = connection.execute(select(table).where(table.c.mission == mission))
        return [usage_of(dict(row)) for row in found.mappings()]


@operation("usage.show", "read")
async def show_usage(desk: Desk, params: UsageParams) -> UsageView:
    """Tokens and cost, summed exactly."""
    table = table_of(UsageRow)
    since = desk.context.now() - timedelta(days=params.days)
    query = select(table).where(table.c.at >= since)
    if params.mission:
        query = query.where(table.c.mission == params.mission)
    if params.repo:
        query = query.where(table.c.repo == params.repo)
    with desk.journal.query() as connection:
        rows = [usage_of(dict(row)) for row in connection.execute(query).mappings()]
    sums = totals_by(rows, _KEYS[params.by])
    return UsageView(
        rows=tuple(_view(name, sums[name]) for name in sorted(sums)),
        total=_view("total", total(rows)),
    )


@operation("usage.list", "read")
async def list_usage(desk: Desk, params: ListUsage) -> UsageListView:
    """Calls one by one, newest first."""
    table = table_of(UsageRow)
    query = select(table).order_by(table.c.at.desc(), table.c.id).limit(params.limit)
    if params.mission:
        query = query.where(table.c.mission == params.mission)
    with desk.journal.query() as connection:
        rows = [usage_of(dict(row)) for row in connection.execute(query).mappings()]
    return UsageListView(calls=tuple(_row(row) for row in rows))


def _view(name: str, found: Total) -> TotalView:
    return TotalView(
        name=name,
        calls=found.calls,
        input_tokens=found.input_tokens,
        output_tokens=found.output_tokens,
        cache_read_tokens=found.cache_read_tokens,
        cache_write_tokens=found.cache_write_tokens,
        known_cost_usd=found.known_cost_usd,
        cost_usd=found.cost_usd,
        unpriced=found.unpriced,
    )


def _row(row: Usage) -> UsageRowView:
    return UsageRowView(
        id=row.id,
        at=row.at.isoformat(),
        mission=row.mission,
        run=row.run,
        role=row.role,
        auth_mode=row.auth_mode,
        provider=row.provider,
        model=row.model,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cache_read_tokens=row.cache_read_tokens,
        cache_write_tokens=row.cache_write_tokens,
        cost_usd=row.cost_usd,
        duration_ms=row.duration_ms,
    )
