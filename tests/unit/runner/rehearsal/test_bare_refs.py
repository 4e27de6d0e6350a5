"""Branches out of a bare repository's files, as git has them, and nothing beside them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.rehearsal.bare_refs import commit_of, default_branch
from tests.forges import bare_repository, move, pack

pytestmark = pytest.mark.slow
BRANCHES = ("cockpit/m-4T9K2QX0ZB", "a.b", "deep/er/one", "v1.0-rc+1", "x@y", "#1")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("bare") / "r.git"
    return folder, bare_repository(folder, *BRANCHES)


def test_loose_and_packed_branches_are_what_git_says(tmp_path: Path) -> None:
    folder = tmp_path / "r.git"
    commits = bare_repository(folder, *BRANCHES)
    assert {branch: commit_of(folder, branch) for branch in commits} == commits
    pack(folder)
    assert not (folder / "refs" / "heads" / "main").exists()
    assert {branch: commit_of(folder, branch) for branch in commits} == commits
    moved = move(folder, "a.b")
    assert commit_of(folder, "a.b") == moved != commits["a.b"]
    assert default_branch(folder) == "main"


@pytest.mark.parametrize(
    "branch",
    [
        *("", "nope", "deep", "deep/er", "main/", "/main", "heads/main", "refs/heads/main"),
        *("../../HEAD", "..", "deep/../main", ".", "./main", "a//b", "main\n", "main\0", "HEAD"),
        *("x" * 300, "main lock", "мain"),
    ],
)
def test_what_is_no_branch_has_no_commit(bare: tuple[Path, dict[str, str]], branch: str) -> None:
    assert commit_of(bare[0], branch) is None


@pytest.mark.parametrize("content", ["", "ref: refs/heads/main", "zz" * 20, "a" * 39, "\udcff"])
def test_a_damaged_branch_has_no_commit(tmp_path: Path, content: str) -> None:
    bare_repository(tmp_path / "r.git")
    file = tmp_path / "r.git" / "refs" / "heads" / "main"
    file.write_text(content, "utf-8", errors="surrogateescape")
    assert commit_of(tmp_path / "r.git", "main") is None


def test_a_folder_that_is_no_repository_has_no_branches(tmp_path: Path) -> None:
    assert commit_of(tmp_path, "main") is None
    assert default_branch(tmp_path) == "main"


@given(branch=st.text(max_size=30))
def test_no_name_leads_out_of_the_branches(bare: tuple[Path, dict[str, str]], branch: str) -> None:
    folder, commits = bare
    assert commit_of(folder, branch) == commits.get(branch)
