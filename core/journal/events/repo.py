"""Events of a ``repo:…`` stream: what is registered, and what the operator allows there."""

from typing import Any

from core.journal.envelope import Event


class RepoAdded(Event, kind="repo.added"):
    """A repository joined the registry, with what was found out about it."""

    repo: str
    path: str
    base_branch: str
    facts: dict[str, Any]
    guessed: dict[str, Any]


class RepoSettingsChanged(Event, kind="repo.settings_changed"):
    """The operator set (or with ``None`` unset) values by their dotted keys."""

    changes: dict[str, Any]


class RepoCommandsConfirmed(Event, kind="repo.commands_confirmed"):
    """The operator has seen the commands and says they may run."""

    commands: dict[str, Any]


class RepoRemoved(Event, kind="repo.removed"):
    """The repository left the registry; its history stays."""

    repo: str
