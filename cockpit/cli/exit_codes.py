"""The exit codes of the command line, in one table (domain.md §17)."""

from core.errors import CockpitError, Refused

DONE = 0
FAILED = 1
USAGE = 2
NOT_RUNNING = 3
WAITING = 10
BLOCKED = 11
HELD = 12
REFUSED = 13
UNCLEAR = 14

_BY_CODE = {
    "CLARIFY_GATE_BLOCKED": UNCLEAR,
    "INVALID_INPUT": USAGE,
    "UNKNOWN_OPERATION": USAGE,
    "USAGE": USAGE,
    "NOT_RUNNING": NOT_RUNNING,
}


def exit_code(error: CockpitError) -> int:
    """How a command ends that was answered with ``error``."""
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if error.code.startswith("HOLD-"):
        return HELD
    return REFUSED if isinstance(error, Refused) else FAILED
