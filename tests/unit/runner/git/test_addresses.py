"""Which addresses git may be given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from runner.git.addresses import parse_address


@pytest.mark.parametrize(
    ("url", "scheme", "authority"),
    [
        ("/srv/git/r.git", "file", ""),
        ("/srv/with space/r", "file", ""),
        ("file:///srv/git/r.git", "file", ""),
        ("https://github.com/o/r.git", "https", "github.com"),
        ("https://git.example.org:8443/o/r", "https", "git.example.org:8443"),
        ("https://me@example.org/o/r", "https", "example.org"),
        ("http://127.0.0.1:4321/o/r.git", "http", "127.0.0.1:4321"),
        ("http://[::1]:80/o/r.git", "http", "[::1]:80"),
        ("ssh://git@github.com/o/r.git", "ssh", "github.com"),
        ("git@github.com:o/r.git", "ssh", "github.com"),
    ],
)
def test_what_may_be_used(url: str, scheme: str, authority: str) -> None:
    address = parse_address(url)

    assert (address.url, address.scheme, address.authority) == (url, scheme, authority)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-u",
        "--upload-pack=touch x",
        "ext::sh -c touch% x",
        "ext::touch",
        "fd::3",
        "git://github.com/o/r",
        "ftp://example.org/r",
        "http://example.org/r",
        "http://localhost/r",
        "http://127.0.0.1.evil.org/r",
        "https://user:token@example.org/r",
        "https://example.org/a\nb",
        "https://example.org/a%0ab",
        "https://example.org/a%00b",
        "https://example.org/a b",
        "https://-oProxyCommand=x/r",
        "ssh://-oProxyCommand=x/r",
        "ssh://git@-oProxyCommand=x/r",
        "ssh://git@host/-x",
        "git@-oProxyCommand:r",
        "git@host:-x",
        "host:path",
        "relative/path",
        "./relative",
        "file://host/r",
        "file://",
        "//host/share",
        "https://example.org:99999/r",
        "https://example.org",
        "https://exa\u202emple.org/r",
        "transport::address",
        "/a\nb",
        "C:\\repo",
    ],
)
def test_what_may_not(url: str) -> None:
    with pytest.raises(Invalid) as invalid:
        parse_address(url)
    assert invalid.value.data["field"] == "url"
    assert invalid.value.recovery


@given(st.text(max_size=40))
def test_anything_is_an_address_or_refused(url: str) -> None:
    try:
        address = parse_address(url)
    except Invalid:
        return
    assert not address.url.startswith("-")
    assert "\n" not in address.url
    assert "::" not in address.url.partition("[")[0] or address.scheme == "file"
