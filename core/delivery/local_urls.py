"""Whether a URL stays on this machine: the rehearsal rule of the gate (domain.md §13).

Pure and narrow: what is not surely local is not local. Names are never looked up.
"""

import re

_LONGEST = 2000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff]")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_HOST = rf"(?:127(?:\.{_OCTET}){{3}}|\[::1\])"
_PORT = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
_PLACE = r"(?:/[A-Za-z0-9._~/+=,\-]*)?"
_SERVED = re.compile(
    rf"(?:(?:http|https|git)://|ssh://(?:[a-z_][a-z0-9_\-]{{0,31}}@)?){_HOST}{_PORT}{_PLACE}"
)
_FILE = re.compile(r"file:///(?!/)[^?#%\\]*")
_PATH = re.compile(r"(?:/(?!/)|\.{1,2}/)[^\\]*")


def is_local_url(url: str) -> bool:
    """Whether ``url`` is a path, a ``file:`` URL, or names a literal loopback address.

    ``localhost`` is a name and no literal address. A relative path must begin with ``./`` or
    ``../``: git would take a bare word for the name of a remote, and ``host:path`` for ssh.
    """
    if not 0 < len(url) <= _LONGEST or _CONTROL.search(url):
        return False
    if _PATH.fullmatch(url) or _FILE.fullmatch(url):
        return True
    served = _SERVED.fullmatch(url)
    return served is not None and int(served["port"] or 1) <= 0xFFFF
