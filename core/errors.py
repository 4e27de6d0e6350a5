"""The three branches of failure: the domain refuses, the outside is unavailable, or we are broken.

Facts travel as fields; sentences are made at the edge from ``code`` and ``data``.
"""

from typing import Any

Data = dict[str, Any]


class CockpitError(Exception):
    """Anything this product raises on purpose.

    Args:
        code: a stable name out of domain.md (``CLARIFY_GATE_BLOCKED``, ``HOLD-BUDGET``, …).
        sentence: what happened, in English, for a person.
        recovery: what the operator can do about it, or an empty string.
        data: facts that a surface may show or translate with.
    """

    def __init__(self, code: str, sentence: str, *, recovery: str = "", data: Data | None = None):
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence
        self.recovery = recovery
        self.data: Data = data or {}


class Refused(CockpitError):
    """The domain says no. Nothing was written and nothing was done."""


class Invalid(Refused):
    """Input that does not fit: ``data["field"]`` names the place, ``recovery`` the fix."""

    def __init__(self, field: str, sentence: str, *, recovery: str = "", data: Data | None = None):
        super().__init__(
            "INVALID_INPUT", sentence, recovery=recovery, data={"field": field, **(data or {})}
        )


class NotFound(Refused):
    """A named thing that does not exist."""

    def __init__(self, kind: str, name: str):
        super().__init__(
            f"{kind.upper()}_NOT_FOUND",
            f"There is no {kind} {name!r}.",
            recovery=f"List what exists with 'cockpit {kind} list'.",
            data={"kind": kind, "name": name},
        )


class Conflict(Refused):
    """Someone else appended to the stream first; read again and decide again."""

    def __init__(self, stream: str, expected: int, actual: int):
        super().__init__(
            "STREAM_CONFLICT",
            f"Stream {stream} is at version {actual}, not {expected}.",
            recovery="Read the current state and try again.",
            data={"stream": stream, "expected": expected, "actual": actual},
        )


class Unavailable(CockpitError):
    """Something outside is down. It was retried; what is left becomes a hold named by ``code``."""


class Broken(CockpitError):
    """A bug, or a damaged store. Nothing is guessed; the supervisor hears of it."""

    def __init__(self, sentence: str, *, data: Data | None = None):
        super().__init__("BROKEN", sentence, data=data)
