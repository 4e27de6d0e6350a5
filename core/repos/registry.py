"""The repo aggregate: which repositories are registered, and what the operator set for each.

Pure: no asyncio, SQL or I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import Refused
from core.journal.envelope import Envelope, Event
from core.journal.events import repo
from core.missions.machine import NEW, Moves, move

REPO_MOVES: Moves = {
    (NEW, "repo.added"): "registered",
    ("removed", "repo.added"): "registered",
    ("registered", "repo.settings_changed"): "registered",
    ("registered", "repo.commands_confirmed"): "registered",
    ("registered", "repo.removed"): "removed",
}


@dataclass(frozen=True, slots=True)
class RepoState:
    """A registered repository at one moment.

    Attributes:
        guessed: settings that were guessed from its files when it was added.
        edited: settings that the operator set, by dotted key.
        confirmed: the commands that the operator has confirmed, as they were then.
    """

    id: str
    state: str = NEW
    path: str = ""
    base_branch: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    guessed: Mapping[str, Any] = field(default_factory=dict)
    edited: Mapping[str, Any] = field(default_factory=dict)
    confirmed: Mapping[str, Any] = field(default_factory=dict)


class RepoAggregate:
    """Guards and folds a ``repo:…`` stream."""

    def initial(self, stream: str) -> RepoState:
        """The state of an empty stream."""
        return RepoState(id=stream.partition(":")[2])

    def check(self, state: RepoState, event: Event) -> None:
        """Refuse what the table forbids.

        Raises:
            Refused: ``REPO_ALREADY_ADDED`` or ``ILLEGAL_MOVE``.
        """
        if event.kind == "repo.added" and state.state == "registered":
            raise Refused(
                "REPO_ALREADY_ADDED",
                f"A repository called {state.id!r} is registered: {state.path}.",
                recovery="Give the new one another name with --name.",
                data={"repo": state.id, "path": state.path},
            )
        move(REPO_MOVES, state.state, event.kind, what=f"Repository {state.id}")

    def evolve(self, state: RepoState, envelope: Envelope) -> RepoState:
        """The state after one recorded event."""
        event = envelope.event
        if isinstance(event, repo.RepoAdded):
            return RepoState(
                id=state.id,
                state="registered",
                path=event.path,
                base_branch=event.base_branch,
                facts=event.facts,
                guessed=event.guessed,
            )
        if isinstance(event, repo.RepoSettingsChanged):
            merged = {**state.edited, **event.changes}
            return replace(state, edited={k: v for k, v in merged.items() if v is not None})
        if isinstance(event, repo.RepoCommandsConfirmed):
            return replace(state, confirmed=event.commands)
        if isinstance(event, repo.RepoRemoved):
            return replace(state, state="removed")
        return state


class SystemAggregate:
    """The ``system`` stream has no state machine: it records who owned the journal."""

    def initial(self, stream: str) -> int:
        """How often the core was started."""
        return 0

    def check(self, state: int, event: Event) -> None:
        """Anything of the closed list may follow."""

    def evolve(self, state: int, envelope: Envelope) -> int:
        """Count the starts."""
        return state + (envelope.kind == "system.started")
