"""Rules of the house that no linter knows."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WINGS = ("core", "runner", "cockpit")
DRAWERS = {"utils", "helpers", "common", "misc", "manager", "base", "handler", "impl"}
# The three places that may catch everything, and why.
BROAD = {
    "core/missions/conductor.py": "a bug in one step must not end the day for all others",
    "core/journal/failures.py": "a bug in a projection must not silence the only writer",
}
# Where code may ask whether something is a rehearsal (domain.md §16): the gate, the labels, and
# the places that wire a rehearsal to its server and its placeholder credential.
REHEARSAL = {
    "core/delivery/gate_checks.py": "the gate",
    "core/delivery/pull_request.py": "a label",
    "core/ledger/spending.py": "the label of a usage row",
    "core/repos/policy.py": "host runs are for rehearsals (domain.md §7)",
    "cockpit/compose.py": "which server answers",
    "cockpit/mission_run.py": "a label",
    "runner/planner.py": "the placeholder credential",
    "runner/coder.py": "the placeholder credential",
    "runner/judges/openai.py": "the placeholder credential",
    "runner/judges/gemini.py": "the placeholder credential",
}


def modules() -> list[Path]:
    return [path for wing in WINGS for path in sorted((ROOT / wing).rglob("*.py"))]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=name)
def test_a_module_says_what_it_is_for_and_fits_a_sitting(path: Path) -> None:
    text = path.read_text("utf-8")
    assert path.stem not in DRAWERS
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 440


def test_only_named_places_catch_everything() -> None:
    found = {
        name(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler) and catches_everything(node)
    }
    assert found <= set(BROAD)


def catches_everything(node: ast.ExceptHandler) -> bool:
    """Whether a handler swallows whatever comes; one that cleans up and raises again does not."""
    broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
    last = node.body[-1]
    return broad and not (isinstance(last, ast.Raise) and last.exc is None)


def test_only_the_gate_names_the_port_that_writes_to_a_remote() -> None:
    allowed = {"core/delivery/gate.py", "cockpit/compose.py"}
    found = {name(path) for path in modules() if names_remote_writer(path)}
    assert found == allowed


def names_remote_writer(path: Path) -> bool:
    tree = ast.parse(path.read_text("utf-8"))
    return any(
        (isinstance(node, ast.Name) and node.id == "RemoteWriter")
        or (isinstance(node, ast.ClassDef) and node.name == "RemoteWriter")
        for node in ast.walk(tree)
    )


def test_nothing_branches_on_rehearsal_but_the_gate_the_labels_and_the_wiring() -> None:
    found = {
        name(path)
        for path in modules()
        if not name(path).startswith("runner/rehearsal/") and branches_on_rehearsal(path)
    }
    assert found <= set(REHEARSAL) | {p for p in found if p.startswith("cockpit/cli/")}


def branches_on_rehearsal(path: Path) -> bool:
    tree = ast.parse(path.read_text("utf-8"))
    tests = [
        node.test
        for node in ast.walk(tree)
        if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert)
    ]
    return any("rehearsal" in ast.unparse(test).lower() for test in tests)


def test_no_task_is_started_outside_the_one_spawn() -> None:
    found = {
        name(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "create_task"
    }
    assert found == {"core/tasks.py"}


def test_only_the_git_door_and_the_guard_start_processes() -> None:
    starters = {"create_subprocess_exec", "create_subprocess_shell", "Popen", "fork"}
    found = {
        name(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in starters
    }
    assert found <= {
        "runner/git/door.py",
        "runner/guard.py",
        "runner/process.py",
        "cockpit/daemon_process.py",
    }
