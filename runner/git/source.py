"""The operator's repository: found without discovery, read through a shadow, never written.

A shadow is a git folder of ours whose configuration we wrote and whose objects and refs are links
to the operator's. So no git process ever acts on the operator's configuration.
"""

import asyncio
import os
import re
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import Refused
from runner.git.door import GitDoor, GitFailed, Site

ABSENT_REMOTE = "cockpit-absent"
_SMALL = 64 * 1024
_CONFIG_LIMIT = 4 * 1024 * 1024
_HEAD = re.compile(r"ref: refs/[^\x00-\x20]+|[0-9a-f]{40}|[0-9a-f]{64}")
_PLAIN = re.compile(r"[a-z0-9]{1,12}")
_KEPT = ("core.autocrlf", "core.eol", "core.filemode", "core.ignorecase", "core.symlinks")
_LINKED = ("objects", "refs", "packed-refs", "reftable")
_COPIED = ("shallow", "info/exclude", "info/sparse-checkout")

Config = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Source:
    """Where an operator's repository lies.

    Attributes:
        folder: the checkout.
        git_dir: the git folder of this checkout; ``common`` the one shared by all its worktrees.
        config: local settings by lower-case key, files that they include left out.
    """

    folder: Path
    git_dir: Path
    common: Path
    config: Config

    @property
    def object_format(self) -> str:
        """``sha1`` or ``sha256``."""
        return self.last("extensions.objectformat") or "sha1"

    @property
    def is_partial(self) -> bool:
        """Whether objects may be missing because a remote promised them."""
        return "extensions.partialclone" in self.config or any(
            key.startswith("remote.") and key.endswith(".promisor") and self.is_on(key)
            for key in self.config
        )

    @property
    def is_shallow(self) -> bool:
        """Whether history is cut."""
        found = _lstat(self.common / "shallow")
        return found is not None and found.st_size > 0

    def last(self, key: str) -> str:
        """The value that counts, lower case; empty when unset."""
        return self.config.get(key, ("",))[-1].lower()

    def is_on(self, key: str) -> bool:
        """Whether a boolean setting is on; a key without a value is."""
        return key in self.config and self.last(key) in ("", "true", "yes", "on", "1")


def unusable(reason: str, sentence: str, recovery: str = "", **data: object) -> Refused:
    """The refusal of a repository that can't be used (domain.md §6), with its ``reason``."""
    return Refused(
        "HOLD-TARGET-REPO-UNAVAILABLE",
        sentence,
        recovery=recovery or "Choose or repair the repository.",
        data={"reason": reason, **data},
    )


async def find_source(door: GitDoor, folder: Path) -> Source:
    """The repository whose checkout is exactly ``folder``; no folder above it is looked at.

    Raises:
        Refused: ``HOLD-TARGET-REPO-UNAVAILABLE`` with reason missing, not_git or bare.
    """
    await door.version()
    folder, git_dir, common = await asyncio.to_thread(_locate, folder)
    config = dict(await _read_config(door, common / "config"))
    source = Source(folder, git_dir, common, config)
    if source.is_on("extensions.worktreeconfig"):
        for key, values in (await _read_config(door, git_dir / "config.worktree")).items():
            config[key] = (*config.get(key, ()), *values)
    if source.is_on("core.bare") and git_dir == common:
        raise _bare(folder)
    return source


def _locate(folder: Path) -> tuple[Path, Path, Path]:
    try:
        real = folder.resolve(strict=True)
    except (OSError, RuntimeError):
        raise unusable("missing", f"There is no folder {folder}.", path=str(folder)) from None
    if not real.is_dir():
        raise unusable("missing", f"{folder} is no folder.", path=str(folder))
    git_dir = _git_dir(real)
    if git_dir is None:
        if _looks_like_git(real):
            raise _bare(folder)
        raise unusable(
            "not_git",
            f"{folder} is not the top folder of a git checkout.",
            "Choose the folder that holds '.git', or run 'git init' there.",
            path=str(folder),
        )
    common = _common(git_dir)
    if _read_small(git_dir / "HEAD") is None or not _looks_like_git(common):
        raise unusable("not_git", f"The git folder of {folder} is damaged.", path=str(folder))
    return real, git_dir, common


def _git_dir(folder: Path) -> Path | None:
    entry = folder / ".git"
    if entry.is_dir():
        return entry.resolve()
    text = _read_small(entry)
    if text is None or not text.startswith("gitdir: "):
        return None
    target = Path(text.removeprefix("gitdir: ").rstrip("\r\n"))
    found = (folder / target).resolve()
    return found if found.is_dir() else None


def _common(git_dir: Path) -> Path:
    text = _read_small(git_dir / "commondir")
    if text is None:
        return git_dir
    return (git_dir / text.rstrip("\r\n")).resolve()


def _looks_like_git(folder: Path) -> bool:
    return (
        _read_small(folder / "HEAD") is not None
        and (folder / "objects").is_dir()
        and (folder / "refs").is_dir()
    )


def _bare(folder: Path) -> Refused:
    return unusable(
        "bare",
        f"{folder} is a bare repository: it has no checkout.",
        "Choose a checkout of it.",
        path=str(folder),
    )


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _read_small(path: Path) -> str | None:
    """The text of a small regular file; a symlink HEAD, as git once wrote, is read as a ref."""
    found = _lstat(path)
    if found is None:
        return None
    if stat.S_ISLNK(found.st_mode) and path.name == "HEAD":
        return f"ref: {path.readlink()}"
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _SMALL:
            return None
        return os.fsdecode(path.read_bytes())
    except OSError:
        return None


async def _read_config(door: GitDoor, file: Path) -> Config:
    """The values of one file, parsed by git without acting on any of them."""
    found = await asyncio.to_thread(_lstat, file)
    if found is None:
        return {}
    if not stat.S_ISREG(found.st_mode) or found.st_size > _CONFIG_LIMIT:
        raise unusable("not_git", f"{file} is no ordinary configuration file.", path=str(file))
    try:
        output = await door.run(
            ["config", f"--file={file}", "--no-includes", "-z", "--list"], Site(None), seconds=30
        )
    except GitFailed as error:
        raise unusable(
            "not_git", f"The configuration of the repository is damaged: {error.stderr.strip()}"
        ) from None
    values: dict[str, tuple[str, ...]] = {}
    for entry in os.fsdecode(output.stdout).split("\0")[:-1]:
        key, _, value = entry.partition("\n")
        values[key] = (*values.get(key, ()), value)
    return values


@asynccontextmanager
async def shadow(door: GitDoor, source: Source, *, index: bool = False) -> AsyncIterator[Site]:
    """A git folder of ours that shows the operator's objects and refs.

    Args:
        index: also copy the operator's index, to compare the checkout with.

    Raises:
        Refused: ``HOLD-TARGET-REPO-UNAVAILABLE`` when its HEAD or objects cannot be shown.
    """
    folder = await asyncio.to_thread(_cast, source, door.scratch, index=index)
    try:
        yield Site(folder, source.folder if index else None)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _cast(source: Source, scratch: Path, *, index: bool) -> Path:
    head = (_read_small(source.git_dir / "HEAD") or "").strip()
    if not _HEAD.fullmatch(head):
        raise unusable("not_git", f"The HEAD of {source.folder} is damaged.")
    folder = Path(tempfile.mkdtemp(prefix="shadow-", dir=scratch))
    try:
        (folder / "info").mkdir()
        (folder / "HEAD").write_text(f"{head}\n", "utf-8", "surrogateescape")
        (folder / "config").write_text(_shadow_config(source), "utf-8")
        for name in _LINKED:
            if (source.common / name).exists():
                (folder / name).symlink_to(source.common / name)
        for name in _COPIED:
            place = source.common if name != "info/sparse-checkout" else source.git_dir
            _copy(place / name, folder / name)
        if index:
            _copy(source.git_dir / "index", folder / "index")
            for shared in source.git_dir.glob("sharedindex.*"):
                _copy(shared, folder / shared.name)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise unusable("not_git", f"{source.folder} cannot be read: {error.strerror}.") from None
    return folder


def _copy(source: Path, target: Path) -> None:
    found = _lstat(source)
    if found is not None and stat.S_ISREG(found.st_mode):
        shutil.copy2(source, target)


def _shadow_config(source: Source) -> str:
    lines = ["[core]", "repositoryformatversion = 1", "bare = false", "logAllRefUpdates = false"]
    for key in _KEPT:
        value = source.last(key)
        if _PLAIN.fullmatch(value):
            lines.append(f"{key.removeprefix('core.')} = {value}")
    if source.is_on("core.sparsecheckout"):
        lines.append("sparseCheckout = true")
    lines += format_lines(source)
    return "\n".join(lines) + "\n"


def format_lines(source: Source) -> list[str]:
    """The configuration that a repository with the objects of ``source`` needs to be read."""
    lines = ["[extensions]"]
    for key in ("objectFormat", "refStorage"):
        value = source.last(f"extensions.{key.lower()}")
        if _PLAIN.fullmatch(value):
            lines.append(f"{key} = {value}")
    if source.is_partial:
        lines += [f"partialClone = {ABSENT_REMOTE}"]
        lines += [f'[remote "{ABSENT_REMOTE}"]', "promisor = true"]
    return lines
