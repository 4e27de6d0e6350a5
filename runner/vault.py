"""The system's keyring as a vault, and the choice between it and an encrypted file.

A backend that stores nothing, forgets, or stores in clear is refused by name.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from secrets import token_urlsafe

from keyring.backend import KeyringBackend
from pydantic import SecretStr

from core.errors import Refused, Unavailable
from core.folders import Folders
from core.settings import Settings
from core.vault import SECRETS, Vault, check_secret, secret_kind, vault_locked
from runner.vault_file import FileVault, passphrase_from

SERVICE = "operator-cockpit"
_LEAST_PRIORITY = 1
_REFUSED_MODULES = ("keyring.backends.fail", "keyring.backends.null", "keyrings.alt")
_REFUSED_NAMES = ("plaintext", "uncrypted", "nullkeyring")


def backend_refusal(backend: KeyringBackend) -> str | None:
    """Why a keyring backend must not keep secrets, or None when it may.

    A chain is as weak as its weakest link, and an empty one keeps nothing.
    """
    from keyring.backends.chainer import ChainerBackend

    if isinstance(backend, ChainerBackend):
        links = list(backend.backends)
        reasons = [reason for link in links if (reason := backend_refusal(link))]
        return reasons[0] if reasons else (None if links else "it is an empty chain")
    for kind in type(backend).__mro__:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if kind.__module__.startswith(_REFUSED_MODULES):
            return f"{name} is not safe"
        if any(word in kind.__qualname__.lower() for word in _REFUSED_NAMES):
            return f"{name} stores secrets in clear"
    return _weak_priority(backend)


def _weak_priority(backend: KeyringBackend) -> str | None:
    name = f"{type(backend).__module__}.{type(backend).__qualname__}"
    try:
        priority = float(backend.priority)
    except (RuntimeError, OSError):  # its way of saying no, and a bus that is not there
        return f"{name} does not work here"
    return None if priority >= _LEAST_PRIORITY else f"{name} has too low a priority"


class KeyringVault:
    """A vault in the system's keyring.

    A keyring cannot list, so :meth:`names` asks for each known secret: an index of its own could
    be wrong after a crash or a change by another program.

    Args:
        backend: checked here.
        owner: tells data folders apart (their digest).

    Raises:
        Refused: ``VAULT_BACKEND_REFUSED``.
    """

    kind = "keyring"
    locked = False  # whether it is shows when it is asked

    def __init__(self, backend: KeyringBackend, owner: str):
        reason = backend_refusal(backend)
        if reason is not None:
            raise Refused(
                "VAULT_BACKEND_REFUSED",
                f"This keyring must not keep secrets: {reason}.",
                recovery="Install a keyring service, or set system.vault to 'file'.",
            )
        self._backend = backend
        self._service = f"{SERVICE}-{owner}"

    def __repr__(self) -> str:
        return f"KeyringVault({type(self._backend).__qualname__})"

    def get(self, name: str) -> SecretStr | None:
        """See :class:`core.vault.Vault`."""
        secret_kind(name)
        with _failures():
            value = self._backend.get_password(self._service, name)
        return None if value is None else SecretStr(value)

    def set(self, name: str, value: str) -> None:
        """See :class:`core.vault.Vault`. What was stored is read back, since a backend may forget.

        Raises:
            Unavailable: ``VAULT_UNAVAILABLE`` when the keyring did not keep it.
        """
        secret = check_secret(name, value).get_secret_value()
        with _failures():
            self._backend.set_password(self._service, name, secret)
            kept = self._backend.get_password(self._service, name) == secret
        if not kept:
            raise _unavailable("it did not keep the secret")

    def remove(self, name: str) -> bool:
        """See :class:`core.vault.Vault`."""
        secret_kind(name)
        if self.get(name) is None:
            return False
        with _failures():
            self._backend.delete_password(self._service, name)
        return True

    def names(self) -> tuple[str, ...]:
        """See :class:`core.vault.Vault`."""
        return tuple(sorted(name for name in SECRETS if self.get(name) is not None))

    def unlock(self, passphrase: str) -> None:
        """A keyring is unlocked by the desktop's session, never with a passphrase given to us.

        Raises:
            Refused: ``VAULT_UNLOCK_ELSEWHERE``.
        """
        del passphrase
        raise Refused(
            "VAULT_UNLOCK_ELSEWHERE",
            "The secrets are in the system's keyring, which the desktop's session unlocks.",
            recovery="Unlock the keyring there, or set system.vault to 'file'.",
        )


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what keyrings raise into holds; their own texts are dropped, they may hold values."""
    locked, broken = _backend_failures()
    try:
        yield
    except locked:
        raise vault_locked("the system's keyring is locked") from None
    except broken as error:
        raise _unavailable(f"{type(error).__name__} from the keyring") from None


def _backend_failures() -> tuple[tuple[type[Exception], ...], tuple[type[Exception], ...]]:
    """What says "locked", and what says "broken"; keyring lets its Linux client's own through."""
    from keyring.errors import InitError, KeyringError, KeyringLocked

    locked: tuple[type[Exception], ...] = (KeyringLocked, InitError)
    broken: tuple[type[Exception], ...] = (KeyringError, OSError, RuntimeError)
    # The client is keyring's dependency, not ours: it is looked at only where keyring loaded it.
    client, bus = sys.modules.get("secretstorage.exceptions"), sys.modules.get("jeepney")
    if client is None or bus is None:
        return locked, broken
    locked += (client.LockedException, client.PromptDismissedException)
    return locked, (*broken, client.SecretStorageException, bus.DBusErrorResponse)


def _unavailable(why: str) -> Unavailable:
    return Unavailable(
        "VAULT_UNAVAILABLE",
        f"The system's keyring cannot be used: {why}.",
        recovery="Start a keyring service, or set system.vault to 'file'.",
    )


def open_vault(folders: Folders, settings: Settings, environment: Mapping[str, str]) -> Vault:
    """The vault of a profile, by ``system.vault``.

    ``auto`` takes the file where one exists, or where a key file or service credential is given;
    else a keyring that may keep secrets; else the file. A throw-away profile gets a throw-away
    file vault that is open and never touches the operator's keyring.

    Raises:
        Refused: ``VAULT_BACKEND_REFUSED`` when ``keyring`` is demanded and none will do.
    """
    if folders.temporary:
        once = SecretStr(token_urlsafe(32))
        return FileVault(folders.vault_file, lambda: once)
    file = FileVault(folders.vault_file, lambda: passphrase_from(environment))
    choice = settings.system.vault
    if choice == "file" or (choice == "auto" and _prefers_file(folders, environment)):
        return file
    import keyring

    backend = keyring.get_keyring()
    if choice == "auto" and backend_refusal(backend) is not None:
        return file
    return KeyringVault(backend, folders.digest)


def _prefers_file(folders: Folders, environment: Mapping[str, str]) -> bool:
    return folders.vault_file.exists() or passphrase_from(environment) is not None
