"""One process owns a journal; a crash frees it; a second one hears who."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cockpit.ownership import Ownership, facts_file, lock_file, owner_of, process_start
from core.errors import Refused
from core.folders import Folders, find_folders

HOLD = """
import sys
from cockpit.ownership import Ownership
from core.folders import find_folders
folders = find_folders("default", {"COCKPIT_HOME": sys.argv[1]}).make()
Ownership.take(folders, kind="daemon", configuration="abc")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return find_folders("default", {"COCKPIT_HOME": str(tmp_path / "home")}).make()


@pytest.fixture
def other(folders: Folders) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the journal."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folders.data.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_owner_says_who_it_is(folders: Folders) -> None:
    assert owner_of(folders) is None
    with Ownership.take(folders, kind="command", configuration="abc"):
        owner = owner_of(folders)
        assert owner is not None
        assert (owner.pid, owner.kind, owner.configuration) == (os.getpid(), "command", "abc")
        assert owner.socket == str(folders.socket)
        for file in (lock_file(folders), facts_file(folders)):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert owner_of(folders) is None


def test_a_second_owner_in_this_process_is_refused(folders: Folders) -> None:
    with Ownership.take(folders, kind="daemon"):
        with pytest.raises(Refused) as caught:
            Ownership.take(folders, kind="command")
        assert caught.value.code == "JOURNAL_OWNED"
        assert caught.value.data["pid"] == os.getpid()
    Ownership.take(folders, kind="command").release()


def test_releasing_twice_frees_nothing_of_another(folders: Folders) -> None:
    first = Ownership.take(folders, kind="command")
    first.release()
    with Ownership.take(folders, kind="daemon"):
        first.release()
        owner = owner_of(folders)
        assert owner is not None
        assert owner.kind == "daemon"


def test_the_configuration_can_change(folders: Folders) -> None:
    with Ownership.take(folders, kind="daemon", configuration="old") as ownership:
        ownership.tell("new")
        owner = owner_of(folders)
        assert owner is not None
        assert owner.configuration == "new"


@pytest.mark.slow
def test_another_process_is_named(folders: Folders, other: subprocess.Popen[str]) -> None:
    with pytest.raises(Refused) as caught:
        Ownership.take(folders, kind="command")
    refusal = caught.value
    assert (refusal.code, refusal.data["pid"]) == ("JOURNAL_OWNED", other.pid)
    assert refusal.data["socket"] == str(folders.socket)
    assert str(other.pid) in refusal.sentence
    assert str(folders.socket) in refusal.recovery


@pytest.mark.slow
def test_a_killed_owner_frees_it(folders: Folders, other: subprocess.Popen[str]) -> None:
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert owner_of(folders) is None
    with Ownership.take(folders, kind="daemon"):
        owner = owner_of(folders)
        assert owner is not None
        assert owner.pid == os.getpid()


@pytest.mark.slow
def test_removing_the_lock_file_frees_nothing(
    folders: Folders, other: subprocess.Popen[str]
) -> None:
    lock_file(folders).unlink()
    with pytest.raises(Refused, match="JOURNAL_OWNED"):
        Ownership.take(folders, kind="command")


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'{"pid":1}', b"\xff", b'{"x":'])
def test_damaged_facts_are_no_owner(folders: Folders, content: bytes) -> None:
    facts_file(folders).write_bytes(content)
    facts_file(folders).chmod(0o600)
    assert owner_of(folders) is None
    Ownership.take(folders, kind="command").release()


def test_a_reused_pid_is_not_the_owner(folders: Folders) -> None:
    started = process_start(os.getpid())
    assert started is not None
    facts_file(folders).write_text(
        f'{{"pid":{os.getpid()},"started_at":{started - 999},"socket":"","kind":"daemon"}}'
    )
    facts_file(folders).chmod(0o600)
    assert owner_of(folders) is None


def test_no_process_has_no_start() -> None:
    assert process_start(2**22 + 1) is None
