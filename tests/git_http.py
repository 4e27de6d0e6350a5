"""A git server on loopback with Basic authentication, through git's own http backend."""

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    root: Path
    token: str | None
    redirect: str | None
    seen: list[str]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_args: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given = self.headers.get("Authorization", "")
        self.server.seen.append(given)
        if self.server.redirect is not None:
            self.send_response(302)
            self.send_header("Location", self.server.redirect + self.path)
            self.end_headers()
            return
        wanted = base64.b64encode(f"x-access-token:{self.server.token}".encode()).decode()
        if self.server.token is not None and given != f"Basic {wanted}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        self._backend(body)

    def _backend(self, body: bytes) -> None:
        url = urlsplit(self.path)
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "GIT_PROJECT_ROOT": str(self.server.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": url.path,
                "QUERY_STRING": url.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "REMOTE_USER": "x-access-token",
                "REMOTE_ADDR": "127.0.0.1",
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n"))
        self.send_response(int(fields.pop("Status", "200 OK").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class GitServer:
    """A running server; ``seen`` holds every ``Authorization`` header that came in."""

    def __init__(self, server: _Server):
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.seen = server.seen


@contextmanager
def serving(
    root: Path, *, token: str | None = None, redirect: str | None = None
) -> Iterator[GitServer]:
    """Serve the repositories in ``root``; with ``redirect``, send everybody there instead."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.root, server.token, server.redirect, server.seen = root, token, redirect, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield GitServer(server)
        finally:
            server.shutdown()
            thread.join()
