"""Starts git: from an argument list, in an environment made from nothing, in its own session.

No other module starts git. Nothing here knows what a call means.
"""

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from core.errors import Unavailable
from core.private_files import make_folder
from runner.git.environment import git_environment
from runner.git.locks import remove_old

OUTPUT_LIMIT = 256 * 1024 * 1024
LOCAL_SECONDS = 300.0
OLDEST = (2, 34, 0)
_STDERR_KEPT = 4000
_CHUNK = 64 * 1024
_GRACE_SECONDS = 2.0
_VERSION = re.compile(rb"git version (\d+)\.(\d+)(?:\.(\d+))?")
Argument = str | bytes | Path


@dataclass(frozen=True, slots=True)
class GitOutput:
    """What a git process said: whole standard output, the end of standard error, exit code."""

    stdout: bytes
    stderr: str
    code: int

    @property
    def text(self) -> str:
        """Standard output as text, foreign bytes as surrogate escapes, without the last newline."""
        return os.fsdecode(self.stdout).removesuffix("\n")


@dataclass(frozen=True, slots=True)
class Site:
    """The repository of a call, always told and never discovered.

    Attributes:
        git_dir: a git folder whose configuration we wrote; None for calls without a repository.
        work_tree: the files, where a call needs them.
        index: an index of the call's own.
    """

    git_dir: Path | None
    work_tree: Path | None = None
    index: Path | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """What one call may do beyond its repository.

    Attributes:
        protocols: transports it may use; none by default.
        variables: on top of the environment.
        settings: configuration on top of the overrides.
        descriptors: open files that the process inherits.
    """

    protocols: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()


NO_LEAVE = Leave()


class GitFailed(Unavailable):
    """Git ended badly, took too long or said too much.

    ``data`` holds ``command``, ``exit_code`` (None when it was stopped), ``stderr`` (its end) and
    ``reason`` (failed, timed_out, too_much_output, not_started).
    """

    def __init__(self, command: str, *, exit_code: int | None, stderr: str, reason: str = "failed"):
        full = "No space left on device" in stderr or "Disk quota exceeded" in stderr
        self.command = command
        self.exit_code = exit_code
        self.stderr = stderr
        self.reason = reason
        super().__init__(
            "HOLD-DISK-SPACE" if full else "HOLD-EVIDENCE-INCOMPLETE",
            f"git {command} did not work ({reason}): {stderr.strip()[-500:] or 'no message'}",
            recovery="Free some space." if full else "Look at the message of git, then retry.",
            data={
                "command": command,
                "exit_code": exit_code,
                "stderr": stderr,
                "reason": reason,
            },
        )


class GitDoor:
    """Runs git and nothing else."""

    def __init__(self, home: Path, git: str = "git"):
        """Make the folders that git sees as its own.

        Args:
            home: a private folder; ``empty`` and ``scratch`` below it are made.
            git: the program, a name for ``PATH`` or a path.

        Raises:
            Refused: the folder is not private.
        """
        self._path = os.environ.get("PATH", os.defpath)
        self._git = shutil.which(git) or git
        make_folder(home)
        self._home = home.resolve()
        self.empty = self._home / "empty"
        self.scratch = self._home / "scratch"
        make_folder(self.empty)
        make_folder(self.scratch)
        for left in self.scratch.iterdir():
            remove_old(left)
        self._version: tuple[int, int, int] | None = None

    async def version(self) -> tuple[int, int, int]:
        """Git's version.

        Raises:
            Unavailable: ``GIT_UNAVAILABLE`` when there is none, or it is older than 2.34.
        """
        if self._version is None:
            try:
                output = await self.run(["--version"], Site(None), seconds=30)
            except GitFailed as error:
                raise _no_git(f"Git does not start: {error.stderr}") from None
            found = _VERSION.match(output.stdout)
            if found is None:
                raise _no_git("Git does not tell its version.")
            self._version = (int(found[1]), int(found[2]), int(found[3] or 0))
        if self._version < OLDEST:
            raise _no_git(f"Git {'.'.join(map(str, self._version))} is too old.")
        return self._version

    async def run(
        self,
        args: Sequence[Argument],
        site: Site,
        *,
        stdin: bytes = b"",
        seconds: float = LOCAL_SECONDS,
        ok: tuple[int, ...] = (0,),
        leave: Leave = NO_LEAVE,
    ) -> GitOutput:
        """Run git to its end.

        Args:
            args: subcommand and arguments; never a shell's words.
            seconds: then its whole process group is ended.
            ok: exit codes that are answers, not failures.

        Raises:
            GitFailed: any other end.
        """
        with self._file() as out:
            code, stderr = await self.run_to(
                out, args, site, stdin=stdin, seconds=seconds, ok=ok, leave=leave
            )
            stdout = await _content(out, _name(args))
        return GitOutput(stdout, stderr, code)

    async def run_to(
        self,
        out: IO[bytes],
        args: Sequence[Argument],
        site: Site,
        *,
        stdin: bytes = b"",
        seconds: float = LOCAL_SECONDS,
        ok: tuple[int, ...] = (0,),
        leave: Leave = NO_LEAVE,
    ) -> tuple[int, str]:
        """Run git with its standard output going into the file ``out``; like :meth:`run`."""
        with self._file() as source, self._file() as err:
            await asyncio.to_thread(_fill, source, stdin)
            argv, options = self._call(args, site, leave)
            try:
                async with (
                    asyncio.timeout(seconds),
                    _started(argv, stdin=source, stdout=out, stderr=err, **options) as process,
                ):
                    code = await process.wait()
            except TimeoutError:
                raise GitFailed(
                    _name(args), exit_code=None, stderr=_tail(err), reason="timed_out"
                ) from None
            stderr = _tail(err)
        if code not in ok:
            raise GitFailed(_name(args), exit_code=code, stderr=stderr)
        return code, stderr

    @asynccontextmanager
    async def stream(
        self, args: Sequence[Argument], site: Site, *, seconds: float = LOCAL_SECONDS
    ) -> AsyncIterator[asyncio.StreamReader]:
        """Read git's output piece by piece; leaving early ends git and is no failure.

        Raises:
            GitFailed: output was read to its end and git failed, or time ran out.
        """
        argv, options = self._call(args, site, NO_LEAVE)
        with self._file() as err:
            try:
                async with (
                    asyncio.timeout(seconds),
                    _started(
                        argv,
                        stdin=asyncio.subprocess.DEVNULL,
                        stdout=asyncio.subprocess.PIPE,
                        stderr=err,
                        **options,
                    ) as process,
                ):
                    assert process.stdout is not None
                    yield process.stdout
                    if not process.stdout.at_eof():
                        return
                    code = await process.wait()
            except TimeoutError:
                raise GitFailed(
                    _name(args), exit_code=None, stderr=_tail(err), reason="timed_out"
                ) from None
            stderr = _tail(err)
        if code != 0:
            raise GitFailed(_name(args), exit_code=code, stderr=stderr)

    def _file(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self.scratch)

    def _call(
        self, args: Sequence[Argument], site: Site, leave: Leave
    ) -> tuple[list[Argument], dict[str, Any]]:
        argv: list[Argument] = [self._git, "--no-pager"]
        settings = dict(leave.settings)
        if site.git_dir is not None:
            argv.append(f"--git-dir={site.git_dir}")
        if site.work_tree is not None:
            argv.append(f"--work-tree={site.work_tree}")
            settings["core.bare"] = "false"
        environment = git_environment(
            home=self.empty, scratch=self.scratch, path=self._path, settings=settings
        )
        if leave.protocols:
            environment["GIT_ALLOW_PROTOCOL"] = ":".join(leave.protocols)
        if site.index is not None:
            environment["GIT_INDEX_FILE"] = str(site.index)
        environment.update(leave.variables)
        options = {"env": environment, "cwd": self.empty, "pass_fds": leave.descriptors}
        return [*argv, *args], options


@asynccontextmanager
async def _started(
    argv: Sequence[Argument], **options: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    try:
        process = await asyncio.create_subprocess_exec(*argv, start_new_session=True, **options)
    except OSError as error:
        raise GitFailed(
            _name(argv[1:]), exit_code=None, stderr=str(error), reason="not_started"
        ) from None
    try:
        yield process
    finally:
        if process.returncode is None:
            await _end(process)
        await _drained(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the whole group to end, so that git removes its lock files; then make it."""
    _signal(process, signal.SIGTERM)
    try:
        async with asyncio.timeout(_GRACE_SECONDS):
            await _drained(process)
            await process.wait()
    except TimeoutError:
        pass
    finally:
        _signal(process, signal.SIGKILL)
    await _drained(process)
    await process.wait()


async def _drained(process: asyncio.subprocess.Process) -> None:
    """Read what is left to read: asyncio sees no end, and closes no pipe, before that."""
    if process.stdout is not None:
        while await process.stdout.read(_CHUNK):
            pass


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _fill(file: IO[bytes], content: bytes) -> None:
    if content:
        file.write(content)
        file.flush()
        file.seek(0)


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _STDERR_KEPT))
    return file.read(_STDERR_KEPT).decode("utf-8", "replace")


async def _content(file: IO[bytes], command: str) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > OUTPUT_LIMIT:
        raise GitFailed(command, exit_code=0, stderr="", reason="too_much_output")
    if size <= _CHUNK:
        return file.read()
    return await asyncio.to_thread(file.read)


def _name(args: Sequence[Argument]) -> str:
    for arg in args:
        text = os.fsdecode(arg)
        if not text.startswith("-"):
            return text
    return os.fsdecode(args[0]) if args else ""


def _no_git(sentence: str) -> Unavailable:
    return Unavailable(
        "GIT_UNAVAILABLE", sentence, recovery="Install git 2.34 or newer and put it on PATH."
    )
