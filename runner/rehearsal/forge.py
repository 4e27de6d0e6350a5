"""A local forge: enough of GitHub's REST API for drafts, beside a bare repository on this machine.

It keeps its pull requests in a file, so that it survives a restart, and it has no way to merge.
"""

import asyncio
import socket
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from core.private_files import make_folder, write_private
from core.tasks import spawn
from runner.rehearsal.bare_refs import commit_of, default_branch
from runner.rehearsal.forge_answers import Pull, invalid, pull_request, refusal, repository

_MOST_REQUEST = 1 << 20
_MOST_BODY = 65_536
_MOST_TITLE = 256


class _Server(uvicorn.Server):
    """uvicorn in the caller's loop, which handles its own signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing is captured."""
        yield


class _Refusal(Exception):
    def __init__(self, status: int, answer: dict[str, Any]):
        super().__init__(status)
        self.response = JSONResponse(answer, status)


class LocalForge:
    """Serves the repositories it was told of, on a loopback port."""

    def __init__(self, repositories: Mapping[str, Path], folder: Path, *, port: int = 0):
        """Serve ``owner/name`` → bare repository; keep pull requests in ``folder``."""
        self._repositories = {name.lower(): (name, path) for name, path in repositories.items()}
        self._file = folder / "pulls.json"
        make_folder(folder)
        self._writing = threading.Lock()
        self._wanted_port = port
        self.port = 0

    async def __aenter__(self) -> Self:
        """Listen."""
        here = "/repos/{owner}/{name}"
        app = Starlette(
            routes=[
                Route(here, self._repository, methods=["GET"]),
                Route(f"{here}/pulls", self._list, methods=["GET"]),
                Route(f"{here}/pulls", self._create, methods=["POST"]),
                Route(f"{here}/pulls/{{number:int}}", self._read, methods=["GET"]),
            ],
            exception_handlers={_Refusal: _refused, 404: _nothing, 405: _nothing},
        )
        listener = socket.create_server(("127.0.0.1", self._wanted_port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        self._server = _Server(config)
        self._task = spawn(self._server.serve(sockets=[listener]), name="local-forge")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self._server.should_exit = True
        await self._task

    @property
    def url(self) -> str:
        """The REST root."""
        return f"http://127.0.0.1:{self.port}"

    def _pulls(self) -> list[Pull]:
        try:
            return [Pull(**each) for each in orjson.loads(self._file.read_bytes())]
        except FileNotFoundError:
            return []

    def _known(self, request: Request) -> tuple[str, Path]:
        if not request.headers.get("authorization"):
            raise _Refusal(401, refusal("Requires authentication"))
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        found = self._repositories.get(name.lower())
        if found is None:
            raise _Refusal(404, refusal("Not Found"))
        return found

    async def _repository(self, request: Request) -> JSONResponse:
        name, folder = self._known(request)
        return JSONResponse(repository(self.url, name, default_branch(folder)))

    async def _list(self, request: Request) -> JSONResponse:
        """Newest first, as GitHub does."""
        name, folder = self._known(request)
        asked = request.query_params
        head, base, state = asked.get("head", ""), asked.get("base", ""), asked.get("state", "open")
        owner = name.partition("/")[0]
        found = [
            pull
            for pull in reversed(await asyncio.to_thread(self._pulls))
            if pull.repository == name
            and head.lower() in ("", f"{owner}:{pull.head}".lower())
            and base in ("", pull.base)
            and state in ("all", pull.state)
        ]
        size, page = _number(asked.get("per_page"), 30, 100), _number(asked.get("page"), 1, 10**6)
        shown = found[(page - 1) * size : page * size]
        return JSONResponse([self._told(pull, folder) for pull in shown])

    async def _read(self, request: Request) -> JSONResponse:
        name, folder = self._known(request)
        number = request.path_params["number"]
        for pull in await asyncio.to_thread(self._pulls):
            if (pull.repository, pull.number) == (name, number):
                return JSONResponse(self._told(pull, folder))
        raise _Refusal(404, refusal("Not Found"))

    def _told(self, pull: Pull, folder: Path) -> dict[str, Any]:
        """With the head as it is now: a later push moves it."""
        facts = pull.stored()
        facts["head_sha"] = commit_of(folder, pull.head) or pull.head_sha
        return pull_request(self.url, Pull(**facts), default_branch(folder))

    async def _create(self, request: Request) -> JSONResponse:
        name, folder = self._known(request)
        raw = b""
        async for piece in request.stream():
            raw += piece
            if len(raw) > _MOST_REQUEST:
                raise _Refusal(413, refusal("Payload too large"))
        try:
            asked = orjson.loads(raw)
        except ValueError:
            raise _Refusal(400, refusal("Problems parsing JSON")) from None
        pull = await asyncio.to_thread(self._make, asked, name, folder)
        return JSONResponse(self._told(pull, folder), 201)

    def _make(self, asked: Any, name: str, folder: Path) -> Pull:
        _check_fields(asked)
        head, base = _branch(asked["head"], name), asked["base"]
        shas = _commits(folder, head, base)
        with self._writing:
            pulls = self._pulls()
            mine = [pull for pull in pulls if pull.repository == name]
            if any((p.head, p.base, p.state) == (head, base, "open") for p in mine):
                owner = name.partition("/")[0]
                there = f"A pull request already exists for {owner}:{head}."
                raise _Refusal(422, invalid("custom", message=there))
            pull = Pull(
                repository=name,
                number=max((each.number for each in mine), default=0) + 1,
                title=asked["title"],
                body=asked.get("body") or "",
                draft=asked.get("draft", False),
                head=head,
                base=base,
                head_sha=shas[0],
                base_sha=shas[1],
                at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            )
            write_private(self._file, orjson.dumps([each.stored() for each in [*pulls, pull]]))
        return pull


def _check_fields(asked: Any) -> None:
    if not isinstance(asked, dict):
        raise _Refusal(422, refusal("Body should be a JSON object"))
    for field in ("title", "head", "base"):
        if not isinstance(asked.get(field), str) or not asked[field].strip():
            raise _Refusal(422, invalid("missing_field", field=field))
    if not isinstance(asked.get("draft", False), bool):
        raise _Refusal(422, invalid("invalid", field="draft"))
    if not isinstance(asked.get("body") or "", str):
        raise _Refusal(422, invalid("invalid", field="body"))
    for field, most in (("title", _MOST_TITLE), ("body", _MOST_BODY)):
        if len(asked.get(field) or "") > most:
            long = f"{field} is too long (maximum is {most} characters)"
            raise _Refusal(422, invalid("custom", field=field, message=long))


def _branch(head: str, name: str) -> str:
    owner, colon, branch = head.rpartition(":")
    if colon and owner.lower() != name.partition("/")[0].lower():
        raise _Refusal(422, invalid("invalid", field="head"))
    return branch


def _commits(folder: Path, head: str, base: str) -> tuple[str, str]:
    found = []
    for field, branch in (("head", head), ("base", base)):
        sha = commit_of(folder, branch)
        if sha is None:
            raise _Refusal(422, invalid("invalid", field=field))
        found.append(sha)
    if found[0] == found[1]:
        same = f"No commits between {base} and {head}"
        raise _Refusal(422, invalid("custom", message=same))
    return found[0], found[1]


def _number(text: str | None, default: int, most: int) -> int:
    plain = text is not None and text.isascii() and text.isdigit() and len(text) < 9
    return min(most, max(1, int(text or 0))) if plain else default


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, _Refusal)
    return error.response


async def _nothing(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse(refusal("Not Found"), 404)
