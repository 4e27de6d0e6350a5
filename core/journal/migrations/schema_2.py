"""Schema 2: how many events were appended together, so that a repeated append returns them all."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    """Add the column; it stays empty in what schema 1 recorded."""
    op.add_column("event", sa.Column("append_size", sa.Integer))
