"""Which remote addresses git may be given: paths, file, https, ssh, and http on loopback only.

Pure. What git would read as an option, a helper (``ext::``) or another protocol is refused.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from core.errors import Invalid

_LONGEST = 2000
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ufeff]|%0[0ad]", re.IGNORECASE)
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}"
_SERVED = re.compile(
    rf"(?P<scheme>https|http|ssh)://(?:(?P<user>{_USER})@)?"
    rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?(?P<path>/[^?#\\]*)"
)
_SCP = re.compile(rf"(?P<user>{_USER})@(?P<host>{_HOST}):(?P<path>(?![-/\\:])[^?#\\:]+)")
_LOOPBACK = re.compile(r"127(?:\.[0-9]{1,3}){3}|\[::1\]")
Scheme = Literal["file", "http", "https", "ssh"]


@dataclass(frozen=True, slots=True)
class Address:
    """A remote that git may be given as it stands.

    Attributes:
        url: exactly what git gets.
        authority: ``host`` or ``host:port``, empty for files.
    """

    url: str
    scheme: Scheme
    user: str = ""
    authority: str = ""
    path: str = ""

    def as_user(self, user: str) -> str:
        """The URL with ``user`` before its host, for http and https."""
        return f"{self.scheme}://{user}@{self.authority}{self.path}"


def parse_address(url: str) -> Address:
    """Check a remote's URL.

    Raises:
        Invalid: with the field ``url``, saying what may stand there.
    """
    if not 0 < len(url) <= _LONGEST or not url.isprintable():
        raise _invalid("is empty, too long or holds characters that cannot be shown")
    if url.startswith("/") and not url.startswith("//"):
        return _file(url, url)
    if _CONTROL.search(url):
        raise _invalid("holds spaces, control characters or non-ASCII blanks")
    if url.startswith("file://"):
        return _file(url, urlsplit(url).path if url.startswith("file:///") else "")
    served = _SERVED.fullmatch(url)
    if served is not None:
        return _served(url, served)
    short = _SCP.fullmatch(url)
    if short is not None:
        return Address(url, "ssh", short["user"], short["host"], short["path"])
    raise _invalid("is no path, file:, https: or ssh: address, or carries a password")


def _file(url: str, path: str) -> Address:
    if not path.startswith("/") or path.startswith("//"):
        raise _invalid("is a file: address without an absolute path")
    return Address(url, "file", path=path)


def _served(url: str, found: re.Match[str]) -> Address:
    scheme: Scheme = "https"
    if found["scheme"] == "ssh":
        scheme = "ssh"
    elif found["scheme"] == "http":
        if not _LOOPBACK.fullmatch(found["host"]):
            raise _invalid("is plain http to another machine")
        scheme = "http"
    if found["path"].startswith("/-") or int(found["port"] or 1) > 0xFFFF:
        raise _invalid("holds a path or port that cannot be")
    port = f":{found['port']}" if found["port"] else ""
    return Address(url, scheme, found["user"] or "", f"{found['host']}{port}", found["path"])


def _invalid(what: str) -> Invalid:
    return Invalid(
        "url",
        f"The remote's address {what}.",
        recovery="Use https://host/owner/name.git, ssh://git@host/owner/name.git or a path.",
    )
