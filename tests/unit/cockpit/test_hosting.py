"""A command attaches to the owner, or is the owner and serves the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from cockpit import daemon
from cockpit.client import InProcessClient, SocketClient
from cockpit.hosting import attached, owned_core
from cockpit.ownership import Ownership, owner_of
from cockpit.profile import Profile
from cockpit.rpc.server import bind_private
from core.errors import Refused, Unavailable
from core.folders import Folders, find_folders
from core.settings import Settings
from runner.vault_file import FileVault
from tests.doors import SmallDesk, small_desk

pytestmark = pytest.mark.asyncio


@dataclass
class SmallCore:
    desk: SmallDesk
    vault: FileVault


@dataclass
class Opener:
    """Opens small cores and counts how many are open."""

    desk: SmallDesk = field(default_factory=small_desk)
    opened: int = 0
    open: int = 0

    @asynccontextmanager
    async def __call__(self, folders: Folders, settings: Settings) -> AsyncIterator[SmallCore]:
        vault = FileVault(folders.vault_file, lambda: None, work=2**10)
        self.opened += 1
        self.open += 1
        try:
            yield SmallCore(self.desk, vault)
        finally:
            self.open -= 1


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    environment = {"COCKPIT_HOME": str(tmp_path / "home")}
    return Profile(find_folders("default", environment), environment)


async def test_without_an_owner_the_command_is_the_owner(profile: Profile) -> None:
    opener = Opener()
    async with attached(profile, open_core=opener) as client:
        assert isinstance(client, InProcessClient)
        owner = owner_of(profile.folders)
        assert owner is not None
        assert owner.kind == "command"
        assert await client.call("test.echo", {"text": "a"}) == {"text": "a"}
    assert (opener.opened, opener.open) == (1, 0)
    assert owner_of(profile.folders) is None
    assert not profile.folders.socket.exists()


async def test_others_attach_to_a_command_meanwhile(profile: Profile) -> None:
    opener = Opener()
    async with owned_core(profile, opener), attached(profile, open_core=opener) as client:
        assert isinstance(client, SocketClient)
        assert await client.call("test.echo", {"text": "a"}) == {"text": "a"}
        status = await client.call("daemon.status")
        assert (status["kind"], status["health"]["state"]) == ("command", "healthy")
        assert (status["clients"], status["journal_head"]) == (1, 0)
        with pytest.raises(Refused, match="NOT_A_DAEMON"):
            await client.call("daemon.stop")
    assert opener.opened == 1


async def test_a_command_that_owns_the_journal_is_no_daemon(profile: Profile) -> None:
    async with owned_core(profile, Opener()):
        facts = await asyncio.to_thread(daemon.status, profile.folders, {})
        assert (facts["running"], facts["kind"]) == (False, "command")
        with pytest.raises(Refused, match="NOT_A_DAEMON"):
            daemon.stop(profile.folders)
        with pytest.raises(Refused, match="JOURNAL_OWNED") as caught:
            daemon.start(profile, [])
        assert caught.value.recovery == "Wait until that command ends."


async def test_in_process_never_attaches(profile: Profile) -> None:
    opener = Opener()
    async with owned_core(profile, opener):
        with pytest.raises(Refused, match="JOURNAL_OWNED"):
            async with attached(profile, in_process=True, open_core=opener):
                pass
    assert opener.opened == 1


async def test_a_named_socket_is_never_replaced_by_another_core(profile: Profile) -> None:
    opener = Opener()
    away = replace(profile, environment={"COCKPIT_SOCKET": "/nowhere/x.sock"})
    with pytest.raises(Unavailable, match="NOT_RUNNING"):
        async with attached(away, open_core=opener):
            pass
    async with owned_core(profile, opener):
        near = replace(profile, environment={"COCKPIT_SOCKET": str(profile.folders.socket)})
        async with attached(near, open_core=opener) as client:
            assert isinstance(client, SocketClient)


async def test_an_owner_that_lets_go_is_waited_for(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = Opener()
    held = Ownership.take(profile.folders.make(), kind="command")
    tries = []

    @asynccontextmanager
    async def once_refused(profile: Profile, open_core: Any) -> AsyncIterator[Any]:
        tries.append(1)
        if len(tries) == 2:
            held.release()
        async with owned_core(profile, open_core) as core:
            yield core

    monkeypatch.setattr("cockpit.hosting.owned_core", once_refused)
    async with attached(profile, open_core=opener) as client:
        assert isinstance(client, InProcessClient)
    assert len(tries) == 2


async def test_a_failing_core_leaves_nothing_owned(profile: Profile) -> None:
    @asynccontextmanager
    async def failing(folders: Folders, settings: Settings) -> AsyncIterator[SmallCore]:
        if folders.profile == "default":
            raise Refused("JOURNAL_TOO_NEW", "Newer.")
        yield SmallCore(small_desk(), FileVault(folders.vault_file, lambda: None))

    with pytest.raises(Refused, match="JOURNAL_TOO_NEW"):
        async with attached(profile, open_core=failing):
            pass
    assert owner_of(profile.folders) is None
    Ownership.take(profile.folders, kind="daemon").release()


async def test_the_owners_vault_is_unlocked_over_the_socket(profile: Profile) -> None:
    opener = Opener()
    passphrase = SecretStr("correct horse battery staple")
    async with owned_core(profile, opener) as core, attached(profile) as client:
        assert (await client.call("daemon.status"))["vault_locked"] is True
        core.vault.unlock(passphrase.get_secret_value())
        core.vault.lock()
        with pytest.raises(Refused, match="VAULT_PASSPHRASE_WRONG"):
            await client.call("vault.unlock", {"passphrase": "something else entirely"})
        for wrong in ({}, {"passphrase": 1}, {"passphrase": "x", "more": 1}):
            with pytest.raises(Refused, match="INVALID_INPUT"):
                await client.call("vault.unlock", wrong)
        answer = await client.call("vault.unlock", {"passphrase": passphrase.get_secret_value()})
        assert answer == {"locked": False, "kind": "file"}
        assert core.vault.locked is False


async def test_an_owner_that_hangs_is_told_of(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cockpit.hosting._SILENCE", 0.05)
    profile.folders.make()
    with bind_private(profile.folders.socket) as listener:
        listener.listen()
        with pytest.raises(Unavailable, match="OWNER_SILENT"):
            async with attached(profile, open_core=Opener()):
                pass
