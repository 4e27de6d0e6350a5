"""The risk rubric: each factor is measured, the sum explains the score."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Invalid
from core.judgement.changes import AddedLine, PathChange
from core.judgement.network_words import opens_connection
from core.judgement.paths import PathRules
from core.judgement.risk import FACTORS, Coverage, Risk, RiskFacts, assess, level_of
from core.judgement.risk_page import risk_page
from core.policy import load_policy

POLICY = load_policy()
RULES = PathRules(POLICY.paths.forbidden)
DOCS = Path(__file__).parents[4] / "docs" / "risk.md"


def facts(**more: object) -> RiskFacts:
    return RiskFacts(RULES, **more)  # type: ignore[arg-type]


def points(*changes: PathChange, given: RiskFacts | None = None) -> dict[str, int]:
    risk = assess(changes, POLICY, given or facts())
    assert risk.score == min(100, sum(each.points for each in risk.factors))
    return {each.id: each.points for each in risk.factors}


def changed(*paths: str, **more: int) -> list[PathChange]:
    return [PathChange("M", path, **more) for path in paths]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [(0, 0), (1, 0), (50, 0), (51, 4), (100, 4), (101, 8), (550, 40), (551, 40), (10**7, 40)],
)
def test_lines_count_per_started_fifty_after_the_first(lines: int, expected: int) -> None:
    found = points(PathChange("M", "notes.txt", added=lines))
    assert found.get("changed_lines_per_50", 0) == expected


@pytest.mark.parametrize(
    ("files", "expected"), [(1, 0), (3, 0), (4, 3), (6, 3), (7, 6), (31, 30), (34, 30), (500, 30)]
)
def test_files_count_per_full_three_after_the_first(files: int, expected: int) -> None:
    found = points(*changed(*(f"notes{number}.txt" for number in range(files))))
    assert found.get("files_touched_per_3", 0) == expected


def test_nothing_changed_is_no_risk() -> None:
    assert assess((), POLICY, facts()) == Risk(score=0, level="low", factors=())


@pytest.mark.parametrize(
    ("changes", "factor", "expected"),
    [
        (changed("app/.env"), "forbidden_path_touch", 100),
        (changed(".github/workflows/ci.yml"), "workflow_change", 40),
        (changed("Jenkinsfile"), "workflow_change", 40),
        (changed("pyproject.toml"), "dependency_change", 25),
        (changed("web/package-lock.json"), "dependency_change", 25),
        (changed("Cargo.lock"), "dependency_change", 25),
        (changed("src/App.CSPROJ"), "dependency_change", 25),
        (changed("tests/test_a.py"), "test_change_without_code", 10),
        (changed("pkg/a_test.go"), "test_change_without_code", 10),
        (changed("src/a.py"), "code_change_without_test", 20),
        (changed("src/a.tsx"), "code_change_without_test", 20),
        (changed("src/auth/login.py"), "auth_security_files", 40),
        (changed("lib/Permissions.java"), "auth_security_files", 40),
        (changed("db/migrate/001.rb"), "database_migration", 30),
        (changed("app/migrations/0002_a.py"), "database_migration", 30),
        ([PathChange("M", "a.txt", deleted=201)], "large_deletion", 20),
        ([PathChange("R", "a.txt", old_path="poetry.lock")], "dependency_change", 25),
    ],
)
def test_a_factor_applies_to_its_paths(
    changes: list[PathChange], factor: str, expected: int
) -> None:
    assert points(*changes)[factor] == expected


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        (changed("src/author.py"), "auth_security_files"),
        (changed("docs/workflow.md"), "workflow_change"),
        (changed("src/a.py", "tests/test_a.py"), "code_change_without_test"),
        (changed("src/a.py", "tests/test_a.py"), "test_change_without_code"),
        (changed("README.md"), "code_change_without_test"),
        ([PathChange("M", "a.txt", deleted=200)], "large_deletion"),
        (changed("src/a.py"), "orchestrator_core_change"),
    ],
)
def test_a_factor_leaves_other_changes_alone(changes: list[PathChange], factor: str) -> None:
    assert factor not in points(*changes)


def test_the_repos_own_sensitive_paths() -> None:
    given_facts = facts(sensitive=["billing/", "*.rules"])
    assert points(*changed("billing/a.txt"), given=given_facts)["sensitive_path_touch"] == 30
    assert points(*changed("x/FIREWALL.rules"), given=given_facts)["sensitive_path_touch"] == 30
    assert "sensitive_path_touch" not in points(*changed("docs/a.txt"), given=given_facts)
    with pytest.raises(Invalid):
        assess((), POLICY, facts(sensitive=["!billing/"]))


@pytest.mark.parametrize(
    "pattern",
    [
        ("orchestrator_core", "orchestrator_core_change"),
        ("runner_sandbox", "runner_sandbox_change"),
        ("validator", "validator_change"),
    ],
)
def test_patterns_that_a_policy_names(pattern: tuple[str, str]) -> None:
    name, factor = pattern
    policy = load_policy({"risk": {"patterns": {name: ["engine/"]}}})
    risk = assess(changed("engine/a.txt"), policy, facts())
    assert [(each.id, each.points) for each in risk.factors] == [(factor, 60)]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", "import httpx", True),
        ("a.py", "    reply = requests.get(url)", True),
        ("a.py", "import websockets_like", False),
        ("a.py", "requests = []", False),
        ("a.md", "import httpx", False),
        ("Makefile", "curl x", False),
        ("a.ts", "const r = await window.fetch(url)", True),
        ("a.ts", "prefetch(url)", False),
        ("a.go", 'import "net/http"', True),
        ("a.RS", "use std::net::TcpStream;", True),
        ("run.sh", "curl -s https://example.com", True),
        ("run.sh", "curly=1", False),
        (".py", "import httpx", False),
    ],
)
def test_network_words_are_those_of_the_language(path: str, text: str, expected: bool) -> None:
    assert opens_connection(AddedLine(path, 1, text), POLICY.risk) is expected
    found = points(*changed(path), given=facts(added_lines=iter([AddedLine(path, 1, text)])))
    assert found.get("network_code_change", 0) == (15 if expected else 0)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(None, 0), (Coverage(0, 0), 0), (Coverage(6, 10), 0), (Coverage(599, 1000), 15)],
)
def test_coverage_counts_where_it_was_measured(measured: Coverage | None, expected: int) -> None:
    assert points(given=facts(coverage=measured)).get("low_test_coverage", 0) == expected


@pytest.mark.parametrize(
    ("score", "level"), [(0, "low"), (30, "low"), (31, "medium"), (70, "medium"), (71, "high")]
)
def test_levels(score: int, level: str) -> None:
    assert level_of(score, POLICY.risk) == level


def test_the_table_is_the_domains() -> None:
    sizes = {"changed_lines_per_50", "files_touched_per_3"}
    assert set(FACTORS) - sizes == set(type(POLICY.risk.points).model_fields)
    assert POLICY.risk.points.model_dump() == {
        "forbidden_path_touch": 100,
        "sensitive_path_touch": 30,
        "workflow_change": 40,
        "dependency_change": 25,
        "test_change_without_code": 10,
        "code_change_without_test": 20,
        "auth_security_files": 40,
        "network_code_change": 15,
        "database_migration": 30,
        "orchestrator_core_change": 60,
        "runner_sandbox_change": 60,
        "validator_change": 60,
        "large_deletion": 20,
        "low_test_coverage": 15,
    }


PATHS = st.sampled_from(
    [".env", "src/a.py", "tests/test_a.py", "auth/x.go", "uv.lock", "a\udcff.txt", "中.md", "s.sql"]
)
CHANGES = st.builds(
    PathChange,
    st.sampled_from(["A", "M", "D"]),
    PATHS,
    added=st.integers(0, 400),
    deleted=st.integers(0, 400),
)


@given(changes=st.lists(CHANGES, max_size=12))
def test_the_factors_explain_the_score(changes: list[PathChange]) -> None:
    risk = assess(changes, POLICY, facts())
    assert 0 <= risk.score <= 100
    assert risk.score == min(100, sum(each.points for each in risk.factors))
    assert all(each.points > 0 for each in risk.factors)
    assert [each.id for each in risk.factors] == [
        name for name in FACTORS if name in {each.id for each in risk.factors}
    ]
    assert Risk.model_validate_json(risk.model_dump_json()) == risk
    assert risk == assess(changes, POLICY, facts())


@given(changes=st.lists(CHANGES, min_size=1, max_size=8), more=st.integers(0, 500))
def test_more_lines_are_never_less_risk(changes: list[PathChange], more: int) -> None:
    first = changes[0]
    longer = PathChange(
        first.status, first.path, added=first.added + more, deleted=first.deleted + more
    )
    before = assess(changes, POLICY, facts()).score
    assert assess([longer, *changes[1:]], POLICY, facts()).score >= before


@settings(max_examples=40)
@given(changes=st.lists(CHANGES, max_size=8), more=st.integers(1, 15))
def test_more_plain_files_are_never_less_risk(changes: list[PathChange], more: int) -> None:
    files = changed(*(f"notes{number}.txt" for number in range(more)))
    before = assess(changes, POLICY, facts()).score
    assert assess([*changes, *files], POLICY, facts()).score >= before


def test_the_page_is_made_from_the_policy() -> None:
    assert DOCS.read_text(encoding="utf-8") == risk_page(POLICY), (
        "write risk_page(load_policy()) to docs/risk.md"
    )


def test_the_page_names_every_factor_and_pattern() -> None:
    page = risk_page(POLICY)
    for language in POLICY.risk.languages.values():
        assert all(f"`{each}`" in page for _, values in language for each in values)
    assert all(f"| {name} |" in page for name in FACTORS)
