"""Which keyrings may keep secrets, and which vault a profile gets."""

import gc
from pathlib import Path
from typing import ClassVar

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.errors import KeyringError, KeyringLocked, PasswordSetError

from core.errors import Refused, Unavailable
from core.folders import Folders, find_folders, temporary_folders
from core.settings import Settings
from core.settings.model import System
from runner.vault import KeyringVault, backend_refusal, open_vault
from runner.vault_file import FileVault

OPENAI = "sk-proj-" + "Zz9-" * 10


@pytest.fixture(autouse=True)
def _no_new_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes below must not be offered to later searches for a keyring."""
    monkeypatch.setattr(KeyringBackend, "_classes", set(KeyringBackend._classes))


def backend(
    *, priority: float = 5, module: str = "good.place", name: str = "Keyring"
) -> KeyringBackend:
    class Memory(KeyringBackend):
        kept: ClassVar[dict[tuple[str, str], str]] = {}

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del self.kept[service, username]

    Memory.priority = priority  # type: ignore[assignment]
    Memory.__module__, Memory.__qualname__ = module, name
    return Memory()  # type: ignore[no-untyped-call]


def silent() -> KeyringBackend:
    return null.Keyring()  # type: ignore[no-untyped-call]


def test_a_good_keyring_is_accepted() -> None:
    assert backend_refusal(backend()) is None
    assert backend_refusal(backend(priority=1)) is None


@pytest.mark.parametrize(
    "bad",
    [
        fail.Keyring,
        null.Keyring,
        lambda: backend(priority=0.9),
        lambda: backend(priority=-1),
        lambda: backend(module="keyrings.alt.file", name="PlaintextKeyring"),
        lambda: backend(module="keyrings.alt.file", name="EncryptedKeyring"),
        lambda: backend(module="keyrings.alt.Gnome"),
        lambda: backend(module="elsewhere", name="PlaintextKeyring"),
        type("Mine", (null.Keyring,), {"priority": 9}),
    ],
)
def test_keyrings_that_keep_no_secret_are_refused(bad: object) -> None:
    assert callable(bad)
    with pytest.raises(Refused) as caught:
        KeyringVault(bad(), "0a1b2c3d")
    assert caught.value.code == "VAULT_BACKEND_REFUSED"
    assert "file" in caught.value.recovery


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # WORKAROUND(jeepney-0.9): leaks its socket
def test_a_keyring_that_does_not_work_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from keyring.backends.SecretService import Keyring

    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
    gone = Keyring()  # type: ignore[no-untyped-call]
    reason = backend_refusal(gone)
    assert reason is not None
    assert "does not work here" in reason
    gc.collect()


def test_a_chain_is_as_weak_as_its_weakest_link(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = chainer.ChainerBackend()  # type: ignore[no-untyped-call]
    for links, accepted in (
        ([backend(), backend()], True),
        ([backend(), silent()], False),
        ([backend(), backend(module="keyrings.alt.file")], False),
        ([], False),
    ):
        monkeypatch.setattr(chainer.ChainerBackend, "backends", links)
        assert (backend_refusal(chain) is None) is accepted


def test_data_folders_share_no_secret() -> None:
    shared = backend()
    KeyringVault(shared, "aaaaaaaa").set("openai_api_key", OPENAI)
    assert KeyringVault(shared, "bbbbbbbb").names() == ()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyringLocked(OPENAI), "HOLD-VAULT-LOCKED"),
        (PasswordSetError(OPENAI), "VAULT_UNAVAILABLE"),
        (KeyringError(OPENAI), "VAULT_UNAVAILABLE"),
        (OSError(OPENAI), "VAULT_UNAVAILABLE"),
    ],
)
def test_a_failing_keyring_is_a_hold_without_its_words(error: Exception, code: str) -> None:
    broken = backend()

    def fails(*_: object) -> None:
        raise error

    type(broken).set_password = fails  # type: ignore[assignment,method-assign]
    with pytest.raises(Unavailable) as caught:
        KeyringVault(broken, "0a1b2c3d").set("openai_api_key", OPENAI)
    assert caught.value.code == code
    assert OPENAI not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_keyring_that_forgets_is_noticed() -> None:
    forgetful = backend()
    type(forgetful).set_password = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="did not keep"):
        KeyringVault(forgetful, "0a1b2c3d").set("openai_api_key", OPENAI)


def test_a_keyring_takes_no_passphrase() -> None:
    with pytest.raises(Refused) as caught:
        KeyringVault(backend(), "0a1b2c3d").unlock("pass phrase")
    assert caught.value.code == "VAULT_UNLOCK_ELSEWHERE"


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return find_folders("default", {"COCKPIT_HOME": str(tmp_path / "home")}).make()


def settings(vault: str) -> Settings:
    return Settings(system=System.model_validate({"vault": vault}))


def with_keyring(monkeypatch: pytest.MonkeyPatch, chosen: KeyringBackend) -> None:
    monkeypatch.setattr(keyring, "get_keyring", lambda: chosen)


def test_auto_takes_a_safe_keyring(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    with_keyring(monkeypatch, backend())
    assert open_vault(folders, settings("auto"), {}).kind == "keyring"


def test_auto_falls_back_to_the_file_and_demanding_a_keyring_does_not(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_keyring(monkeypatch, silent())
    assert open_vault(folders, settings("auto"), {}).kind == "file"
    with pytest.raises(Refused, match="must not keep"):
        open_vault(folders, settings("keyring"), {})


def test_secrets_in_a_file_do_not_vanish_when_a_keyring_appears(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    FileVault(folders.vault_file, lambda: None, work=2**10).unlock("pass phrase")
    with_keyring(monkeypatch, backend())
    assert open_vault(folders, settings("auto"), {}).kind == "file"


def test_a_key_file_asks_for_the_file_and_opens_it(folders: Folders, tmp_path: Path) -> None:
    FileVault(folders.vault_file, lambda: None, work=2**10).unlock("pass phrase")
    key = tmp_path / "key"
    key.write_text("pass phrase\n")
    key.chmod(0o600)
    found = open_vault(folders, settings("auto"), {"COCKPIT_VAULT_KEY_FILE": str(key)})
    assert found.names() == ()
    assert not found.locked


@pytest.mark.slow
def test_a_throw_away_profile_never_touches_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> KeyringBackend:
        raise AssertionError("the operator's keyring was asked")

    monkeypatch.setattr(keyring, "get_keyring", asked)
    with temporary_folders() as temporary:
        vault = open_vault(temporary, settings("keyring"), {})
        vault.set("openai_api_key", OPENAI)
        assert vault.names() == ("openai_api_key",)
