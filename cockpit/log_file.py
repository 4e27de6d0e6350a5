"""The daemon's log: one JSON object a line, redacted, rotated, flushed at once; and reading it."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import structlog

from core.judgement.secrets import redact
from core.private_files import FILE_MODE

_MAX_BYTES = 50 * 1024 * 1024
_MAX_FILES = 5
_BLOCK = 64 * 1024


class PrivateRotatingFile(RotatingFileHandler):
    """A rotating file that only its owner can read."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self.baseFilename, flags, FILE_MODE)
        return TextIOWrapper(os.fdopen(handle, "ab"), encoding="utf-8", errors="backslashreplace")


def log_to(
    path: Path,
    *,
    also: TextIO | None = None,
    verbose: bool = False,
    max_bytes: int = _MAX_BYTES,
    max_files: int = _MAX_FILES,
) -> logging.Handler:
    """Send every log line of this process to ``path`` (and to ``also``); close what it returns.

    Args:
        max_bytes: size at which a file is put aside.
        max_files: how many are kept, the current one included.
    """
    file = PrivateRotatingFile(path, maxBytes=max_bytes, backupCount=max_files - 1)
    handlers: list[logging.Handler] = [file]
    if also is not None:
        handlers.append(logging.StreamHandler(also))
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    line = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redacted,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
    )
    for handler in handlers:
        handler.setFormatter(line)
    logging.basicConfig(
        handlers=handlers, level=logging.DEBUG if verbose else logging.INFO, force=True
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return file


def log_to_stderr(*, verbose: bool) -> None:
    """Keep standard output for answers: a command's log goes to standard error, if at all."""
    lowest = logging.DEBUG if verbose else logging.WARNING
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redacted,
            structlog.processors.KeyValueRenderer(
                key_order=["timestamp", "level", "event"], repr_native_str=False
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    if verbose:
        logging.basicConfig(level=lowest)


def redacted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A log entry whose texts hold no secret."""
    return {key: _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): _clean(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(each) for each in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redact(str(value))


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a file, read from its end; none when there is no file."""
    if count <= 0 or not path.exists():
        return []
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        tail = b""
        while at > 0 and tail.count(b"\n") <= count:
            step = min(_BLOCK, at)
            at -= step
            file.seek(at)
            tail = file.read(step) + tail
    lines = tail.decode("utf-8", errors="replace").splitlines()
    return lines[-count:]


class Tail:
    """What is added to a log, also over its rotation.

    Args:
        path: the current file.
    """

    def __init__(self, path: Path):
        self._path = path
        self._rest = b""
        self._file = self._opened()
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def _opened(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def news(self) -> Iterator[str]:
        """The complete lines added since the last call."""
        if self._file is None:
            self._file = self._opened()
        if self._file is None:
            return
        yield from self._read(self._file)
        if not self._is_current(self._file):
            self._file.close()
            self._file = self._opened()
            if self._file is not None:
                yield from self._read(self._file)

    def _is_current(self, file: BinaryIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return True

    def _read(self, file: BinaryIO) -> Iterator[str]:
        *lines, self._rest = (self._rest + file.read()).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", errors="replace")

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
