"""domain.md §17, row by row."""

import pytest

from cockpit.cli.exit_codes import exit_code
from core.errors import Broken, CockpitError, Conflict, Invalid, NotFound, Refused, Unavailable


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("NO_WAY", ""), 13),
        (NotFound("mission", "m-1"), 13),
        (Conflict("s", 1, 2), 13),
        (Refused("JOURNAL_OWNED", ""), 13),
        (Refused("CLARIFY_GATE_BLOCKED", ""), 14),
        (Refused("HOLD-BUDGET", ""), 12),
        (Unavailable("HOLD-VAULT-LOCKED", ""), 12),
        (Invalid("text", ""), 2),
        (Refused("USAGE", ""), 2),
        (Refused("UNKNOWN_OPERATION", ""), 2),
        (Unavailable("NOT_RUNNING", ""), 3),
        (Unavailable("ANSWER_LOST", ""), 1),
        (Broken("A bug."), 1),
    ],
)
def test_exit_codes(error: CockpitError, code: int) -> None:
    assert exit_code(error) == code
