"""Measures the goals of performance: ``python -m tests.benchmarks [P6 …] [--json]``.

Exit code 0 when every measured goal is reached, 1 when one is missed, 2 for an unknown name.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

import orjson

from tests.benchmarks import house, journal, rpc
from tests.benchmarks.goals import Figure, Goal, run

GOALS: tuple[Goal, ...] = (
    *journal.GOALS,
    *house.GOALS,
    Goal(
        "P18",
        "pings over the socket against a bare protocol",
        rpc.GOAL,
        at_least=True,
        unit="/s",
        measure=lambda: asyncio.run(rpc.measure()),
    ),
)


def chosen(names: Sequence[str]) -> list[Goal]:
    """The goals called ``names``; P6 also means P6-one. All of them when none is named.

    Raises:
        KeyError: no goal is called so.
    """
    for name in names:
        if not any(_is_called(goal, name) for goal in GOALS):
            raise KeyError(name)
    return [g for g in GOALS if not names or any(_is_called(g, name) for name in names)]


def _is_called(goal: Goal, name: str) -> bool:
    return goal.id.lower() == name.lower() or goal.id.lower().startswith(f"{name.lower()}-")


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for and say what came out; the exit code."""
    known = ", ".join(goal.id for goal in GOALS)
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("goals", nargs="*", metavar="GOAL", help=known)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args(arguments)
    try:
        goals = chosen(asked.goals)
    except KeyError as unknown:
        parser.error(f"no goal is called {unknown}; there are {known}")
    figures: list[Figure] = []
    for goal in goals:
        figures.append(run(goal))
        if not asked.json:
            sys.stdout.write(figures[-1].line() + "\n")
            sys.stdout.flush()
    if asked.json:
        told = {"figures": [figure.facts() for figure in figures]}
        sys.stdout.write(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() + "\n")
    return 0 if all(figure.ok for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
