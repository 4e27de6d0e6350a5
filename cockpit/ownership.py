"""Exactly one process owns a journal: a kernel lock for life, with the owner's facts beside it.

The lock decides, and a crash frees it; the facts only say whom to ask. It opens no journal itself.
"""

import fcntl
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import orjson

from core.errors import Invalid, Refused
from core.folders import Folders
from core.private_files import FILE_MODE, read_private, write_private

Kind = Literal["daemon", "command"]
_FACTS_LIMIT = 64 * 1024
_START_TOLERANCE = 2.0  # seconds; the kernel counts a start in ticks since boot


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a journal.

    Attributes:
        started_at: seconds since the epoch, of the process; tells a reused pid from the owner.
        kind: the daemon, or a command for its duration.
        configuration: digest of the settings in force.
    """

    pid: int
    started_at: float
    socket: str
    kind: Kind
    configuration: str = ""

    def alive(self) -> bool:
        """Whether that very process still runs."""
        started = process_start(self.pid)
        return started is not None and abs(started - self.started_at) < _START_TOLERANCE


def process_start(pid: int) -> float | None:
    """When process ``pid`` started, in seconds since the epoch; None when there is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except psutil.Error:
        return None


def lock_file(folders: Folders) -> Path:
    """The file whose kernel lock is the ownership."""
    return folders.data / "owner.lock"


def facts_file(folders: Folders) -> Path:
    """The file that says who holds the lock."""
    return folders.data / "owner.json"


def owner_of(folders: Folders) -> Owner | None:
    """The living owner by its own word; None when there is none, or it has not spoken yet."""
    found = _facts(facts_file(folders))
    return found if found is not None and found.alive() else None


def _facts(path: Path) -> Owner | None:
    try:
        content = read_private(path, field="owner", limit=_FACTS_LIMIT)
        return Owner(**orjson.loads(content))
    except (FileNotFoundError, Invalid, TypeError, ValueError):
        return None  # facts are only a hint: the lock decides


class Ownership:
    """The right to open one journal, until :meth:`release` or the end of the process."""

    def __init__(self, folders: Folders, handle: int, owner: Owner):
        """Hold a lock that was taken; use :meth:`take`."""
        self._folders = folders
        self._handle = handle
        self.owner = owner

    @classmethod
    def take(cls, folders: Folders, *, kind: Kind, configuration: str = "") -> Self:
        """Become the owner; the folders must exist.

        Raises:
            Refused: ``JOURNAL_OWNED`` with the owner's pid, kind and socket.
        """
        handle = _lock(folders)
        try:
            # A lock file that was removed by hand lets two lock; the owner's word still counts.
            other = owner_of(folders)
            if other is not None:
                raise _owned(folders, other)
            started = process_start(os.getpid()) or time.time()
            owner = Owner(os.getpid(), started, str(folders.socket), kind, configuration)
            ownership = cls(folders, handle, owner)
            ownership.tell(configuration)
        except BaseException:
            os.close(handle)
            raise
        return ownership

    def tell(self, configuration: str) -> None:
        """Write the owner's facts, with the configuration now in force."""
        self.owner = replace(self.owner, configuration=configuration)
        write_private(facts_file(self._folders), orjson.dumps(asdict(self.owner)))

    def release(self) -> None:
        """Let another process own the journal. A second call does nothing."""
        if self._handle < 0:
            return
        facts_file(self._folders).unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _lock(folders: Folders) -> int:
    path = lock_file(folders)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise _owned(folders, owner_of(folders)) from None
        if _is_same_file(handle, path):
            return handle
        os.close(handle)  # it was removed between opening and locking


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def _owned(folders: Folders, owner: Owner | None) -> Refused:
    data: dict[str, Any] = {"data": str(folders.data), "socket": str(folders.socket)}
    who = "Another process"
    if owner is not None:
        data |= asdict(owner)
        who = f"The {owner.kind} with process id {owner.pid}"
    return Refused(
        "JOURNAL_OWNED",
        f"{who} owns the journal in {folders.data}.",
        recovery=f"Talk to it over {data['socket']}, or stop it with 'cockpit daemon stop'.",
        data=data,
    )
