"""The shipped policy and small builders for the planning tests."""

import tomllib
from importlib.resources import files
from typing import Any

import pytest

from core.planning.clarification import ClarificationPolicy


def _shipped() -> ClarificationPolicy:
    text = files("resources").joinpath("policy.toml").read_text(encoding="utf-8")
    return ClarificationPolicy.model_validate(tomllib.loads(text)["clarification"])


_POLICY = _shipped()


@pytest.fixture(scope="session")
def policy() -> ClarificationPolicy:
    """``[clarification]`` as the product ships it."""
    return _POLICY


@pytest.fixture
def plan_json() -> dict[str, Any]:
    """A small valid plan as the planner would return it."""
    return {
        "prd": {
            "summary": "Print the version.",
            "goals": ["A person sees the version."],
            "non_goals": [],
            "acceptance_criteria": ["Running `tool --version` prints `1.2.3`"],
            "risks": ["None known."],
            "rollback": "Revert the commit.",
        },
        "adr": {
            "title": "One place for the version",
            "context": "It stands in two files.",
            "decision": "Read it from the package.",
            "consequences": ["One file to change."],
        },
        "roadmap": [{"title": "Version", "outcome": "It is printed.", "tasks": ["T1", "T2"]}],
        "tasks": [
            {
                "id": "T1",
                "title": "Read the version",
                "role": "coder",
                "depends_on": [],
                "context_files": ["src/tool.py"],
                "write_files": ["src/tool.py", "tests/test_tool.py"],
                "acceptance": ["version() returns 1.2.3"],
                "expected_evidence": ["tests/test_tool.py passes"],
                "checkpoint": False,
            },
            {
                "id": "T2",
                "title": "Print the version",
                "role": "coder",
                "depends_on": ["T1"],
                "context_files": [],
                "write_files": ["src/cli.py"],
                "acceptance": [],
                "expected_evidence": [],
                "checkpoint": True,
            },
        ],
    }
