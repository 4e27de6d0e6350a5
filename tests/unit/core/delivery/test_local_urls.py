"""What stays on this machine: paths, file URLs, literal loopback addresses, and nothing else."""

import ipaddress
import re
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.delivery.local_urls import is_local_url


@pytest.mark.parametrize(
    "url",
    [
        "/srv/git/harbor.git",
        "/srv/git/a%20b:c.git",
        "/Users/x/Library/Application Support/git/a.git",
        "/home/josé/仓库.git",
        "./harbor.git",
        "../harbor.git",
        "file:///srv/git/harbor.git",
        "http://127.0.0.1",
        "http://127.0.0.1/",
        "http://127.0.0.1:3000/api/v3",
        "https://127.1.2.3:8443/a/b.git",
        "http://127.255.255.255/",
        "http://[::1]/",
        "http://[::1]:8080/api",
        "ssh://127.0.0.1:2222/srv/a.git",
        "ssh://git@127.0.0.1/srv/a.git",
        "ssh://git@[::1]:22/a.git",
        "git://127.0.0.1/a.git",
    ],
)
def test_local(url: str) -> None:
    assert is_local_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "origin",
        "harbor.git",
        "srv/git/harbor.git",
        "~/harbor.git",
        "//host/share/a.git",
        "///host/a",
        "\\\\host\\share",
        "C:\\git\\a",
        "C:/git/a",
        # Names are no literal addresses.
        "http://localhost/",
        "http://LOCALHOST:80/",
        "http://localhost.localdomain/",
        "http://ip6-localhost/",
        "ssh://git@localhost/a.git",
        # scp-like, and git's helpers.
        "host:path",
        "git@github.com:a/b.git",
        "127.0.0.1:a.git",
        "git@127.0.0.1:a.git",
        "[::1]:a.git",
        "ext::sh -c x",
        "ext::sh",
        "http::http://127.0.0.1/",
        "file::/a",
        # File URLs with a host, or none that git knows.
        "file://host/a",
        "file://localhost/a",
        "file:/a",
        "file:a",
        "file:////host/share",
        "file:///a%2f..%2fb",
        "file:///a?x",
        "FILE:///a",
        "File:///a",
        # Other hosts that begin or end like one.
        "http://127.0.0.1.evil.com/",
        "http://127.0.0.1evil.com/",
        "http://evil.com/127.0.0.1",
        "http://evil.com#127.0.0.1",
        "http://evil.com?127.0.0.1",
        "http://1127.0.0.1/",
        "http://127.0.0.1:80.evil.com/",
        "http://127.0.0.1。evil.com/",
        # User names and passwords.
        "http://127.0.0.1@evil.com/",
        "http://127.0.0.1:80@evil.com/",
        "http://[::1]@evil/",
        "http://evil.com@127.0.0.1/",
        "http://user:" + "pass@127.0.0.1/",
        "http://127.0.0.1/@evil.com",
        "http://127.0.0.1\\@evil.com/",
        "http://evil.com\\@127.0.0.1/",
        "ssh://git:x@127.0.0.1/a",
        "ssh://-oProxyCommand=x@127.0.0.1/a",
        "ssh://a@b@127.0.0.1/a",
        # Odd notations of addresses.
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.000.000.001/",
        "http://127.0.0.01/",
        "http://127.0.0.256/",
        "http://127.0.0.1./",
        "http://127.0.0.1.1/",
        "http://１２７.0.0.1/",
        "http://١٢٧.0.0.1/",
        "http://0.0.0.0/",
        "http://0/",
        "http://10.0.0.1/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::1%25eth0]/",
        "http://[::1%eth0]/",
        "http://::1/",
        # Encodings, control characters, ports, other schemes.
        "http://%31%32%37.0.0.1/",
        "http://127.0.0.1/%2e%2e",
        "http://127.0.0.1%2eevil.com/",
        "http://127.0.0.1/ x",
        " http://127.0.0.1/",
        "http://127.0.0.1/\n",
        "http://127.0.0.1\n.evil.com/",
        "http://127.0.0.1\t/",
        "http://127.0.0.1/\0",
        "/a\n/b",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:65536/",
        "http://127.0.0.1:+80/",
        "http://127.0.0.1:/",
        "http:/127.0.0.1/",
        "http:127.0.0.1/",
        "http:///127.0.0.1/",
        "HTTP://127.0.0.1/",
        "ftp://127.0.0.1/",
        "git+ssh://127.0.0.1/a",
        "javascript:alert(1)",
        "/" + "a" * 3000,
    ],
)
def test_not_local(url: str) -> None:
    assert not is_local_url(url)


PIECES = st.sampled_from(
    ["http://", "ssh://", "git://", "file://", "/", "//", "@", ":", "127.0.0.1", "[::1]", "127.",
     "localhost", "evil.com", ".", "%2e", "\\", "80", "git", "?", "#", "[", "]", "..", "0x7f", " "]
)  # fmt: skip


@given(url=st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=40)))
@example(url="http://127.0.0.1:80/a")
def test_whatever_is_local_is_so_for_every_parser(url: str) -> None:
    if not is_local_url(url):
        return
    scheme = re.match(r"[a-z]+://", url)
    if scheme is None:
        assert url.startswith(("/", "./", "../"))
    elif scheme.group() == "file://":
        assert urlsplit(url).netloc == ""
    else:
        assert ipaddress.ip_address(urlsplit(url).hostname or "").is_loopback
        assert ipaddress.ip_address(httpx.URL(url).host).is_loopback


LOOPBACK = st.ip_addresses(network="127.0.0.0/8")


@given(host=st.ip_addresses(v=4) | LOOPBACK, port=st.integers(1, 65535))
def test_addresses_are_local_where_they_are_loopback(
    host: ipaddress.IPv4Address, port: int
) -> None:
    assert is_local_url(f"http://{host}:{port}/a") is host.is_loopback
