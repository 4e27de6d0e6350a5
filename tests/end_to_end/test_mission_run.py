"""One mission from the command line, on real parts; only the models are played."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Cockpit

pytestmark = [pytest.mark.slow, pytest.mark.real_cli]
GOAL = "Add a file called NOTES.md with one line of text"
CRITERION = "NOTES.md at the root of the repository holds one line"


def make_repository(folder: Path, files: dict[str, str]) -> Path:
    """A git repository with one commit."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Begin"]):
        who = ["-c", "user.name=A", "-c", "user.email=a@example.invalid"]
        subprocess.run(["git", *who, *words], cwd=folder, check=True)
    return folder


def digest_of(folder: Path) -> str:
    """Every byte, mode and time of a folder, its git folder included."""
    rows = [
        f"{path.relative_to(folder)} {path.lstat().st_mode} {path.lstat().st_mtime_ns} "
        + (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in sorted(folder.rglob("*"))
    ]
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


def test_a_rehearsal_runs_from_idea_to_a_closed_gate(cockpit: Cockpit) -> None:
    ended = cockpit("rehearse", "--json")
    assert ended.code == 0, ended.err
    said = ended.json()
    assert (said["decision"], said["gate"]["code"]) == ("AUTO_MERGE", "REMOTE_WRITES_DISABLED")
    assert [check["status"] for check in said["gate"]["checks"]] == ["refused"] + [
        "not_checked"
    ] * 9
    assert {v["family"]: v["verdict"] for v in said["verdicts"]} == {
        "openai": "pass",
        "gemini": "pass",
    }
    assert {task["state"] for task in said["tasks"]} == {"done"}
    # Three tasks and two verdicts; what the session used before is not the mission's.
    assert said["usage"]["total"]["calls"] == 5
    assert said["rehearsal"] == "happy"
    profile = ("--profile", "rehearsal")
    evidence = cockpit(*profile, "mission", "evidence", said["mission"], "--json").json()
    assert evidence["intact"]
    assert evidence["digest"] == said["digest"]
    assert cockpit(*profile, "journal", "verify", "--json").json()["ok"]


def test_the_draft_pull_request_is_opened_where_it_is_allowed(cockpit: Cockpit) -> None:
    allowed = (
        *("--set", "system.allow_remote_writes=true"),
        *("--set", 'system.remote_write_repos=["harbor"]'),
    )
    ended = cockpit(*allowed, "rehearse", "--local-remote", "--json")
    assert ended.code == 0, ended.out + ended.err
    said = ended.json()
    assert said["state"] == "done"
    assert said["pull_request"]["draft"] is True
    assert {check["status"] for check in said["gate"]["checks"]} == {"passed"}


@pytest.mark.parametrize(
    ("script", "code", "what"),
    [
        ("forbidden_path", 12, "HOLD-FORBIDDEN-PATH"),
        ("failing_test", 12, "HOLD-CODER-FAILED"),
        ("malformed_plan", 0, "REMOTE_WRITES_DISABLED"),
        ("rate_limit", 0, "REMOTE_WRITES_DISABLED"),
        ("disagreeing_validators", 12, "HOLD-VALIDATOR-DISAGREE"),
        ("coder_crash", 12, "HOLD-CODER-FAILED"),
    ],
)
def test_a_script_ends_as_its_title_says(
    cockpit: Cockpit, script: str, code: int, what: str
) -> None:
    ended = cockpit("rehearse", script, "--json")
    said = ended.json()
    assert ended.code == code, ended.out + ended.err
    assert what in (said.get("code"), said["gate"]["code"])


def test_a_failing_test_is_mended_by_another_attempt_in_the_same_worktree(
    cockpit: Cockpit,
) -> None:
    held = cockpit("rehearse", "failing_test", "--json").json()
    profile = ("--profile", "rehearsal")
    started = cockpit(*profile, "daemon", "start")
    assert started.code == 0, started.err
    try:
        hold = held["hold"]["id"]
        assert cockpit(*profile, "hold", "recover", hold, "--json").code == 0
        follow = cockpit(*profile, "mission", "wait", held["mission"], "--json")
        assert follow.json()["decision"] == "AUTO_MERGE"
        assert [task["attempts"] for task in follow.json()["tasks"]] == [2]
    finally:
        cockpit(*profile, "daemon", "stop")


def test_any_repository_is_left_as_it_was_and_nothing_is_claimed(
    cockpit: Cockpit, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    folder = make_repository(tmp_path / "repo", {"a.txt": "a\n", ".gitattributes": "* filter=x\n"})
    config = folder / ".git" / "config"
    config.write_text(
        config.read_text()
        + f'[core]\n\tfsmonitor = touch {canary}\n[filter "x"]\n\tclean = touch {canary}; cat\n'
    )
    (folder / "a.txt").write_text("dirty\n")
    before = digest_of(folder)
    words = ("mission", "run", "--repo", folder, "--goal", GOAL, "--criterion", CRITERION)
    ended = cockpit(*words, "--yes", "--rehearsal", "--run-commands-on-host", "--json")
    said = ended.json()
    assert (ended.code, said["decision"], said["goal_attempted"]) == (10, "WAITING", False)
    assert digest_of(folder) == before
    assert not canary.exists()


def test_yes_approves_the_plan_and_never_the_ambiguity(cockpit: Cockpit, tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "repo", {"a.txt": "a\n"})
    vague = ("mission", "run", "--repo", folder, "--goal", "make it better and nicer", "--yes")
    ended = cockpit(*vague, "--rehearsal", "--json")
    said = ended.json()
    assert (ended.code, said["code"]) == (14, "CLARIFY_GATE_BLOCKED")
    fields = [question["id"] for question in said["questions"]]
    assert fields == ["acceptance-criteria", "done-definition", "target"]
    answers = (
        *("--answer", "acceptance-criteria=Running `cat a.txt` prints the letter b"),
        *("--answer", "target=a.txt"),
    )
    assert cockpit(*vague, *answers, "--rehearsal", "--json").code == 10


@pytest.mark.parametrize("make", ["empty", "bare", "missing", "plain folder"])
def test_what_is_no_usable_repository_is_a_hold(
    cockpit: Cockpit, tmp_path: Path, make: str
) -> None:
    folder = tmp_path / "repo"
    if make in ("empty", "bare"):
        bare = ["--bare"] if make == "bare" else []
        subprocess.run(["git", "init", "-q", *bare, folder], check=True)
    elif make == "plain folder":
        folder.mkdir()
    words = ("mission", "run", "--repo", folder, "--goal", GOAL, "--yes", "--rehearsal", "--json")
    ended = cockpit(*words)
    assert (ended.code, ended.json()["code"]) == (12, "HOLD-TARGET-REPO-UNAVAILABLE")


def test_without_accounts_it_ends_in_a_hold_and_never_in_a_rehearsal(
    cockpit: Cockpit, tmp_path: Path
) -> None:
    folder = make_repository(tmp_path / "repo", {"a.txt": "a\n"})
    words = ("mission", "run", "--repo", folder, "--goal", GOAL, "--criterion", CRITERION, "--yes")
    ended = cockpit(*words, "--json")
    assert (ended.code, ended.json()["code"]) == (12, "HOLD-DOCKER-UNAVAILABLE")
    assert cockpit("repo", "set", "repo", "runner.host", "true").code == 0
    variables = {
        "ANTHROPIC_API_KEY": "sk-ant-api03-never-taken-from-the-shell-0000",
        "HOME": "/nonexistent",
    }
    ended = cockpit(*words, "--json", variables=variables)
    assert (ended.code, ended.json()["code"]) == (12, "HOLD-PLANNER-AUTH")
    assert ended.json()["rehearsal"] is None
