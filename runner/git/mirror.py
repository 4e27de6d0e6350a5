"""The private bare mirror of a repository: its configuration is ours, its objects are copies.

It takes only the base branch's history. The operator's repository is read through a shadow.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from core.private_files import make_folder, write_private
from runner.git import locks
from runner.git.door import GitDoor, GitFailed, Leave, Site
from runner.git.objects import copy_objects, has_large_packs
from runner.git.removal import remove_folder
from runner.git.source import Source, find_source, format_lines, shadow, unusable
from runner.git.tree import check_branch, check_sha, is_ancestor, resolve

_FETCH_SECONDS = 3600.0
_ATTEMPTS = 3
_NOBODY = "cockpit-none"

# What a tree's own attributes may not decide here: hiding text from a diff, or naming a program.
_ATTRIBUTES = "* !diff !filter\n"


@dataclass(frozen=True, slots=True)
class Mirror:
    """One repository's mirror. Refs: missions in ``refs/heads/``, the rest in ``refs/cockpit/``.

    Attributes:
        folder: the bare repository; its lock lies beside it.
    """

    door: GitDoor
    folder: Path

    @property
    def site(self) -> Site:
        """The mirror as git is told of it."""
        return Site(self.folder)

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[Leave]:
        """Be the only one to change refs or worktrees; what git inherits then.

        Raises:
            Unavailable: ``MIRROR_BUSY``.
        """
        async with locks.held(self.folder) as handle:
            yield Leave(descriptors=(handle,))

    @asynccontextmanager
    async def laying(self, name: str) -> AsyncIterator[Leave]:
        """Be the only one to lay or remove the files called ``name``; what git inherits then.

        A git that outlived its owner is waited for: it may still be writing files.
        """
        folder = self.folder / "cockpit-locks"
        await asyncio.to_thread(folder.mkdir, mode=0o700, exist_ok=True)
        async with locks.taken(folder / name) as handle:
            yield Leave(descriptors=(handle,))

    async def create_or_update(self, source: Path, base_branch: str) -> str:
        """Bring the base branch's committed tip into the mirror, which is made if need be.

        Args:
            source: the operator's checkout.

        Returns:
            The tip.

        Raises:
            Refused: ``HOLD-TARGET-REPO-UNAVAILABLE``.
            GitFailed: the objects could not be brought.
        """
        found = await find_source(self.door, source)
        await check_branch(self.door, base_branch, "base_branch")
        await asyncio.to_thread(make_folder, self.folder.parent)
        async with shadow(self.door, found) as site, self.locked() as leave:
            tip = await resolve(self.door, site, f"refs/heads/{base_branch}")
            if tip is None:
                raise unusable(
                    "base_missing",
                    f"The repository has no branch {base_branch!r}.",
                    "Create the branch or choose another base branch.",
                    base_branch=base_branch,
                )
            await self._make(found)
            ref = f"refs/cockpit/base/{place_of(base_branch)}"
            if await self._lacks(ref, tip, found):
                await self._bring(found, site, f"+refs/heads/{base_branch}:{ref}", leave)
            return check_sha(await resolve(self.door, self.site, ref) or "", "base_branch")

    async def _lacks(self, ref: str, tip: str, source: Source) -> bool:
        if source.is_shallow or source.is_partial:
            return True
        return await resolve(self.door, self.site, ref) != tip

    async def _bring(self, source: Source, site: Site, refspec: str, leave: Leave) -> None:
        if source.is_partial:
            await asyncio.to_thread(copy_objects, source.common, self.folder, loose=True)
            source_ref, _, target = refspec.removeprefix("+").partition(":")
            tip = await resolve(self.door, site, source_ref)
            assert tip is not None
            await self.set_ref(target, tip, leave=leave)
            return
        await self.fetch(str(site.git_dir), refspec, leave, protocol="file")

    async def fetch(
        self,
        url: str,
        refspec: str,
        leave: Leave,
        *,
        protocol: str,
        seconds: float = _FETCH_SECONDS,
    ) -> None:
        """Fetch one refspec from a checked address; the lock must be held.

        Raises:
            GitFailed: after three attempts where another git was in the way.
        """
        args = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]
        args += ["--no-recurse-submodules", "--update-shallow", "--end-of-options", url, refspec]
        full = Leave((protocol,), leave.variables, leave.settings, leave.descriptors)
        for attempt in range(_ATTEMPTS):
            try:
                await self.door.run(args, self.site, seconds=seconds, leave=full)
                return
            except GitFailed as error:
                if attempt == _ATTEMPTS - 1 or ".lock" not in error.stderr:
                    raise

    async def set_ref(
        self, ref: str, new: str, *, old: str | None = None, leave: Leave | None = None
    ) -> None:
        """Point ``ref`` at ``new`` if it is still at ``old`` (zeros: absent; None: anywhere).

        Raises:
            GitFailed: it is elsewhere, or cannot be written.
        """
        args = ["update-ref", "--no-deref", ref, check_sha(new)]
        if old is not None:
            args.append(check_sha(old, "old"))
        if leave is not None:
            await self.door.run(args, self.site, leave=leave)
            return
        async with self.locked() as own:
            await self.door.run(args, self.site, leave=own)

    async def branch_tip(self, branch: str) -> str | None:
        """The tip of a mission branch, None if there is none."""
        return await resolve(self.door, self.site, f"refs/heads/{branch}")

    async def has_commit(self, sha: str) -> bool:
        """Whether the mirror holds this commit."""
        return await resolve(self.door, self.site, check_sha(sha)) is not None

    async def is_ancestor(self, old: str, new: str) -> bool:
        """Whether ``old`` is ``new`` or one of its ancestors."""
        return await is_ancestor(self.door, self.site, old, new)

    async def _make(self, source: Source) -> None:
        if not self.folder.exists():
            await self._init(source)
        config = _config(source)
        written = (self.folder / "config").read_text("utf-8")
        if written != config:
            if ("sha256" in written) != (source.object_format == "sha256"):
                raise unusable(
                    "format_changed",
                    "The repository's object format is not the one it was added with.",
                    "Remove the repository and add it again.",
                )
            await asyncio.to_thread(write_private, self.folder / "config", config.encode())
        if source.is_shallow and source.is_partial:
            content = await asyncio.to_thread((source.common / "shallow").read_bytes)
            await asyncio.to_thread(write_private, self.folder / "shallow", content)

    async def _init(self, source: Source) -> None:
        new = self.folder.with_name(f".new-{self.folder.name}")
        await asyncio.to_thread(remove_folder, new)
        await asyncio.to_thread(make_folder, new)
        try:
            args = ["init", "--quiet", "--bare", "--template=", f"--initial-branch={_NOBODY}"]
            args += [f"--object-format={source.object_format}", str(new)]
            await self.door.run(args, Site(None))
            (new / "info").mkdir(exist_ok=True)
            (new / "info" / "attributes").write_text(_ATTRIBUTES, "utf-8")
            (new / "config").write_text(_config(source), "utf-8")
            if not source.is_partial and await asyncio.to_thread(has_large_packs, source.common):
                await asyncio.to_thread(copy_objects, source.common, new, loose=False)
            await asyncio.to_thread(new.rename, self.folder)
        finally:
            await asyncio.to_thread(remove_folder, new)


def place_of(*names: str) -> str:
    """A ref's last part that stands for any names, however they lie in each other."""
    joined = "\0".join(names).encode("utf-8", "surrogateescape")
    return sha256(joined).hexdigest()[:16]


def _config(source: Source) -> str:
    lines = ["[core]", "repositoryformatversion = 1", "bare = true", "filemode = true"]
    lines += ["logAllRefUpdates = false", "[gc]", "auto = 0", "[uploadpack]"]
    lines += ["allowAnySHA1InWant = true"]
    lines += [line for line in format_lines(source) if not line.startswith("refStorage")]
    return "\n".join(lines) + "\n"
