"""Large values by their SHA-256: written once, checked when read, never followed through links."""

import hashlib
import os
import stat
from pathlib import Path

from core.errors import Broken, Invalid
from core.private_files import make_folder, write_private

_HEX = frozenset("0123456789abcdef")


class Blobs:
    """A folder of content-addressed files."""

    def __init__(self, folder: Path):
        """Use ``folder``; it is made 0700."""
        make_folder(folder)
        self._folder = folder

    def put(self, content: bytes) -> str:
        """Store ``content`` durably; its digest. A damaged copy of it is replaced."""
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
        content = _content(self._path(digest))
        if content is None:
            raise Invalid(
                "digest",
                f"No content is stored as {digest!r}.",
                recovery="Use a digest that an event names.",
            )
        if hashlib.sha256(content).hexdigest() != digest:
            raise Broken(f"The stored content {digest} was changed.")
        return content

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not _HEX.issuperset(digest):
            raise Invalid(
                "digest",
                f"{digest!r} is no digest.",
                recovery="A digest is 64 hexadecimal digits in lower case.",
            )
        return self._folder / digest[:2] / digest


def _content(path: Path) -> bytes | None:
    """What the file holds; None where there is no regular file of ours."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read() if stat.S_ISREG(os.fstat(handle).st_mode) else None
