"""A local forge: enough of GitHub's REST API for drafts, beside a bare repository on this machine.

It keeps its pull requests in a file, so that it survives a restart, and it has no way to merge.
"""

import asyncio
import socket
from collections.abc import Generator, Mapping
from contextlib import contextmanager
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

Json = dict[str, Any]


class _Server(uvicorn.Server):
    """uvicorn in the caller's loop, which handles its own signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing is captured."""
        yield


class LocalForge:
    """Serves the repositories it was told of, on a loopback port."""

    def __init__(self, repositories: Mapping[str, Path], folder: Path, *, port: int = 0):
        """Serve ``owner/name`` → bare repository; keep pull requests in ``folder``."""
        self._repositories = dict(repositories)
        self._file = folder / "pull_requests.json"
        make_folder(folder)
        self._wanted_port = port
        self.port = 0

    async def __aenter__(self) -> Self:
        """Listen."""
        app = Starlette(
            routes=[
                Route("/repos/{owner}/{name}/pulls", self._list, methods=["GET"]),
                Route("/repos/{owner}/{name}/pulls", self._create, methods=["POST"]),
                Route("/repos/{owner}/{name}/pulls/{number:int}", self._read, methods=["GET"]),
            ]
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

    def _pulls(self) -> list[Json]:
        try:
            found: list[Json] = orjson.loads(self._file.read_bytes())
        except FileNotFoundError:
            return []
        return found

    def _repository(self, request: Request) -> tuple[str, Path] | None:
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        folder = self._repositories.get(name)
        return (name, folder) if folder else None

    async def _list(self, request: Request) -> JSONResponse:
        known = self._repository(request)
        if known is None:
            return _not_found()
        head = request.query_params.get("head", "").partition(":")[2]
        state = request.query_params.get("state", "open")
        found = [
            pull
            for pull in reversed(self._pulls())
            if pull["base"]["repo"]["full_name"] == known[0]
            and head in ("", pull["head"]["ref"])
            and state in ("all", pull["state"])
        ]
        return JSONResponse(found)

    async def _read(self, request: Request) -> JSONResponse:
        known = self._repository(request)
        number = request.path_params["number"]
        for pull in self._pulls():
            if known and pull["number"] == number:
                return JSONResponse(pull)
        return _not_found()

    async def _create(self, request: Request) -> JSONResponse:
        known = self._repository(request)
        if known is None:
            return _not_found()
        try:
            asked = orjson.loads(await request.body())
        except ValueError:
            return JSONResponse({"message": "Problems parsing JSON"}, 400)
        return await asyncio.to_thread(self._make, asked, *known)

    def _make(self, asked: Any, name: str, folder: Path) -> JSONResponse:
        wrong = _wrong_field(asked)
        if wrong:
            return _invalid(wrong, "missing_field")
        pulls = self._pulls()
        head, base = asked["head"].rpartition(":")[2], asked["base"]
        heads = {branch: _sha_of(folder, branch) for branch in (head, base)}
        for branch, field in ((head, "head"), (base, "base")):
            if heads[branch] is None:
                return _invalid(field, "invalid")
        if any(p["head"]["ref"] == head and p["state"] == "open" for p in pulls):
            return _invalid("head", "custom", f"A pull request already exists for {name}:{head}.")
        number = len(pulls) + 1
        pull = self._pull(asked, name, number, shas=heads, refs=(head, base))
        write_private(self._file, orjson.dumps([*pulls, pull]))
        return JSONResponse(pull, 201)

    def _pull(
        self,
        asked: Json,
        name: str,
        number: int,
        *,
        shas: Mapping[str, str | None],
        refs: tuple[str, str],
    ) -> Json:
        sides = [
            {"ref": ref, "sha": shas[ref], "label": ref, "repo": {"full_name": name}}
            for ref in refs
        ]
        return {
            "number": number,
            "state": "open",
            "draft": asked.get("draft") is True,
            "title": asked["title"],
            "body": asked.get("body") or "",
            "merged_at": None,
            "html_url": f"{self.url}/{name}/pull/{number}",
            "url": f"{self.url}/repos/{name}/pulls/{number}",
            "head": sides[0],
            "base": sides[1],
        }


def _wrong_field(asked: Any) -> str:
    if not isinstance(asked, dict):
        return "body"
    wrong = [n for n in ("title", "head", "base") if not isinstance(asked.get(n), str)]
    if not isinstance(asked.get("draft", False), bool):
        wrong.append("draft")
    return wrong[0] if wrong else ""


def _sha_of(folder: Path, branch: str) -> str | None:
    """A branch's commit, read from the ref files of a bare repository."""
    if ".." in branch or branch.startswith("/"):
        return None
    loose = folder / "refs" / "heads" / branch
    if loose.is_file():
        return loose.read_text(encoding="ascii").strip()
    packed = folder / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.is_file() else []
    wanted = f" refs/heads/{branch}"
    return next((line.partition(" ")[0] for line in lines if line.endswith(wanted)), None)


def _not_found() -> JSONResponse:
    return JSONResponse({"message": "Not Found", "documentation_url": ""}, 404)


def _invalid(field: str, code: str, message: str = "") -> JSONResponse:
    error = {"resource": "PullRequest", "field": field, "code": code, "message": message}
    return JSONResponse(
        {"message": "Validation Failed", "errors": [error], "documentation_url": ""}, 422
    )
