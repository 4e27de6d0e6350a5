"""Operations on the registry: add, look at, configure and remove repositories."""

from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import Field
from sqlalchemy import select

from core.desk import OPERATOR, Desk
from core.errors import Invalid, Refused
from core.journal.events.repo import (
    RepoAdded,
    RepoCommandsConfirmed,
    RepoRemoved,
    RepoSettingsChanged,
)
from core.journal.tables import MissionRow, RepoRow, table_of
from core.missions.workshop import RepoRef
from core.operations import Params, View, operation
from core.repos.guesses import guess_commands
from core.repos.policy import resolved_settings
from core.repos.registry import RepoState
from core.repos.settings import RepoSettings, repo_settings
from core.settings.layers import leaves
from core.settings.text_values import read_text

_READ = 512 * 1024
_LOOKED_AT = frozenset(
    {
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
        "pytest.ini",
        "tox.ini",
        "requirements.txt",
        "requirements-dev.txt",
        "uv.lock",
        "poetry.lock",
        "package.json",
        "package-lock.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "go.mod",
        "Cargo.toml",
        "Makefile",
        "makefile",
        "GNUmakefile",
        "conftest.py",
        "tests/conftest.py",
    }
)
RepoRefName = Annotated[str, Field(description="Name in the registry")]


class AddRepo(Params):
    """A repository to register."""

    path: Annotated[str, Field(min_length=1, max_length=4096, description="Folder of the clone")]
    name: Annotated[
        str, Field(max_length=100, description="Name in the registry; default: the folder's")
    ] = ""
    base_branch: Annotated[
        str, Field(max_length=200, description="Default: origin/HEAD's, else the current one")
    ] = ""
    confirm: Annotated[bool, Field(description="The guessed commands may run")] = False


class RepoParams(Params):
    """One repository."""

    repo: RepoRefName


class SetRepo(Params):
    """One value of a repository."""

    repo: RepoRefName
    key: Annotated[str, Field(description="Dotted key, such as commands.test")]
    value: Annotated[str, Field(max_length=10_000, description="As TOML, or plain text")]


class UnsetRepo(Params):
    """One value to take back."""

    repo: RepoRefName
    key: Annotated[str, Field(description="Dotted key, such as commands.test")]


class SettingView(View):
    """One value and where it came from."""

    key: str
    value: Any
    source: str
    where: str


class RepoView(View):
    """A repository with the origin of each of its settings."""

    name: str
    path: str
    base_branch: str
    facts: dict[str, Any]
    commands_confirmed: bool
    settings: tuple[SettingView, ...]


class RepoRowView(View):
    """A repository in lists."""

    name: str
    path: str
    base_branch: str


class ReposView(View):
    """Registered repositories."""

    repos: tuple[RepoRowView, ...]


def view_of(desk: Desk, repo: RepoState) -> RepoView:
    """A repository as surfaces see it."""
    resolved = resolved_settings(desk, repo)
    lines = resolved.value.commands.model_dump(mode="json")
    return RepoView(
        name=repo.id,
        path=repo.path,
        base_branch=repo.base_branch,
        facts=dict(repo.facts),
        commands_confirmed=bool(repo.confirmed) and dict(repo.confirmed) == lines,
        settings=tuple(
            SettingView(key=p.key, value=p.value, source=p.source, where=p.where)
            for p in resolved.provenance.values()
        ),
    )


@operation("repo.add", "write")
async def add_repo(desk: Desk, params: AddRepo) -> RepoView:
    """Register a repository; its commands are guessed and shown for confirmation."""
    path = await desk.aside(lambda: Path(params.path).expanduser().absolute())
    name = params.name or _name_of(path)
    found = await desk.ports.workshop.inspect(path, params.base_branch or None)
    facts: dict[str, Any] = orjson.loads(orjson.dumps(dict(found)))
    base_branch = str(facts["base_branch"])
    ref = RepoRef(name, path, base_branch)
    commit = await desk.ports.workshop.base(ref)
    guessed = await _guess(desk, ref, commit, facts)
    repo_settings(guessed)  # refused before anything is recorded, if a guess did not fit
    added = RepoAdded(
        repo=name, path=str(path), base_branch=base_branch, facts=dict(facts), guessed=guessed
    )
    await desk.write(f"repo:{name}", [added], actor=OPERATOR)
    if params.confirm:
        await confirm_commands(desk, RepoParams(repo=name))
    return view_of(desk, desk.repo(name))


def _name_of(path: Path) -> str:
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in path.name)
    name = name.lstrip("._-")[:100]
    if not name:
        raise Invalid("name", "The folder's name makes no name.", recovery="Give one by --name.")
    return name


async def _guess(desk: Desk, ref: RepoRef, commit: str, facts: Any) -> dict[str, Any]:
    paths = await desk.ports.workshop.paths(ref, commit)
    tests = sorted(p for p in paths if p.endswith(".py") and "test" in p)[:20]
    files: dict[str, bytes | None] = dict.fromkeys(paths)
    for path in [*(_LOOKED_AT & paths), *tests]:
        text = await desk.ports.workshop.read_text(ref, commit, path, _READ)
        files[path] = None if text is None else text.encode("utf-8", errors="replace")
    guessed: dict[str, Any] = dict(guess_commands(files).as_guessed())
    url = dict(facts.get("remotes", {})).get("origin")
    if url:
        try:
            repo_settings({"remote.url": url})
            guessed["remote.url"] = {"value": url, "reason": "the remote called origin"}
        except Invalid:
            pass
    return guessed


@operation("repo.confirm", "approve")
async def confirm_commands(desk: Desk, params: RepoParams) -> RepoView:
    """Say that the commands of a repository, as they are shown, may run."""
    repo = desk.repo(params.repo)
    lines = resolved_settings(desk, repo).value.commands.model_dump(mode="json")
    await desk.write(f"repo:{repo.id}", [RepoCommandsConfirmed(commands=lines)], actor=OPERATOR)
    return view_of(desk, desk.repo(repo.id))


@operation("repo.set", "write")
async def set_repo(desk: Desk, params: SetRepo) -> RepoView:
    """Set one value of a repository, such as commands.test or runner.host."""
    repo = desk.repo(params.repo)
    _known(params.key)
    value = read_text(RepoSettings, params.key, params.value, "the command line")
    edited = {**repo.edited, params.key: value}
    repo_settings(repo.guessed, None, edited)
    plain = _plain(value)
    changed = RepoSettingsChanged(changes={params.key: plain})
    await desk.write(f"repo:{repo.id}", [changed], actor=OPERATOR)
    return view_of(desk, desk.repo(repo.id))


def _known(key: str) -> None:
    if key not in leaves(RepoSettings):
        raise Invalid(
            key,
            f"A repository has no setting {key!r}.",
            recovery="See 'cockpit repo show NAME' for all of them.",
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@operation("repo.unset", "write")
async def unset_repo(desk: Desk, params: UnsetRepo) -> RepoView:
    """Take a value of a repository back to its file, guess or default."""
    repo = desk.repo(params.repo)
    _known(params.key)
    changed = RepoSettingsChanged(changes={params.key: None})
    await desk.write(f"repo:{repo.id}", [changed], actor=OPERATOR)
    return view_of(desk, desk.repo(repo.id))


@operation("repo.remove", "write")
async def remove_repo(desk: Desk, params: RepoParams) -> ReposView:
    """Take a repository out of the registry; its folder and its history stay."""
    repo = desk.repo(params.repo)
    missions = table_of(MissionRow)
    with desk.journal.query() as connection:
        busy = connection.execute(
            select(missions.c.id)
            .where(missions.c.repo == repo.id)
            .where(missions.c.state.in_(("running", "paused")))
        ).first()
    if busy is not None:
        raise Refused(
            "REPO_BUSY",
            f"Mission {busy[0]} is running in {repo.id}.",
            recovery="Stop or close it first.",
            data={"mission": busy[0]},
        )
    await desk.write(f"repo:{repo.id}", [RepoRemoved(repo=repo.id)], actor=OPERATOR)
    return await list_repos(desk, ListRepos())


class ListRepos(Params):
    """No parameters."""


@operation("repo.show", "read")
async def show_repo(desk: Desk, params: RepoParams) -> RepoView:
    """One repository: facts, commands, rules, and where each value came from."""
    return view_of(desk, desk.repo(params.repo))


@operation("repo.list", "read")
async def list_repos(desk: Desk, params: ListRepos) -> ReposView:
    """Registered repositories."""
    table = table_of(RepoRow)
    query = select(table).where(table.c.state == "registered").order_by(table.c.id)
    with desk.journal.query() as connection:
        rows = connection.execute(query).mappings().all()
    return ReposView(
        repos=tuple(
            RepoRowView(name=row["id"], path=row["path"], base_branch=row["base_branch"])
            for row in rows
        )
    )
