"""domain.md §5: which tasks wait for a yes; rules only add."""

from typing import Any

import pytest

from core.planning.checkpoints import checkpoint_reasons, with_checkpoints
from core.planning.clarification import ClarificationPolicy
from core.planning.plan import parse_plan
from core.planning.plan_shapes import PlannedTask


@pytest.mark.parametrize(
    ("title", "files", "reasons"),
    [
        ("Print the version", ["src/cli.py"], ()),
        ("Add a table", ["app/migrations/0002_fees.py"], ("schema",)),
        ("Change the SQL", ["db/Structure.SQL"], ("schema",)),
        ("Add httpx", ["pyproject.toml", "uv.lock"], ("dependencies",)),
        ("Add axios", ["web/package.json"], ("dependencies",)),
        ("Update the dependencies", [], ("dependencies",)),
        ("Guard the page", ["src/auth/guard.py"], ("security",)),
        ("Name the author", ["src/author.py"], ()),
        ("重置密码", ["src/a.py"], ("security",)),
        ("保证线程安全", ["src/a.py"], ()),
        ("Run on pushes", [".github/workflows/test.yml"], ("ci",)),
        ("Remove the old importer", ["src/import.py"], ("large_deletions",)),
        ("删除所有旧接口", ["src/a.py"], ("large_deletions",)),
        ("Rename `password` in the docs", ["docs/a.md"], ()),
    ],
)
def test_what_needs_a_checkpoint(
    policy: ClarificationPolicy, title: str, files: list[str], reasons: tuple[str, ...]
) -> None:
    task = PlannedTask(id="T1", title=title, write_files=tuple(files))
    assert checkpoint_reasons(task, policy.checkpoints) == reasons


def test_rules_add_and_never_remove(policy: ClarificationPolicy, plan_json: dict[str, Any]) -> None:
    plan_json["tasks"][0]["write_files"] = ["package.json"]
    plan = with_checkpoints(parse_plan(plan_json), policy.checkpoints)
    assert [each.checkpoint for each in plan.tasks] == [True, True]
    assert checkpoint_reasons(plan.tasks[1], policy.checkpoints) == ("planner",)
    assert with_checkpoints(plan, {}).tasks == plan.tasks
