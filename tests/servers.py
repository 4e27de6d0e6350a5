"""Starts the wire servers by others, each as its own process on a free loopback port."""

import queue
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest

_ROOT = Path(__file__).resolve().parent
_LISTENING = re.compile(r"listening on (http://127\.0\.0\.1:[0-9]+)")
_SECONDS = 60.0
DESCRIPTION = _ROOT / "data" / "github-openapi.json"


def node_tools() -> ModuleType:
    """``tests/node/install.py``, whose folder is no package."""
    spec = util.spec_from_file_location("node_install", _ROOT / "node" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def node_modules() -> tuple[Path, Path]:
    """Node and the installed modules; without them the test is skipped, and says why."""
    tools = node_tools()
    try:
        return tools.NODE, tools.install()
    except tools.NotInstalledError as error:
        pytest.skip(f"the npm test tools cannot be installed: {error}")


@contextmanager
def running(*command: str | Path) -> Iterator[str]:
    """A server that says where it listens; it gets no stdin and is ended with the block."""
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process, found))
    reader.start()
    try:
        url = found.get(timeout=_SECONDS)
        assert url, f"{command[1]} ended before it listened"
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)
        reader.join(timeout=10)
        assert process.stdout is not None
        process.stdout.close()


def _read(process: subprocess.Popen[str], found: "queue.Queue[str]") -> None:
    """Read to the end, so that the server never waits for us."""
    assert process.stdout is not None
    for line in process.stdout:
        listening = _LISTENING.search(line)
        if listening:
            found.put(listening[1])
    found.put("")


def free_port() -> int:
    """A loopback port that was free a moment ago, for a server that is started again and again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def aimock(fixtures: Path) -> Iterator[str]:
    """An emulator of the providers that answers from ``fixtures`` and nothing else."""
    node, modules = node_modules()
    cli = modules / "@copilotkit" / "aimock" / "dist" / "cli.js"
    with running(node, cli, "-p", "0", "-f", fixtures, "--strict", "--validate-on-load") as url:
        yield url


@contextmanager
def prism(upstream: str) -> Iterator[str]:
    """A proxy that checks requests and answers against GitHub's own description."""
    node, modules = node_modules()
    cli = modules / "@stoplight" / "prism-cli" / "dist" / "index.js"
    with running(node, cli, "proxy", "--errors", "-p", "0", DESCRIPTION, upstream) as url:
        yield url
