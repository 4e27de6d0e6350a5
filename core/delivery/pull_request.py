"""Title and body of the draft pull request: evidence and numbers, nobody's story (domain.md §13).

Text of models and repos is escaped: it can't forge a heading, a row or a link.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import select

from core.desk import Desk
from core.journal.tables import UsageRow, table_of
from core.ledger.spending import usage_of
from core.ledger.usage import total
from core.missions.state import MissionState
from core.planning.quoting import block, inline

_MOST = 60_000


def title_of(state: MissionState) -> str:
    """The mission's title on one line."""
    return inline(state.title)[:200]


def body_of(desk: Desk, state: MissionState) -> str:
    """The body as it is posted; it holds the mission id, by which it counts as ours."""
    sections = {
        "Summary": [block(state.goal)],
        "Tasks": _tasks(state),
        "Evidence": _evidence(state),
        "Acceptance criteria": _criteria(state),
        "Commands": _commands(state),
        "Verdicts": _verdicts(state),
        "Risk": _risk(state),
        "Usage": _usage(desk, state),
        "Rollback": ["Close this pull request and delete its branch; nothing else was changed."],
    }
    parts = [f"## {name}\n\n" + "\n".join(rows) for name, rows in sections.items() if rows]
    foot = f"Cockpit-Mission: {state.id}"
    if state.rehearsal:
        foot = f"**Rehearsal**: the models were played from a script.\n\n{foot}"
    body = "\n\n".join([*parts, foot])
    if len(body) <= _MOST:
        return body
    return f"{body[: _MOST - 200]}\n\n[cut: the whole is in the evidence package]\n\n{foot}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return lines


def _cell(value: object) -> str:
    return inline(str(value)).replace("|", "\\|")[:300]


def _tasks(state: MissionState) -> list[str]:
    return _table(
        ("task", "title", "depends on", "commit"),
        (
            (t.id, t.planned.title, ", ".join(t.planned.depends_on) or "-", t.commit[:12])
            for t in state.tasks.values()
        ),
    )


def _evidence(state: MissionState) -> list[str]:
    assert state.package is not None
    facts = state.package.facts
    return _table(
        ("fact", "value"),
        (
            ("digest", state.package.digest),
            ("package", state.package.number),
            ("base", state.base),
            ("head", state.package.head),
            ("files", facts.get("files")),
            ("lines", f"+{facts.get('added')} -{facts.get('deleted')}"),
            ("runner", state.where),
        ),
    )


def _criteria(state: MissionState) -> list[str]:
    def proof(criterion: str) -> str:
        found = [
            f"{v.family}: {c['status']} {c.get('where', '')}".strip()
            for v in state.verdicts.values()
            for c in v.criteria
            if c["id"] == criterion
        ]
        return "; ".join(found) or "not judged"

    rows = ((c["id"], c["text"], c["source"], proof(c["id"])) for c in state.criteria)
    return _table(("id", "criterion", "source", "proof"), rows)


def _commands(state: MissionState) -> list[str]:
    assert state.package is not None
    commands = state.package.facts.get("commands", {})
    rows = ((name, status) for name, status in commands.items())
    return _table(("command", "status"), rows) if commands else ["No commands are configured."]


def _verdicts(state: MissionState) -> list[str]:
    return _table(
        ("family", "model", "verdict", "confidence", "summary"),
        ((v.family, v.model, v.verdict, v.confidence, v.summary) for v in state.verdicts.values()),
    )


def _risk(state: MissionState) -> list[str]:
    assert state.package is not None
    head = f"Score {state.package.risk_score}, {state.package.risk_level}."
    rows = [(factor["id"], factor["points"]) for factor in state.package.factors]
    return [head, "", *_table(("factor", "points"), rows)] if rows else [head]


def _usage(desk: Desk, state: MissionState) -> list[str]:
    table = table_of(UsageRow)
    with desk.journal.query() as connection:
        found = connection.execute(select(table).where(table.c.mission == state.id))
        rows = [usage_of(dict(row)) for row in found.mappings()]
    whole = total(rows)
    cost = f"{whole.known_cost_usd} USD known, {whole.unpriced} of {whole.calls} calls not priced"
    return [f"{whole.tokens} tokens in {whole.calls} calls; {cost}."]
