"""The order of a mission's tasks: cycles, a stable order, and what may start next.

Pure. A graph is a mapping from task id to the ids it depends on, in the plan's order.
"""

from collections.abc import Collection, Mapping
from graphlib import CycleError, TopologicalSorter

from core.errors import Refused

Graph = Mapping[str, Collection[str]]


def unknown_dependencies(graph: Graph) -> dict[str, tuple[str, ...]]:
    """For each task that has some: the dependencies that are not in the graph."""
    missing = {
        task: tuple(each for each in needs if each not in graph) for task, needs in graph.items()
    }
    return {task: each for task, each in missing.items() if each}


def find_cycle(graph: Graph) -> tuple[str, ...] | None:
    """One cycle, each task before the one that needs it, the first named again at the end."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return None


def topological_order(graph: Graph) -> tuple[str, ...]:
    """All tasks, none before its dependencies; where both would do, in the plan's order.

    Raises:
        Refused: ``GRAPH_INVALID`` for a cycle or an unknown dependency.
    """
    _check(graph)
    place = {task: number for number, task in enumerate(graph)}
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        free = sorted(sorter.get_ready(), key=place.__getitem__)
        order += free
        sorter.done(*free)
    return tuple(order)


def ready_tasks(
    graph: Graph, *, done: Collection[str], running: Collection[str] = ()
) -> tuple[str, ...]:
    """What may start now, in the plan's order: every dependency done, itself not taken.

    ``running`` holds every task that is taken or may not start: running, held, failed, cancelled.
    """
    finished, taken = set(done), {*done, *running}
    return tuple(
        task
        for task, needs in graph.items()
        if task not in taken and all(each in finished for each in needs)
    )


def _check(graph: Graph) -> None:
    missing = unknown_dependencies(graph)
    cycle = find_cycle(graph)
    if missing or cycle:
        raise Refused(
            "GRAPH_INVALID",
            "The task graph has an unknown dependency or a cycle.",
            recovery="Correct the tasks' depends_on.",
            data={"unknown": missing, "cycle": cycle},
        )
