"""An encrypted file as a vault: scrypt makes the key, Fernet seals the secrets, 0600 on disk.

The passphrase is kept nowhere; the derived key lives in this process only.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from core.errors import Broken, Invalid, Refused
from core.private_files import locked_file, read_private, write_private
from core.vault import SECRETS, check_secret, secret_kind, vault_locked

KEY_FILE_VARIABLE = "COCKPIT_VAULT_KEY_FILE"
CREDENTIAL = "cockpit-vault-key"
SHORTEST_PASSPHRASE = 8
_LONGEST_PASSPHRASE = 1024
_FILE_LIMIT = 1024 * 1024
_WORK = 2**17  # scrypt's N: 128 MiB and a few tenths of a second
_SALT_BYTES = 16
_KEY_BYTES = 32

Passphrase = Callable[[], SecretStr | None]


class _Sealed(BaseModel):
    """The file as it stands on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1
    n: Annotated[int, Field(ge=2**10, le=2**20)]
    r: Literal[8] = 8
    p: Literal[1] = 1
    salt: str
    check: str
    secrets: str


@dataclass(frozen=True, slots=True)
class _Key:
    salt: str
    n: int
    check: str
    fernet: Fernet = field(repr=False)

    def opens(self, sealed: _Sealed) -> bool:
        return (self.salt, self.n, self.check) == (sealed.salt, sealed.n, sealed.check)


_contents = TypeAdapter(dict[str, str])


def _derive(passphrase: str, salt: str, n: int) -> _Key:
    raw = Scrypt(salt=base64.b64decode(salt), length=2 * _KEY_BYTES, n=n, r=8, p=1).derive(
        passphrase.encode()
    )
    check = hashlib.sha256(raw[_KEY_BYTES:]).hexdigest()
    return _Key(salt, n, check, Fernet(base64.urlsafe_b64encode(raw[:_KEY_BYTES])))


class FileVault:
    """A vault in one file.

    Args:
        path: of the file; it need not exist.
        passphrase: asked for one when the vault is used while locked; None from it means that
            only :meth:`unlock` opens the vault.
        work: scrypt's N for a new file.
    """

    kind = "file"

    def __init__(self, path: Path, passphrase: Passphrase, *, work: int = _WORK):
        self._path = path
        self._passphrase = passphrase
        self._work = work
        self._key: _Key | None = None
        self._guard = threading.RLock()

    def __repr__(self) -> str:
        return f"FileVault({str(self._path)!r}, {'locked' if self.locked else 'open'})"

    @property
    def locked(self) -> bool:
        """Whether no key has been derived in this process yet."""
        return self._key is None

    def get(self, name: str) -> SecretStr | None:
        """See :class:`core.vault.Vault`."""
        secret_kind(name)
        with self._guard:
            value = self._read().get(name)
        return None if value is None else SecretStr(value)

    def set(self, name: str, value: str) -> None:
        """See :class:`core.vault.Vault`."""
        secret = check_secret(name, value)
        self._change(lambda secrets: {**secrets, name: secret.get_secret_value()})

    def remove(self, name: str) -> bool:
        """See :class:`core.vault.Vault`."""
        secret_kind(name)
        before = self._change(
            lambda secrets: {key: value for key, value in secrets.items() if key != name}
        )
        return name in before

    def names(self) -> tuple[str, ...]:
        """See :class:`core.vault.Vault`."""
        with self._guard:
            return tuple(sorted(self._read().keys() & SECRETS.keys()))

    def unlock(self, passphrase: str) -> None:
        """Open the vault for this process; a vault that does not exist yet is made.

        Raises:
            Refused: ``VAULT_PASSPHRASE_WRONG``.
            Invalid: too short for a new vault, or too long.
        """
        with self._guard, locked_file(self._lock_path):
            sealed = self._load()
            if sealed is None:
                self._key = self._new_key(passphrase)
                self._seal({}, self._key)
            else:
                self._key = self._open(sealed, passphrase)

    def lock(self) -> None:
        """Forget the key."""
        with self._guard:
            self._key = None

    def change_passphrase(self, old: str, new: str) -> None:
        """Seal everything anew; other processes are locked until they know the new one.

        Raises:
            Refused: ``VAULT_PASSPHRASE_WRONG``.
            Invalid: the new one is too short or too long.
        """
        with self._guard, locked_file(self._lock_path):
            sealed = self._load()
            if sealed is None:
                raise Refused("VAULT_ABSENT", "There is no vault yet.", recovery="Store a secret.")
            secrets = self._unseal(sealed, self._open(sealed, old))
            key = self._new_key(new)
            self._seal(secrets, key)
            self._key = key

    @property
    def _lock_path(self) -> Path:
        return self._path.with_name(f"{self._path.name}.lock")

    def _change(
        self, change: Callable[[Mapping[str, str]], Mapping[str, str]]
    ) -> Mapping[str, str]:
        with self._guard, locked_file(self._lock_path):
            sealed = self._load()
            key = self._key_for(sealed)
            before = {} if sealed is None else self._unseal(sealed, key)
            after = change(before)
            if after != before or sealed is None:
                self._seal(after, key)
            self._key = key
            return before

    def _read(self) -> Mapping[str, str]:
        sealed = self._load()
        if sealed is None:
            return {}
        self._key = self._key_for(sealed)
        return self._unseal(sealed, self._key)

    def _key_for(self, sealed: _Sealed | None) -> _Key:
        if self._key is not None and (sealed is None or self._key.opens(sealed)):
            return self._key
        self._key = None
        given = self._passphrase()
        if given is None:
            raise vault_locked("it needs its passphrase")
        if sealed is None:
            return self._new_key(given.get_secret_value())
        return self._open(sealed, given.get_secret_value())

    def _new_key(self, passphrase: str) -> _Key:
        _check_length(passphrase)
        salt = base64.b64encode(os.urandom(_SALT_BYTES)).decode()
        return _derive(passphrase, salt, self._work)

    def _open(self, sealed: _Sealed, passphrase: str) -> _Key:
        if len(passphrase) > _LONGEST_PASSPHRASE:
            raise _wrong_passphrase()
        key = _derive(passphrase, sealed.salt, sealed.n)
        if not hmac.compare_digest(key.check.encode(), sealed.check.encode()):
            raise _wrong_passphrase()
        return key

    def _load(self) -> _Sealed | None:
        try:
            content = read_private(
                self._path, field="vault", limit=_FILE_LIMIT, closed=stat.S_IRWXG | stat.S_IRWXO
            )
        except FileNotFoundError:
            return None
        try:
            sealed = _Sealed.model_validate_json(content)
            base64.b64decode(sealed.salt, validate=True)
        except (ValidationError, binascii.Error, ValueError):
            raise self._damaged("it is cut short or not a vault") from None
        if sealed.n & (sealed.n - 1):
            raise self._damaged("its scrypt parameter is no power of two")
        return sealed

    def _unseal(self, sealed: _Sealed, key: _Key) -> dict[str, str]:
        try:
            return _contents.validate_json(key.fernet.decrypt(sealed.secrets.encode()))
        except (InvalidToken, ValidationError):
            raise self._damaged("its content was changed") from None

    def _seal(self, secrets: Mapping[str, str], key: _Key) -> None:
        token = key.fernet.encrypt(json.dumps(dict(secrets)).encode()).decode()
        sealed = _Sealed(n=key.n, salt=key.salt, check=key.check, secrets=token)
        write_private(self._path, sealed.model_dump_json().encode())

    def _damaged(self, why: str) -> Broken:
        return Broken(
            f"The vault {self._path} is damaged: {why}. Put back a copy, or move it away and "
            "store the secrets again.",
            data={"file": str(self._path), "reason": why},
        )


def _wrong_passphrase() -> Refused:
    return Refused(
        "VAULT_PASSPHRASE_WRONG",
        "That passphrase does not open the vault.",
        recovery="Try again, or check the file that COCKPIT_VAULT_KEY_FILE names.",
    )


def _check_length(passphrase: str) -> None:
    if not SHORTEST_PASSPHRASE <= len(passphrase) <= _LONGEST_PASSPHRASE:
        raise Invalid(
            "passphrase",
            f"A passphrase has {SHORTEST_PASSPHRASE} to {_LONGEST_PASSPHRASE} characters.",
            recovery="Choose a longer one; several words are easy to remember.",
        )


def passphrase_from(environment: Mapping[str, str]) -> SecretStr | None:
    """The passphrase that a file gives: ``COCKPIT_VAULT_KEY_FILE``, else a service credential.

    Returns None when neither is there. One trailing line break is not part of it.

    Raises:
        Invalid: the file is missing though named, a link, empty, no text, or open to others.
    """
    named = environment.get(KEY_FILE_VARIABLE)
    if named is not None:
        content = _read_key(Path(named), KEY_FILE_VARIABLE, stat.S_IRWXG | stat.S_IRWXO)
        if content is None:
            raise Invalid(
                KEY_FILE_VARIABLE,
                f"The file {named} does not exist.",
                recovery=f"Write the passphrase there (chmod 600), or unset {KEY_FILE_VARIABLE}.",
            )
        return content
    folder = environment.get("CREDENTIALS_DIRECTORY")
    # systemd shows a credential's access list as group bits, so only the others' must be off.
    return _read_key(Path(folder) / CREDENTIAL, CREDENTIAL, stat.S_IRWXO) if folder else None


def _read_key(path: Path, name: str, closed: int) -> SecretStr | None:
    try:
        content = read_private(path, field=name, limit=4 * _LONGEST_PASSPHRASE, closed=closed)
        text = content.decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise Invalid(
            name, f"The file {path} holds no passphrase.", recovery="Write one line of UTF-8 text."
        )
    return SecretStr(text)
