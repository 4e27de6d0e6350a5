"""Order of tasks: its laws on random graphs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refused
from core.missions.graph import find_cycle, ready_tasks, topological_order, unknown_dependencies


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Graphs without a cycle, listed in any order."""
    names = [f"T{n}" for n in range(1, draw(st.integers(1, 12)) + 1)]
    edges = {
        name: tuple(draw(st.lists(st.sampled_from(names[:place]), unique=True, max_size=3)))
        if place
        else ()
        for place, name in enumerate(names)
    }
    return {name: edges[name] for name in draw(st.permutations(names))}


@given(graphs())
def test_no_task_comes_before_its_dependencies(graph: dict[str, tuple[str, ...]]) -> None:
    order = topological_order(graph)
    assert sorted(order) == sorted(graph)
    for task, needs in graph.items():
        assert all(order.index(need) < order.index(task) for need in needs)
    assert find_cycle(graph) is None


@given(graphs(), st.data())
def test_running_what_is_ready_reaches_every_task(
    graph: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    done: list[str] = []
    running: set[str] = set()
    while len(done) < len(graph):
        ready = ready_tasks(graph, done=done, running=running)
        assert not set(ready) & (running | set(done))
        assert all(set(graph[each]) <= set(done) for each in ready)
        started = data.draw(st.lists(st.sampled_from(ready), unique=True)) if ready else []
        running |= set(started) or set(ready[:1])
        assert running, "nothing runs and nothing is ready"
        finished = data.draw(st.sampled_from(sorted(running)))
        running.discard(finished)
        done.append(finished)
    assert ready_tasks(graph, done=done) == ()


def test_ties_keep_the_plans_order() -> None:
    graph = {"T3": (), "T1": (), "T2": ("T3",)}
    assert topological_order(graph) == ("T3", "T1", "T2")
    assert ready_tasks(graph, done=()) == ("T3", "T1")
    assert ready_tasks(graph, done=["T3"], running=["T1"]) == ("T2",)
    assert ready_tasks(graph, done=[], running=["T3", "T1"]) == ()


def test_a_cycle_is_named() -> None:
    graph = {"T1": ("T3",), "T2": ("T1",), "T3": ("T2",), "T4": ()}
    cycle = find_cycle(graph)
    assert cycle is not None
    assert cycle[0] == cycle[-1]
    for need, task in pairwise(cycle):
        assert need in graph[task]
    with pytest.raises(Refused) as refusal:
        topological_order(graph)
    assert refusal.value.code == "GRAPH_INVALID"


def test_an_unknown_dependency_is_named() -> None:
    assert unknown_dependencies({"T1": ("T9",), "T2": ()}) == {"T1": ("T9",)}
    with pytest.raises(Refused):
        topological_order({"T1": ("T9",)})
    assert ready_tasks({"T1": ("T9",)}, done=()) == ()
