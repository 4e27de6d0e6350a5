"""The credential of a validator family: there, and fit for a header, or a hold."""

import re

from core.errors import Unavailable

REHEARSAL_KEY = "rehearsal"
_SENDABLE = re.compile(r"[\x21-\x7e]{1,1000}")


def checked_key(key: str | None, *, family: str, secret: str) -> str:
    """The key without blanks around it.

    Args:
        secret: the name under which the vault keeps the key.

    Raises:
        Unavailable: ``HOLD-VALIDATOR-CONFIG`` without a key, or with one that no provider issues.
    """
    trimmed = (key or "").strip()
    if _SENDABLE.fullmatch(trimmed):
        return trimmed
    state = "has a key that cannot be sent" if trimmed else "has no key"
    raise Unavailable(
        "HOLD-VALIDATOR-CONFIG",
        f"The validator family {family} {state}.",
        recovery=f"Store it: cockpit secret set {secret}",
        data={"family": family, "secret": secret},
    )
