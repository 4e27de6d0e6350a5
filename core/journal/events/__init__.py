"""The closed list of events (domain.md §2), by the stream they belong to.

Importing this package registers every kind; nothing else may be appended.
"""

from core.journal.events import delivery, mission, repo, run, session, shared, system

__all__ = ["delivery", "mission", "repo", "run", "session", "shared", "system"]
