"""The unix socket of a journal's owner: owner-only from its first moment, bounded, supervised.

Only the owner may serve: whoever holds the lock knows that an older socket file is dead.
"""

import asyncio
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from cockpit.rpc.connection import Connection
from cockpit.rpc.dispatch import DeskLike, Dispatcher, Method, Registry
from cockpit.rpc.limits import Limits
from cockpit.rpc.peers import peer_uid
from core.errors import Refused
from core.folders import SOCKET_PATH_LIMIT
from core.operations import REGISTRY
from core.private_files import make_folder

_log = structlog.get_logger(__name__)
_BACKLOG = 128
_SOCKET_UMASK = 0o177


class RpcServer:
    """Serves one Desk on one socket, from ``async with`` to its end.

    Args:
        methods: what the process itself answers, such as ``daemon.status``.
        patience: seconds that requests under way get at the end.
    """

    def __init__(
        self,
        desk: DeskLike,
        path: Path,
        *,
        methods: Mapping[str, Method] | None = None,
        registry: Registry = REGISTRY,
        limits: Limits | None = None,
        patience: float = 2.0,
    ):
        self.path = path
        self.limits = limits or Limits()
        self.dispatcher = Dispatcher(desk, methods=methods, registry=registry)
        self._patience = patience
        self.work: set[asyncio.Task[Any]] = set()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._inode = 0
        self._ending = False

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            Refused: ``SOCKET_NOT_MADE`` or ``FOLDER_NOT_PRIVATE``.
        """
        listener = bind_private(self.path)
        self._inode = self.path.lstat().st_ino
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: Connection(self), sock=listener, backlog=_BACKLOG
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening, let requests under way end for a while, hang up."""
        assert self._server is not None
        self._ending = True  # what the kernel accepted a moment ago is hung up on
        self._server.close()
        self._remove_socket()
        if self._sweep is not None:
            self._sweep.cancel()
        await self._finish()
        hanging_up = [each.hang_up() for each in self._connections]
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.gather(*hanging_up)
        except TimeoutError:  # somebody does not read the answers
            for connection in tuple(self._connections):
                connection.drop()
            await asyncio.gather(*(each.hang_up() for each in tuple(self._connections)))

    async def _finish(self) -> None:
        """Let requests under way end for a while, then cancel them."""
        if not self.work:
            return
        _, late = await asyncio.wait(self.work, timeout=self._patience)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _remove_socket(self) -> None:
        try:
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        except FileNotFoundError:
            pass  # somebody removed it by hand

    def arrived(self, connection: Connection) -> bool:
        """Let a client in, if it is the same user and there is room for it."""
        if self._ending or not _is_own(connection):
            return False
        if len(self._connections) >= self.limits.clients and not self._make_room():
            _log.warning("rpc_full", clients=len(self._connections))
            return False
        self._connections.add(connection)
        self._plan_sweep()
        return True

    def left(self, connection: Connection) -> None:
        """Forget a client."""
        self._connections.discard(connection)

    def _make_room(self) -> bool:
        idle = [each for each in self._connections if not each.busy]
        if not idle:
            return False
        longest = min(idle, key=lambda each: each.heard_at)
        self._connections.discard(longest)
        longest.drop()
        return True

    def _plan_sweep(self) -> None:
        if self._sweep is None and self._connections:
            shortest = min(self.limits.idle_seconds, self.limits.stalled_seconds)
            self._sweep = asyncio.get_running_loop().call_later(shortest / 2, self._drop_silent)

    def _drop_silent(self) -> None:
        self._sweep = None
        now = asyncio.get_running_loop().time()
        for each in tuple(self._connections):
            stalled = each.stalled_at is not None and (
                now - each.stalled_at >= self.limits.stalled_seconds
            )
            if stalled or (not each.busy and now - each.heard_at >= self.limits.idle_seconds):
                _log.info("rpc_client_dropped", stalled=stalled)
                each.drop()
        self._plan_sweep()


def _is_own(connection: Connection) -> bool:
    assert connection.transport is not None
    peer = connection.transport.get_extra_info("socket")
    try:
        uid = peer_uid(peer)
    except OSError as error:
        _log.warning("rpc_peer_unknown", error=str(error))
        return False
    if uid != os.getuid():
        _log.warning("rpc_peer_refused", uid=uid)
        return False
    return True


def bind_private(path: Path) -> socket.socket:
    """A socket bound to ``path``, 0600 in a 0700 folder; one left by a dead owner is removed.

    Raises:
        Refused: ``SOCKET_NOT_MADE``, or ``FOLDER_NOT_PRIVATE`` for its folder.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise _not_made(path, f"its path is longer than {SOCKET_PATH_LIMIT} bytes")
    make_folder(path.parent)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(_SOCKET_UMASK)  # asyncio would bind 0755 and leave a moment open
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        listener.close()
        raise _not_made(path, str(error.strerror)) from None
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise _not_made(path, "something else lies there")
    path.unlink()


def _not_made(path: Path, why: str) -> Refused:
    return Refused(
        "SOCKET_NOT_MADE",
        f"The socket {path} cannot be made: {why}.",
        recovery="Remove what lies there, or set COCKPIT_HOME to another folder.",
        data={"socket": str(path)},
    )
