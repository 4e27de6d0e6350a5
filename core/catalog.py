"""Importing this module declares every operation, so that surfaces can be derived from them."""

from core.journal import operations as journal_operations
from core.ledger import operations as ledger_operations
from core.missions import approvals, holds, replay
from core.missions import operations as mission_operations
from core.operations import REGISTRY
from core.planning import operations as session_operations
from core.repos import operations as repo_operations

__all__ = [
    "REGISTRY",
    "approvals",
    "holds",
    "journal_operations",
    "ledger_operations",
    "mission_operations",
    "replay",
    "repo_operations",
    "session_operations",
]
