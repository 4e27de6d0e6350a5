"""Opens the core as the journal's owner and serves it, or attaches to the owner there is."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any, Protocol

from pydantic import SecretStr

from cockpit.client import SOCKET_VARIABLE, Client, InProcessClient, SocketClient, socket_path
from cockpit.ownership import Kind, Ownership
from cockpit.profile import Profile, configuration_of
from cockpit.rpc.dispatch import DeskLike, Method
from cockpit.rpc.server import RpcServer
from core.errors import Invalid, Refused, Unavailable
from core.folders import Folders
from core.settings import Settings
from core.tasks import running
from core.vault import Vault

_PATIENCE = 30.0  # seconds that attached clients' requests get at the end of a command
_LATEST = 10.0  # seconds to wait for an owner that is just starting or ending
_FIRST_PAUSE = 0.02
_SILENCE = 10.0  # seconds until an owner that does not answer a ping is told of
_WATCHED = "conductor"


class CoreLike(Protocol):
    """What ``cockpit.compose.open_core`` gives."""

    @property
    def desk(self) -> DeskLike:
        """The Desk that is served."""
        ...


OpenCore = Callable[[Folders, Settings], AbstractAsyncContextManager[Any]]


def real_core(folders: Folders, settings: Settings) -> AbstractAsyncContextManager[CoreLike]:
    """The core with the real parts, imported at first use."""
    from cockpit.compose import open_core

    return open_core(folders, settings)


def reading_core(folders: Folders, settings: Settings) -> AbstractAsyncContextManager[CoreLike]:
    """The core for looking only: nothing is driven. It is not served either."""
    from cockpit.compose import open_to_read

    return open_to_read(folders, settings)


class Standing:
    """How the owner is: what ``daemon.status`` answers.

    Attributes:
        settings_refused: the sentence about a settings file that is not in force.
    """

    def __init__(self, profile: Profile, kind: Kind, configuration: str):
        self.profile = profile
        self.kind = kind
        self.configuration = configuration
        self.settings_refused = ""
        self._started = time.monotonic()
        self._started_at = datetime.now(UTC)
        self._conducted = False

    def tell(self, core: CoreLike, server: RpcServer) -> dict[str, Any]:
        """The facts of this moment."""
        names = sorted(task.get_name() for task in running())
        self._conducted = self._conducted or _WATCHED in names
        head, reasons = _head(core)
        if self._conducted and _WATCHED not in names:
            reasons.append("The conductor has stopped; see the log.")
        if self.settings_refused:
            reasons.append(self.settings_refused)
        return {
            "kind": self.kind,
            "pid": os.getpid(),
            "version": version("operator-cockpit"),
            "started_at": self._started_at.isoformat(),
            "uptime_seconds": self.uptime(),
            "profile": self.profile.folders.profile,
            "data": str(self.profile.folders.data),
            "socket": str(server.path),
            "clients": server.clients,
            "tasks": [name for name in names if not name.startswith("rpc ")],
            "journal_head": head,
            "vault_locked": None if (vault := vault_of(core)) is None else vault.locked,
            "configuration": self.configuration,
            "health": {"state": "degraded" if reasons else "healthy", "reasons": reasons},
        }

    def uptime(self) -> float:
        """Seconds since the start."""
        return round(time.monotonic() - self._started, 1)


def vault_of(core: CoreLike) -> Vault | None:
    """The vault of a core that has one: it can be unlocked over the socket."""
    return getattr(core, "vault", None)


def _head(core: CoreLike) -> tuple[int | None, list[str]]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return core.desk.journal.head(), []
    except SQLAlchemyError as error:
        return None, [f"The journal cannot be read ({type(error).__name__})."]


@asynccontextmanager
async def served(
    core: CoreLike, standing: Standing, stop: Callable[[], None], *, patience: float = _PATIENCE
) -> AsyncIterator[RpcServer]:
    """Serve an open core on its profile's socket.

    Args:
        stop: ends the owner; what ``daemon.stop`` asks for.
    """

    async def status(_: Mapping[str, Any]) -> Mapping[str, Any]:
        """How the owner of this journal is."""
        return standing.tell(core, server)

    async def end(_: Mapping[str, Any]) -> Mapping[str, Any]:
        """End the daemon in good order."""
        if standing.kind != "daemon":
            raise Refused(
                "NOT_A_DAEMON",
                "A command owns this journal for its duration; it is not a daemon.",
                recovery="Wait for it, or interrupt it where it runs.",
                data={"pid": os.getpid()},
            )
        stop()
        return {"stopping": True, "pid": os.getpid()}

    async def unlock(params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Open the vault of this process with its passphrase."""
        return await _unlock(vault_of(core), params)

    methods: dict[str, Method] = {
        "daemon.status": status,
        "daemon.stop": end,
        "vault.unlock": unlock,
    }
    server = RpcServer(
        core.desk, standing.profile.folders.socket, methods=methods, patience=patience
    )
    async with server:
        yield server


async def _unlock(vault: Vault | None, params: Mapping[str, Any]) -> Mapping[str, Any]:
    if vault is None:
        raise Refused("VAULT_ABSENT", "This process keeps no vault open.")
    given = params.get("passphrase")
    if params.keys() != {"passphrase"} or not isinstance(given, str):
        raise Invalid("passphrase", "vault.unlock takes one text, passphrase.")
    passphrase = SecretStr(given)
    await asyncio.to_thread(lambda: vault.unlock(passphrase.get_secret_value()))
    return {"locked": vault.locked, "kind": vault.kind}


@asynccontextmanager
async def owned_core(profile: Profile, open_core: OpenCore = real_core) -> AsyncIterator[Any]:
    """The core, owned by this command for its duration; others attach to it meanwhile.

    Raises:
        Refused: ``JOURNAL_OWNED``.
    """
    settings = profile.settings().value
    folders = profile.folders.make()
    configuration = configuration_of(settings)
    with Ownership.take(folders, kind="command", configuration=configuration):
        if open_core is reading_core:
            async with open_core(folders, settings) as core:
                yield core
            return
        standing = Standing(profile, "command", configuration)
        async with open_core(folders, settings) as core, served(core, standing, _nothing):
            yield core


def _nothing() -> None:
    """A command is not stopped by others."""


@asynccontextmanager
async def attached(
    profile: Profile, *, in_process: bool = False, open_core: OpenCore = real_core
) -> AsyncIterator[Client]:
    """A client of the owner if one runs, else of a core opened here for the duration.

    Args:
        in_process: never attach.

    Raises:
        Refused: ``JOURNAL_OWNED`` in process, or when the owner does not listen in time.
        Unavailable: ``NOT_RUNNING`` when ``COCKPIT_SOCKET`` names a socket without a listener.
    """
    async with AsyncExitStack() as stack:
        client: Client | None = None if in_process else await _reached(profile)
        if client is None:
            client = await _owned_or_reached(profile, stack, open_core, in_process=in_process)
        stack.push_async_callback(client.close)
        yield client


async def _owned_or_reached(
    profile: Profile, stack: AsyncExitStack, open_core: OpenCore, *, in_process: bool
) -> Client:
    latest = time.monotonic() + _LATEST
    pause = _FIRST_PAUSE
    while True:
        try:
            core = await stack.enter_async_context(owned_core(profile, open_core))
        except Refused as refusal:
            if refusal.code != "JOURNAL_OWNED" or in_process or time.monotonic() > latest:
                raise
        else:
            stack.push_async_exit(partial(_rested, core))
            return InProcessClient(core.desk)
        await asyncio.sleep(pause)  # the owner is about to listen, or about to let go
        pause = min(2 * pause, 0.5)
        client = await _reached(profile)
        if client is not None:
            return client


async def _rested(core: CoreLike, kind: type[BaseException] | None, *_: object) -> None:
    """A command that began work and owns the core stays until that work waits or has ended."""
    conductor = getattr(core, "conductor", None)
    if kind is None and conductor is not None:
        await conductor.rest()


async def _reached(profile: Profile) -> SocketClient | None:
    client = SocketClient(socket_path(profile.folders, profile.environment))
    try:
        async with asyncio.timeout(_SILENCE):
            await client.call("ping")
    except TimeoutError:
        await client.close()
        raise Unavailable(
            "OWNER_SILENT",
            f"The owner of the journal listens at {client.path}, and does not answer.",
            recovery="Look at 'cockpit daemon status', or use 'cockpit daemon restart'.",
            data={"socket": str(client.path)},
        ) from None
    except Unavailable:
        await client.close()
        if profile.environment.get(SOCKET_VARIABLE):
            raise
        return None
    return client
