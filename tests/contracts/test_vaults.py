"""What every vault promises, asked of the encrypted file and of a real keyring service."""

import gc
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.errors import Invalid, Unavailable
from core.vault import SECRETS, Vault
from runner.vault import KeyringVault
from runner.vault_file import FileVault

CLAUDE = "sk-ant-oat01-" + "a1B2_" * 8
OPENAI = "sk-proj-" + "Zz9-" * 10
GITHUB = "ghp_" + "k" * 36

NEEDED = ("dbus-daemon", "gnome-keyring-daemon")
ABSENT = [name for name in NEEDED if shutil.which(name) is None]

Reopen = Callable[[], Vault]


class KeyringService:
    """A session bus and a keyring daemon of this test's own, with a home of their own."""

    def __init__(self, home: Path, *, unlocked: bool):
        for folder in (".cache", ".local/share/keyrings", "run"):
            (home / folder).mkdir(parents=True, mode=0o700)
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
        }
        self._bus = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--print-address"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        )
        assert self._bus.stdout is not None
        self.address = self._bus.stdout.readline().decode().strip()
        self._environment["DBUS_SESSION_BUS_ADDRESS"] = self.address
        self._daemon = self._start_daemon(unlocked)

    def _start_daemon(self, unlocked: bool) -> subprocess.Popen[bytes]:
        options = ["--unlock"] if unlocked else []
        daemon = subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", "--components=secrets", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        )
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        daemon.stdin.write(b"\n")
        daemon.stdin.close()
        daemon.stdout.readline()  # it says where its control folder is once it serves
        return daemon

    def end_daemon(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(10)

    def close(self) -> None:
        for process in (self._daemon, self._bus):
            process.terminate()
            process.wait(10)
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def keyring_service(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KeyringService]:
    service = KeyringService(tmp_path / "home", unlocked=getattr(request, "param", True))
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", service.address)
    try:
        yield service
    finally:
        service.close()


def secret_service_vault() -> Vault:
    from keyring.backends.SecretService import Keyring

    return KeyringVault(Keyring(), "0a1b2c3d")  # type: ignore[no-untyped-call]


@pytest.fixture(
    params=[
        "file",
        pytest.param(
            "keyring",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}"),
            ],
        ),
    ]
)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    if request.param == "keyring":
        request.getfixturevalue("keyring_service")
        return secret_service_vault
    path = tmp_path / "vault.json"
    return lambda: FileVault(path, lambda: SecretStr("correct horse"), work=2**10)


@pytest.fixture
def vault(reopen: Reopen) -> Vault:
    return reopen()


def value(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def test_a_new_vault_is_empty(vault: Vault) -> None:
    assert vault.names() == ()
    assert vault.get("openai_api_key") is None


def test_what_was_stored_is_there_after_opening_again(vault: Vault, reopen: Reopen) -> None:
    vault.set("claude_oauth_token", CLAUDE)
    vault.set("github_token", f"  {GITHUB}\n")
    other = reopen()
    assert value(other.get("claude_oauth_token")) == CLAUDE
    assert value(other.get("github_token")) == GITHUB
    assert other.names() == ("claude_oauth_token", "github_token")


def test_a_secret_is_replaced(vault: Vault) -> None:
    vault.set("openai_api_key", OPENAI)
    vault.set("openai_api_key", OPENAI + "x")
    assert value(vault.get("openai_api_key")) == OPENAI + "x"
    assert vault.names() == ("openai_api_key",)


def test_a_removed_secret_is_gone(vault: Vault, reopen: Reopen) -> None:
    vault.set("openai_api_key", OPENAI)
    assert vault.remove("openai_api_key")
    assert not vault.remove("openai_api_key")
    assert reopen().get("openai_api_key") is None
    assert vault.names() == ()


@pytest.mark.parametrize("name", ["", "openai", "OPENAI_API_KEY", "../x", "github_token\n"])
def test_unknown_names_are_refused(vault: Vault, name: str) -> None:
    for act in (vault.get, vault.remove, lambda each: vault.set(each, OPENAI)):
        with pytest.raises(Invalid):
            act(name)


def test_a_value_of_another_form_is_refused_and_not_repeated(vault: Vault) -> None:
    vault.set("openai_api_key", OPENAI)
    for bad in ("", "hunter2", CLAUDE, OPENAI + " x", OPENAI + "\0", "sk-" + "x" * 9000):
        with pytest.raises(Invalid) as caught:
            vault.set("openai_api_key", bad)
        told = str(caught.value) + repr(caught.value.data) + caught.value.recovery
        assert not bad.strip() or bad.strip() not in told
    assert value(vault.get("openai_api_key")) == OPENAI


def test_no_value_shows_in_a_repr(vault: Vault) -> None:
    vault.set("openai_api_key", OPENAI)
    shown = repr(vault) + repr(vault.get("openai_api_key")) + str(vault.get("openai_api_key"))
    assert OPENAI not in shown
    assert OPENAI not in repr(vars(vault))


def test_threads_lose_nothing(reopen: Reopen) -> None:
    stored = {"openai_api_key": OPENAI, "github_token": GITHUB, "claude_oauth_token": CLAUDE}
    reopen().set("gemini_api_key", "AIza" + "x" * 35)
    vaults = [reopen() for _ in stored]
    threads = [
        threading.Thread(target=vault.set, args=each)
        for vault, each in zip(vaults, stored.items(), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reopen().names() == tuple(sorted({*stored, "gemini_api_key"}))


def test_every_known_secret_says_where_to_get_it() -> None:
    assert set(SECRETS) == {
        "claude_oauth_token",
        "anthropic_api_key",
        "openai_api_key",
        "gemini_api_key",
        "github_token",
    }
    assert all(kind.source and kind.purpose for kind in SECRETS.values())


@pytest.mark.slow
@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")
@pytest.mark.parametrize("keyring_service", [False], indirect=True)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # WORKAROUND(keyring-25.7): leaks its bus
def test_a_locked_keyring_is_a_hold(keyring_service: KeyringService) -> None:
    vault = secret_service_vault()
    with pytest.raises(Unavailable) as caught:
        vault.set("openai_api_key", OPENAI)
    assert caught.value.code == "HOLD-VAULT-LOCKED"
    assert OPENAI not in str(caught.value)
    del caught
    gc.collect()


@pytest.mark.slow
@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # WORKAROUND(keyring-25.7): leaks its bus
def test_a_keyring_that_went_away_is_unavailable(keyring_service: KeyringService) -> None:
    vault = secret_service_vault()
    vault.set("openai_api_key", OPENAI)
    keyring_service.end_daemon()
    with pytest.raises(Unavailable) as caught:
        vault.get("openai_api_key")
    assert caught.value.code in {"VAULT_UNAVAILABLE", "HOLD-VAULT-LOCKED"}
    del caught
    gc.collect()
