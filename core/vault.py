"""The port that keeps secrets, and the closed table of secrets the product knows.

Values travel as ``SecretStr`` and appear in no repr, error, event or log.
"""

import difflib
import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from pydantic import SecretStr

from core.errors import Invalid, Unavailable

_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class SecretKind:
    """A secret that the product can use.

    Attributes:
        name: in the vault.
        purpose: one line for the operator.
        source: where to get one.
        form: what a value must look like as a whole.
    """

    name: str
    purpose: str
    source: str
    form: re.Pattern[str] = field(repr=False)


def _kind(name: str, purpose: str, source: str, form: str) -> SecretKind:
    return SecretKind(name, purpose, source, re.compile(form, re.ASCII))


SECRETS = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _kind(
                "claude_oauth_token",
                "runs planner and coder on a Claude subscription",
                "claude setup-token",
                r"sk-ant-oat\d{2}-[A-Za-z0-9_-]{20,}",
            ),
            _kind(
                "anthropic_api_key",
                "pays for Claude models by the token",
                "https://console.anthropic.com/settings/keys",
                r"sk-ant-api\d{2}-[A-Za-z0-9_-]{20,}",
            ),
            _kind(
                "openai_api_key",
                "asks the OpenAI validator",
                "https://platform.openai.com/api-keys",
                r"sk-(?!ant-)[A-Za-z0-9_-]{20,}",
            ),
            _kind(
                "gemini_api_key",
                "asks the Gemini validator",
                "https://aistudio.google.com/apikey",
                r"AIza[A-Za-z0-9_-]{35}|AQ\.[A-Za-z0-9_-]{20,}",
            ),
            _kind(
                "github_token",
                "pushes a branch and opens the draft pull request",
                "https://github.com/settings/personal-access-tokens",
                r"gh[pousr]_[A-Za-z0-9_.-]{20,}|github_pat_[A-Za-z0-9_]{22,}|[0-9a-f]{40}",
            ),
        )
    }
)


def secret_kind(name: str) -> SecretKind:
    """The known secret of that name.

    Raises:
        Invalid: there is none; the nearest known name is suggested.
    """
    if name in SECRETS:
        return SECRETS[name]
    near = difflib.get_close_matches(name, SECRETS, n=1)
    raise Invalid(
        "name",
        "There is no secret of that name.",
        recovery=f"Did you mean {near[0]}?" if near else f"Use one of: {', '.join(SECRETS)}.",
        data={"known": list(SECRETS)},
    )


def check_secret(name: str, value: str) -> SecretStr:
    """The value without surrounding white space, if it has the form of that secret.

    Raises:
        Invalid: an unknown name or a value of another form; the value is never repeated, but a
            value that has the form of another known secret is named as that.
    """
    kind = secret_kind(name)
    text = value.strip()
    if len(text) <= _LONGEST and kind.form.fullmatch(text):
        return SecretStr(text)
    other = next((each.name for each in SECRETS.values() if each.form.fullmatch(text)), None)
    what = f"looks like {other}" if other else "does not have the form of one"
    raise Invalid(
        name,
        f"What was given for {name} {what}.",
        recovery=f"Get one from: {kind.source}",
        data={"looks_like": other},
    )


def vault_locked(why: str) -> Unavailable:
    """The hold of a vault that cannot be read yet (domain.md §15)."""
    return Unavailable(
        "HOLD-VAULT-LOCKED",
        f"The vault is locked: {why}.",
        recovery="Run 'cockpit vault unlock', or set COCKPIT_VAULT_KEY_FILE.",
    )


class Vault(Protocol):
    """Keeps the known secrets. Every method may block; call it off the loop.

    Raises:
        Unavailable: ``HOLD-VAULT-LOCKED`` while it is locked, ``VAULT_UNAVAILABLE`` when its
            store does not answer.
        Invalid: a name that no known secret has.
        Broken: its store is damaged.
    """

    @property
    def kind(self) -> str:
        """``keyring`` or ``file``."""
        ...

    @property
    def locked(self) -> bool:
        """Whether reading would raise ``HOLD-VAULT-LOCKED``; asks nobody anything."""
        ...

    def get(self, name: str) -> SecretStr | None:
        """The secret, or None when there is none."""
        ...

    def set(self, name: str, value: str) -> None:
        """Store or replace a secret after checking its form.

        Raises:
            Invalid: the value does not have the form of that secret.
        """
        ...

    def remove(self, name: str) -> bool:
        """Forget a secret; False when there was none."""
        ...

    def names(self) -> tuple[str, ...]:
        """The names of the stored secrets, sorted; never a value."""
        ...

    def unlock(self, passphrase: str) -> None:
        """Open the vault for this process.

        Raises:
            Refused: ``VAULT_PASSPHRASE_WRONG``.
        """
        ...
