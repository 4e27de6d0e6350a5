"""The settings of one repo, laid in layers so that each value knows where it came from.

Default < guessed < file in the data folder < operator's edit; a repo's own files only guess.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StringConstraints

from core.errors import Invalid
from core.judgement.harness import Command, CommandName
from core.settings.file import read_layer
from core.settings.layers import Layer, Placed, Resolved, resolve
from core.settings.model import BaseUrl, Budgets, Family, Section, Tokens, Usd, is_loopback

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|[./]$|^[/.-]|^@$")
_SCP_LIKE = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9][A-Za-z0-9.-]*:(?!-)[^:\s]+")
_EDIT = "operator's edit"


def _check_line(line: str) -> str:
    if _CONTROL.search(line):
        raise ValueError("a command is one line without control characters; join steps with &&")
    return line.strip()


def _check_pattern(pattern: str) -> str:
    if _CONTROL.search(pattern) or not pattern.strip():
        raise ValueError("a path pattern is one line of text")
    if pattern.startswith(("!", "#")):
        raise ValueError("a path pattern cannot start with '!' or '#': rules are only added")
    return pattern


def _check_branch(name: str) -> str:
    if _BAD_IN_REF.search(name):
        raise ValueError("that is not the name of a git branch")
    return name


def _check_remote(url: str) -> str:
    if _CONTROL.search(url) or " " in url or url.startswith("-"):
        raise ValueError("a remote has no spaces, no control characters and no leading '-'")
    if url.startswith("/") or _SCP_LIKE.fullmatch(url):
        return url
    parts = urlsplit(url)
    if parts.password is not None or (parts.scheme.startswith("http") and parts.username):
        raise ValueError("a remote must hold no user name or password; tokens go to the vault")
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return url
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return url
    if parts.scheme in ("https", "ssh") and parts.hostname and not parts.hostname.startswith("-"):
        return url
    raise ValueError("a remote is https://, ssh://, user@host:path, file:///path or a path")


CommandLine = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_check_line)]
Pattern = Annotated[str, StringConstraints(max_length=500), AfterValidator(_check_pattern)]
Patterns = Annotated[tuple[Pattern, ...], Field(max_length=500)]
Branch = Annotated[str, StringConstraints(max_length=200), AfterValidator(_check_branch)]
Remote = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_check_remote)]


class CommandSettings(Section):
    """The repo's own commands, each a line for ``sh -c``; empty means not configured."""

    setup: CommandLine = ""
    test: CommandLine = ""
    lint: CommandLine = ""
    build: CommandLine = ""
    ui: CommandLine = ""
    timeout_seconds: Annotated[StrictInt, Field(ge=1, le=86_400)] = 1200


class PathSettings(Section):
    """Path rules (domain.md §9); ``forbidden`` extends the built-in list, never replaces it."""

    forbidden: Patterns = ()
    allowed: Patterns = ()
    sensitive: Patterns = ()


class RepoBudgets(Section):
    """Caps of a mission in this repo; without one, the profile's (domain.md §14)."""

    calls_per_mission: Annotated[StrictInt, Field(ge=0, le=100_000)] | None = None
    validators_mission_usd: Usd | None = None
    tokens_per_mission: Tokens | None = None


class RunnerSettings(Section):
    """Where agents may run; ``host`` lets them run without a container (domain.md §7)."""

    host: StrictBool = False


class RemoteSettings(Section):
    """Where a draft pull request goes: the push URL, and the forge's REST root if not its own."""

    url: Remote | None = None
    forge: Literal["github"] | None = None
    forge_url: BaseUrl | None = None


class AutoMergeSettings(Section):
    """Merging itself, off unless turned on (domain.md §12)."""

    enabled: StrictBool = False
    max_risk_score: Annotated[StrictInt, Field(ge=0, le=100)] = 30
    max_changed_lines: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = 300


class RepoValidators(Section):
    """Validator families of this repo; without, the profile's."""

    families: tuple[Family, ...] | None = None


class RepoSettings(Section):
    """Everything that can be set for one repo."""

    enabled: StrictBool = True
    base_branch: Branch = ""
    commands: CommandSettings = CommandSettings()
    paths: PathSettings = PathSettings()
    budgets: RepoBudgets = RepoBudgets()
    runner: RunnerSettings = RunnerSettings()
    remote: RemoteSettings = RemoteSettings()
    auto_merge: AutoMergeSettings = AutoMergeSettings()
    validators: RepoValidators = RepoValidators()


# What may be guessed from a repo: nothing that opens a gate or loosens a rule.
GUESSABLE = frozenset(
    {f"commands.{name}" for name in get_args(CommandName)}
    | {"base_branch", "remote.url", "remote.forge"}
)


def repo_settings(
    guessed: Mapping[str, Any] | None = None,
    file: Path | None = None,
    edited: Mapping[str, Any] | None = None,
) -> Resolved[RepoSettings]:
    """The settings of a repo with the origin of each value ("cockpit repo show").

    Args:
        guessed: by dotted key, a value or ``{"value": …, "reason": …}``; only :data:`GUESSABLE`.
        file: TOML in the data folder; absent means no values.
        edited: typed values that the operator set, by dotted key.

    Raises:
        Invalid: an unknown key or a wrong value, with its place.
    """
    layers = [Layer("guessed", {key: _guess(key, raw) for key, raw in (guessed or {}).items()})]
    if file is not None:
        layers.append(read_layer(RepoSettings, file))
    changes = {key: Placed(value, _EDIT) for key, value in (edited or {}).items()}
    layers.append(Layer("operator", changes))
    return resolve(RepoSettings, layers)


def _guess(key: str, raw: Any) -> Placed:
    if key not in GUESSABLE:
        raise Invalid(
            key,
            f"{key} must be set by the operator, not guessed.",
            recovery=f"Set it with 'cockpit repo set … {key}=…'.",
        )
    if isinstance(raw, Mapping) and "value" in raw:
        return Placed(raw["value"], f"guessed: {raw.get('reason') or 'no reason recorded'}")
    return Placed(raw, "guessed")


def snapshot(settings: RepoSettings) -> dict[str, Any]:
    """The whole as JSON values, as a mission keeps it from its start."""
    return settings.model_dump(mode="json")


def from_snapshot(document: Mapping[str, Any]) -> RepoSettings:
    """What :func:`snapshot` wrote; an empty document is the defaults.

    Raises:
        Invalid: it does not fit the model.
    """
    values = {key: Placed(value, "snapshot") for key, value in _dotted(document, "").items()}
    return resolve(RepoSettings, [Layer("operator", values)]).value


def _dotted(document: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            found.update(_dotted(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found


def commands_of(document: Mapping[str, Any]) -> tuple[Command, ...]:
    """The configured commands of a snapshot, in the order setup, test, lint, build, ui."""
    commands = from_snapshot(document).commands
    names: tuple[CommandName, ...] = get_args(CommandName)
    lines = ((name, str(getattr(commands, name))) for name in names)
    return tuple(
        Command(name, line, float(commands.timeout_seconds)) for name, line in lines if line
    )


def effective_budgets(repo: RepoSettings, profile: Budgets) -> Budgets:
    """The profile's caps with those of the repo in place of the mission's (domain.md §14)."""
    own: dict[str, int | Decimal] = {
        name: value for name, value in repo.budgets if value is not None
    }
    return profile.model_copy(update=own)
