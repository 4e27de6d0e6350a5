"""The page ``docs/states.md``, made from the tables so that it cannot differ from them. Pure."""

from collections.abc import Iterator

from core.missions.machine import (
    APPROVAL_MOVES,
    MISSION_MOVES,
    NEXT_RUN_STEP,
    RUN_MOVES,
    TASK_MOVES,
    Moves,
)
from core.planning.sessions import SESSION_MOVES
from core.repos.registry import REPO_MOVES

TABLES: dict[str, Moves] = {
    "Session": SESSION_MOVES,
    "Mission": MISSION_MOVES,
    "Task": TASK_MOVES,
    "Run": RUN_MOVES,
    "Approval": APPROVAL_MOVES,
    "Repository": REPO_MOVES,
}


def states_page() -> str:
    """Every state machine as Markdown: a row for each move that is allowed (domain.md §3)."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    yield "# States\n"
    yield "Made from the tables of the state machines; a test compares the two. What stands in no"
    yield "row is refused when it is recorded, with the code `ILLEGAL_MOVE`.\n"
    for name, moves in TABLES.items():
        yield f"## {name}\n"
        yield "| state | event | next state |\n|---|---|---|"
        for (state, event), after in moves.items():
            yield f"| {state} | `{event}` | {after} |"
        yield ""
    yield "## What comes next in a run\n"
    yield "| how far the run is | next step |\n|---|---|"
    for progress, step in NEXT_RUN_STEP.items():
        yield f"| {progress} | {step} |"
    yield ""
