"""Brings an older journal to today's schema by alembic's operations, one numbered step at a time.

The number in ``journal_meta`` is the only stamp. Imported when a journal needs it, and not before:
alembic costs more than a whole start.
"""

from collections.abc import Callable

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from core.errors import Broken
from core.journal.migrations import schema_1, schema_2

# Schema → the step that leads to it from the one before.
STEPS: dict[int, Callable[[], None]] = {1: schema_1.upgrade, 2: schema_2.upgrade}


def upgrade(connection: Connection, found: int, wanted: int) -> None:
    """Run the steps from schema ``found`` to ``wanted`` in the transaction of ``connection``.

    Args:
        found: the schema of the journal; 0 for an empty file.

    Raises:
        Broken: a step between is not known.
    """
    with Operations.context(MigrationContext.configure(connection)):
        for number in range(found + 1, wanted + 1):
            if number not in STEPS:
                raise Broken(f"No migration leads to schema {number}.")
            STEPS[number]()
