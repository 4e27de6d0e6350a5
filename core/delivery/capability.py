"""The right to push one branch: short-lived, bound to mission, branch, commit and digest (§13).

Issued by the gate after all ten checks, checked by the remote writer, never stored.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.errors import Refused

LIFETIME = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Capability:
    """What may be written, until when, and the seal that only its issuer can make."""

    mission: str
    branch: str
    commit: str
    digest: str
    expires: datetime
    seal: str


class CapabilityOffice:
    """Issues capabilities and tells whether one is genuine. One a process, with its own key."""

    def __init__(self, key: bytes):
        """Use ``key``: unguessable bytes that never leave this process."""
        self._key = key

    def issue(
        self, *, mission: str, branch: str, commit: str, digest: str, now: datetime
    ) -> Capability:
        """A capability that is good for five minutes."""
        expires = now + LIFETIME
        seal = self._seal(mission, branch, commit, digest, expires)
        return Capability(mission, branch, commit, digest, expires, seal)

    def check(self, capability: Capability, *, branch: str, commit: str, now: datetime) -> None:
        """Let exactly what was allowed pass.

        Raises:
            Refused: ``CAPABILITY_INVALID`` or ``CAPABILITY_EXPIRED``.
        """
        good = self._seal(
            capability.mission,
            capability.branch,
            capability.commit,
            capability.digest,
            capability.expires,
        )
        same = (capability.branch, capability.commit) == (branch, commit)
        if not same or not hmac.compare_digest(good, capability.seal):
            raise Refused("CAPABILITY_INVALID", "This capability does not allow that write.")
        if now >= capability.expires:
            raise Refused("CAPABILITY_EXPIRED", "The capability to push has run out.")

    def _seal(self, mission: str, branch: str, commit: str, digest: str, expires: datetime) -> str:
        fields = f"{mission}\0{branch}\0{commit}\0{digest}\0{expires.isoformat()}"
        return hmac.new(self._key, fields.encode(), "sha256").hexdigest()
