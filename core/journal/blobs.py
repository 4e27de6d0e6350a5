"""Large values by their SHA-256: written once, checked when read, never followed through links."""

import hashlib
import os
import stat
import tempfile
from io import BufferedReader
from pathlib import Path
from typing import IO, BinaryIO

from core.errors import Broken, Invalid, Refused
from core.private_files import make_folder, write_private

_PIECE = 1 << 20  # bytes
_HEX = frozenset("0123456789abcdef")


class Blobs:
    """A folder of content-addressed files."""

    def __init__(self, folder: Path):
        """Use ``folder``; it is made 0700."""
        make_folder(folder)
        self._folder = folder

    def put(self, content: bytes | Path) -> str:
        """Store ``content`` durably; its digest. A damaged copy of it is replaced.

        Args:
            content: the bytes, or a regular file to copy piece by piece, of any size.

        Raises:
            Invalid: the file can't be read, or is a link or no regular file.
            Refused: ``FILE_NOT_WRITTEN``; nothing is left behind.
        """
        if isinstance(content, Path):
            return self._put_file(content)
        digest = hashlib.sha256(content).hexdigest()
        path = self._path(digest)
        if _content(path) != content:
            make_folder(path.parent)
            write_private(path, content)
        return digest

    def read(self, digest: str) -> bytes:
        """The content.

        Raises:
            Invalid: no digest of ours, or nothing is stored under it.
            Broken: the file was changed.
        """
        with self._found(digest) as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != digest:
            raise _changed(digest)
        return content

    def open(self, digest: str) -> BufferedReader:
        """The content as a file at its beginning, after it was checked. The caller closes it.

        Raises:
            Invalid: no digest of ours, or nothing is stored under it.
            Broken: the file was changed.
        """
        file = self._found(digest)
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            file.close()
            raise _changed(digest)
        file.seek(0)
        return file

    def _found(self, digest: str) -> BufferedReader:
        file = _opened(self._path(digest))
        if file is None:
            raise Invalid(
                "digest",
                f"No content is stored as {digest!r}.",
                recovery="Use a digest that an event names.",
            )
        return file

    def _put_file(self, source: Path) -> str:
        file = _opened(source)
        if file is None:
            raise Invalid(
                "content",
                f"{source} is no regular file that can be read.",
                recovery="Give a file of your own, and no link.",
            )
        try:
            with file:
                return self._put_opened(file)
        except OSError as error:
            raise Refused(
                "FILE_NOT_WRITTEN",
                f"The content of {source} can't be stored: {error.strerror}.",
                recovery="Free some space; nothing was changed.",
                data={"file": str(source)},
            ) from error

    def _put_opened(self, file: BinaryIO) -> str:
        handle, name = tempfile.mkstemp(prefix=".put.", dir=self._folder)  # 0600
        try:
            with os.fdopen(handle, "wb") as copy:
                digest = _copied(file, copy)
                os.fsync(handle)
            path = self._path(digest)
            make_folder(path.parent)
            Path(name).replace(path)
            _sync(path.parent)
        finally:
            Path(name).unlink(missing_ok=True)
        return digest

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not _HEX.issuperset(digest):
            raise Invalid(
                "digest",
                f"{digest!r} is no digest.",
                recovery="A digest is 64 hexadecimal digits in lower case.",
            )
        return self._folder / digest[:2] / digest


def _changed(digest: str) -> Broken:
    return Broken(f"The stored content {digest} was changed.", data={"digest": digest})


def _opened(path: Path) -> BufferedReader | None:
    """The regular file at ``path``, opened without following a link; None where there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    return None


def _content(path: Path) -> bytes | None:
    file = _opened(path)
    if file is None:
        return None
    with file:
        return file.read()


def _copied(source: BinaryIO, target: IO[bytes]) -> str:
    """Copy to the end; the digest of exactly what was copied."""
    sum_ = hashlib.sha256()
    while piece := source.read(_PIECE):
        sum_.update(piece)
        target.write(piece)
    target.flush()
    return sum_.hexdigest()


def _sync(folder: Path) -> None:
    """Make the names in ``folder`` as durable as the files."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
