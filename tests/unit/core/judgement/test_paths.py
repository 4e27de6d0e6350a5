"""Forbidden paths: gitignore rules that no spelling of a name gets around."""

import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.judgement.changes import PathChange, shown_path
from core.judgement.paths import PathRules, PathSet
from core.policy import load_policy

DEFAULTS = load_policy().paths.forbidden
RULES = PathRules(DEFAULTS)


def kinds(*changes: PathChange, rules: PathRules = RULES) -> list[str]:
    return [hit.kind for hit in rules.check(changes)]


def link(path: str, target: str) -> PathChange:
    return PathChange("A", path, mode="120000", symlink_target=target)


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.production",
        "app/.env",
        "app/.env.local",
        "secrets/key.txt",
        "app/secrets/deep/key.txt",
        ".github/workflows/ci.yml",
        ".github/CODEOWNERS",
        ".gitlab-ci.yml",
        "AGENTS.md",
        "docs/CLAUDE.md",
        ".claude/settings.json",
        ".cockpit/policy.toml",
        ".git/config",
        ".gitattributes",
        ".gitmodules",
        # Case, width and invisible characters.
        ".ENV",
        "Secrets/Key.txt",
        "claude.MD",
        ".GitHub/x",
        "\uff0egithub/x",
        ".g\u200bithub/x",
        ".\u200dclaude/settings.json",
        "\ufeff.env",
        ".env\u00ad",
        "SECRET\u017f/key.txt",
        # What Windows and HFS+ take for the same.
        ".git /config",
        ".git./config",
        "sub/.git",
        "GIT~1/config",
        "sub/git~1",
        "gi7eba~1",
        "GITMOD~1",
        "CLAUDE~1/settings.json",
        "GITLAB~1.YML",
        ".claude::$INDEX_ALLOCATION/settings.json",
        ".github\\workflows\\ci.yml",
        "a\\..\\.git\\config",
        # Names that end a line, and bytes that are no text.
        "secrets/a\nb",
        "secrets/\n",
        "caf\udce9/.env",
        ".github/\udcff",
    ],
)
def test_forbidden_names_hit(name: str) -> None:
    hits = RULES.check([PathChange("A", name)])

    assert [hit.kind for hit in hits] == ["forbidden"]
    assert hits[0].rule in DEFAULTS
    assert hits[0].path == shown_path(name)


@pytest.mark.parametrize(
    "name",
    [
        "environment.py",
        "src/env",
        ".envrc",
        "secrets",
        "docs/secrets.md",
        "src/.github/x",
        "src/.gitignore",
        ".gitignore",
        "src/agents.py",
        "MY_CLAUDE.md",
        "git/config",
        "notes~1.txt",
        "中文/说明.md",
        "a\nb",
        "\udcff",
    ],
)
def test_other_names_do_not(name: str) -> None:
    assert RULES.check([PathChange("A", name)]) == []


def test_both_names_of_a_rename_and_the_source_of_a_copy_count() -> None:
    assert kinds(PathChange("R", "kept.txt", old_path=".env")) == ["forbidden"]
    assert kinds(PathChange("R", ".env", old_path="kept.txt")) == ["forbidden"]
    assert kinds(PathChange("C", "copy.txt", old_path="secrets/key")) == ["forbidden"]
    assert kinds(PathChange("D", ".github/workflows/ci.yml")) == ["forbidden"]


@pytest.mark.parametrize(
    ("path", "target", "kind"),
    [
        ("a", ".env", "symlink_target"),
        ("a", "./.ENV", "symlink_target"),
        ("docs/a", "../.github", "symlink_target"),
        ("docs/a", "../.github/workflows", "symlink_target"),
        ("docs/a", "..", "symlink_target"),
        ("a", ".", "symlink_target"),
        ("a", "secrets", "symlink_target"),
        ("a", "secrets/\nx", "symlink_target"),
        ("a", "/etc/passwd", "escaping_symlink"),
        ("a", "..", "escaping_symlink"),
        ("docs/a", "../../elsewhere", "escaping_symlink"),
        ("a", "..\\elsewhere", "escaping_symlink"),
        ("a", "C:\\Windows", "escaping_symlink"),
        ("a", "docs/../../x", "escaping_symlink"),
        ("a", "", "escaping_symlink"),
        ("a", "a", "escaping_symlink"),
    ],
)
def test_symlinks_are_judged_by_their_target(path: str, target: str, kind: str) -> None:
    assert kinds(link(path, target)) == [kind]


def test_a_symlink_in_place_of_a_forbidden_folder_is_a_hit() -> None:
    assert kinds(link(".claude", "docs")) == ["forbidden"]
    assert kinds(link("docs/a", "../src/b.py")) == []


def test_a_symlink_through_another_one_is_followed() -> None:
    hop = link("hop", "deep/er")
    assert kinds(hop, link("a", "hop/x.txt")) == []
    around = PathRules(["deep/er/x.txt"])
    assert kinds(hop, link("a", "hop/x.txt"), rules=around) == ["symlink_target"]
    assert kinds(link("b", "c"), link("c", "b")) == ["escaping_symlink", "escaping_symlink"]


def test_a_symlink_whose_target_is_unknown_is_a_hit() -> None:
    assert kinds(PathChange("A", "a", mode="120000")) == ["escaping_symlink"]


def test_submodules_are_hits_before_and_after() -> None:
    assert kinds(PathChange("A", "lib", mode="160000")) == ["submodule"]
    assert kinds(PathChange("D", "lib", mode="000000", old_mode="160000")) == ["submodule"]
    assert kinds(PathChange("M", "lib", is_gitlink=True)) == ["submodule"]


def test_a_repo_adds_paths_and_a_negation_is_refused() -> None:
    more = PathRules((*DEFAULTS, "vendor/"))
    assert kinds(PathChange("M", "vendor/a.py"), rules=more) == ["forbidden"]
    for negation in ("!.env", " !.env", "!**"):
        with pytest.raises(Invalid) as refused:
            PathRules((*DEFAULTS, negation))
        assert refused.value.data["field"] == f"forbidden_paths.{len(DEFAULTS)}"


def test_outside_of_the_allowed_paths_all_is_forbidden() -> None:
    rules = PathRules(DEFAULTS, ["src/**", "!src/generated/**"])
    assert kinds(PathChange("M", "src/a.py"), rules=rules) == []
    assert kinds(PathChange("M", "src/generated/a.py"), rules=rules) == ["outside_allowed"]
    assert kinds(PathChange("M", "SRC/a.py"), rules=rules) == ["outside_allowed"]
    assert kinds(PathChange("M", "src/\nx"), rules=rules) == []
    assert kinds(PathChange("R", "src/a", old_path="b"), rules=rules) == ["outside_allowed"]
    assert kinds(link("src/a", "../docs/x"), rules=rules) == ["outside_allowed"]
    assert kinds(PathChange("M", "a"), rules=PathRules(DEFAULTS, [])) == ["outside_allowed"]


@pytest.mark.parametrize("lists", [{"forbidden": ["a", "\\"]}, {"allowed": ["ok", "!"]}])
def test_a_pattern_that_is_none_is_named(lists: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid) as refused:
        PathRules(lists.get("forbidden", DEFAULTS), lists.get("allowed"))
    assert refused.value.data["field"].endswith("_paths.1")


NAMES = st.text(st.characters(exclude_characters="/\0", codec=None), min_size=1, max_size=20)


@given(name=NAMES)
def test_whatever_lies_in_a_forbidden_folder_hits(name: str) -> None:
    for folder in ("secrets", "deep/secrets", ".github", ".claude", ".git"):
        assert kinds(PathChange("A", f"{folder}/{name}"))[:1] == ["forbidden"]


@given(
    name=st.sampled_from([".env", "secrets/key", ".github/x", "AGENTS.md", ".gitmodules"]),
    flips=st.lists(st.booleans(), min_size=16, max_size=16),
    invisible=st.sampled_from(["", "\u200b", "\u2060", "\ufe0f", "\u034f"]),
    place=st.integers(0, 11),
)
def test_spelling_does_not_help(name: str, flips: list[bool], invisible: str, place: int) -> None:
    spelled = "".join(
        char.upper() if flip else char for char, flip in zip(name, flips, strict=False)
    )
    spelled = spelled[:place] + invisible + spelled[place:]
    assert kinds(PathChange("A", spelled)) == ["forbidden"]


@given(names=st.lists(NAMES, min_size=1, max_size=5))
def test_any_path_gets_an_answer(names: list[str]) -> None:
    hits = RULES.check([PathChange("A", "/".join(names)), link("x", "/".join(names))])
    assert all(hit.path.encode("utf-8") for hit in hits)


def test_a_set_names_the_pattern_as_it_was_written() -> None:
    assert PathSet(["Docs/*.MD"]).rule_for("docs/a.md") == "Docs/*.MD"
    assert PathSet([]).rule_for("docs/a.md") is None


PARTS = [
    ".env", ".env.x", "secrets", "a", "b.py", ".github", "AGENTS.md", "CLAUDE.md", ".claude",
    ".cockpit", ".gitattributes", ".gitlab-ci.yml", "x y", "docs", "vendor", "中", "a\nb", "-x",
    "!q", "#h",
]  # fmt: skip
ADDED = ("vendor/", "docs/**/b.py", "/a/*.py", "x\\ y", "\\!q", "[!a-z]h")


@pytest.mark.slow
def test_git_itself_would_match_the_same(tmp_path: Path) -> None:
    chance = random.Random(5)
    paths = sorted({"/".join(chance.choices(PARTS, k=chance.randint(1, 4))) for _ in range(2000)})
    patterns = (*DEFAULTS, *ADDED)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(["git", "init", "-q", "repo"], cwd=tmp_path, env=environment, check=True)
    (tmp_path / "repo/.git/info/exclude").write_text("\n".join(patterns), encoding="utf-8")
    answer = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=tmp_path / "repo",
        env=environment,
        input="\0".join(paths).encode(),
        capture_output=True,
        check=True,
    )
    ignored = {path.decode() for path in answer.stdout.split(b"\0") if path}

    rules = PathRules(patterns)
    assert {path for path in paths if rules.check([PathChange("A", path)])} == ignored
    assert 0 < len(ignored) < len(paths)
