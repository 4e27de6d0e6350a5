"""The embedded model server of the rehearsal: three wire formats on loopback, one script a path.

It keeps nothing between two requests: who asks, and at which turn, stands in the request. It must
not decide anything about a mission; it only answers as its script says.
"""

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Self

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from core.context import Context
from core.errors import Broken, NotFound
from core.tasks import spawn
from runner.rehearsal.exchange import Stage, exchange
from runner.rehearsal.playback import ExpectedCuts
from runner.rehearsal.scripts import Script

_HOST = "127.0.0.1"
_RECORDED = 1_000
_GRACE_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that was answered; ``role`` is empty where nobody said who asks."""

    script: str
    provider: str
    role: str
    path: str
    status: int


class _Server(uvicorn.Server):
    """uvicorn in the caller's loop: no signal handlers, and events instead of polling."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.closing = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.closing.wait()


class RehearsalServer:
    """Answers model requests out of scripts; the first piece of the path names the script.

    Args:
        scripts: by name; a name may hold letters, digits, ``-`` and ``_``.
        port: a fixed port, for example the one before a restart; 0 takes a free one.
        context: the clock, for the reset time of a limit.

    ``requests`` holds the last thousand requests, oldest first.
    """

    def __init__(
        self, scripts: Mapping[str, Script], *, port: int = 0, context: Context | None = None
    ) -> None:
        self._scripts = dict(scripts)
        self._port = port
        self._context = context or Context()
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._filter = ExpectedCuts()
        self.requests: deque[Seen] = deque(maxlen=_RECORDED)

    async def start(self) -> None:
        """Listen on loopback; returns when requests are accepted.

        Raises:
            OSError: the fixed port is taken.
            Broken: it was started already, or the web server ended at once.
        """
        if self._server is not None:
            raise Broken("The rehearsal server was started twice.")
        listener = socket.create_server((_HOST, self._port))
        self._port = listener.getsockname()[1]
        server = _Server(self._config())
        serving = spawn(server.serve([listener]), name="rehearsal-server")
        self._server, self._serving = server, serving
        logging.getLogger("uvicorn.error").addFilter(self._filter)
        ready = spawn(server.ready.wait(), name="rehearsal-server-ready")
        await asyncio.wait((ready, serving), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await self.close()
            raise Broken("The rehearsal server ended before it listened.")

    async def close(self) -> None:
        """Stop listening, end what hangs, and wait until nothing runs; harmless twice."""
        server, serving = self._server, self._serving
        if server is None or serving is None:
            return
        self._server = self._serving = None
        server.closing.set()
        try:
            await serving
        finally:
            logging.getLogger("uvicorn.error").removeFilter(self._filter)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def port(self) -> int:
        """The port it listens on; 0 before the first start where none was fixed."""
        return self._port

    def base_url(self, script: str) -> str:
        """Where a client finds ``script``, without a slash at the end.

        Raises:
            NotFound: no such script.
            Broken: the server does not listen.
        """
        if script not in self._scripts:
            raise NotFound("rehearsal", script)
        if self._server is None:
            raise Broken("The rehearsal server does not listen.")
        return f"http://{_HOST}:{self._port}/{script}"

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request and record what became of it before the first byte goes out."""
        name, _, path = scope["path"].lstrip("/").partition("/")
        request = Request(scope, receive)
        try:
            played = await exchange(self._stage(name), path, request)
        except ClientDisconnect:
            return
        self.requests.append(Seen(name, played.provider, played.role, f"/{path}", played.status))
        await played.response(scope, receive, send)

    def _stage(self, name: str) -> Stage | None:
        script, server = self._scripts.get(name), self._server
        if script is None or server is None:
            return None
        return Stage(script, int(self._context.now().timestamp()), server.closing)

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
