"""What is allowed in a repository: its settings with their origin, and where agents may run."""

from core.desk import Desk
from core.errors import Refused
from core.repos.registry import RepoState
from core.repos.settings import RepoSettings, repo_settings
from core.settings.layers import Resolved


def resolved_settings(desk: Desk, repo: RepoState) -> Resolved[RepoSettings]:
    """The settings of a repo, each value with the file or default that it came from."""
    file = desk.folders.repos / f"{repo.id}.toml"
    return repo_settings(repo.guessed, file if file.exists() else None, repo.edited)


def settings_of(desk: Desk, repo: RepoState) -> RepoSettings:
    """The settings of a repo."""
    return resolved_settings(desk, repo).value


def require_host_allowed(desk: Desk, repo: RepoState, *, rehearsal: bool) -> None:
    """Refuse a run on the host but in a rehearsal or by the repo's own policy (domain.md §7).

    Raises:
        Refused: ``HOLD-DOCKER-UNAVAILABLE``.
    """
    if desk.ports.coder.where == "docker" or rehearsal or settings_of(desk, repo).runner.host:
        return
    raise Refused(
        "HOLD-DOCKER-UNAVAILABLE",
        "This repository allows no agent on the host, and no container runner is available.",
        recovery=f"Allow the host for this repository: cockpit repo set {repo.id} runner.host true",
        data={"repo": repo.id},
    )
