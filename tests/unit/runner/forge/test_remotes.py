"""Owner and repository of a push URL, and everything that names none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refused
from runner.forge.remotes import owner_and_name


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("https://github.com/o/r.git", ("o", "r")),
        ("https://github.com/o/r", ("o", "r")),
        ("https://github.com/o/r/", ("o", "r")),
        ("https://github.com/Org-1/my.repo_2.git", ("Org-1", "my.repo_2")),
        ("https://ghe.example.com:8443/o/r.git", ("o", "r")),
        ("git@github.com:o/r.git", ("o", "r")),
        ("ssh://git@github.com/o/r.git", ("o", "r")),
        ("ssh://git@ghe.example.com:2222/o/r.git", ("o", "r")),
        ("http://127.0.0.1:9/o/r.git", ("o", "r")),
        ("/srv/git/o/r.git", ("o", "r")),
        ("file:///srv/git/o/r.git", ("o", "r")),
        ("/srv/my folder/r.git", ("my-folder", "r")),
    ],
)
def test_a_push_url_names_owner_and_repository(url: str, names: tuple[str, str]) -> None:
    assert owner_and_name(url) == names


HOSTILE = [
    "",
    "https://github.com",
    "https://github.com/o",
    "https://github.com/o/r/pulls",
    "https://github.com/o/..",
    "https://github.com/../r",
    "https://github.com/o/.git",
    "https://github.com/o/r?x=1",
    "https://github.com/o/r#x",
    "https://github.com/o%2f..%2fadmin/r",
    "https://user:password@github.com/o/r",
    "http://github.com/o/r",
    "ext::sh -c whoami",
    "--upload-pack=whoami",
    "git@github.com:-o/r",
    "git@github.com:o/r\nx",
    "javascript://github.com/o/r",
    "https://github.com\\@evil/o/r",
    "https://github.com/o/{owner}",
    "r.git",
    "/r.git",
    "https://github.com/" + "o" * 101 + "/r",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_what_names_none_is_refused(url: str) -> None:
    with pytest.raises(Refused) as raised:
        owner_and_name(url)
    assert raised.value.code == "REMOTE_MISSING"
    assert raised.value.recovery


def test_a_refusal_does_not_repeat_a_token_in_the_url() -> None:
    with pytest.raises(Refused) as raised:
        owner_and_name("https://ghp_secret@github.com/o")
    assert "ghp_secret" not in f"{raised.value}{raised.value.data}"


@given(st.text(max_size=60))
def test_any_text_is_refused_or_gives_two_plain_names(url: str) -> None:
    try:
        names = owner_and_name(url)
    except Refused:
        return
    assert all(name and name.isascii() and "/" not in name and name[0] != "." for name in names)
