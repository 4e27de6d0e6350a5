"""Which owner and repository a push URL names. Pure; hostile input is refused."""

import re

from core.errors import Invalid, Refused
from runner.git.addresses import Address, parse_address

# A URL may carry a token as its user, so it is not repeated.
_NO_NAMES = "The remote's address names no owner and repository."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def owner_and_name(url: str) -> tuple[str, str]:
    """The last two parts of the URL's path, as forges name a repository.

    For a local path these are the folder and its parent, which is what a local forge goes by.

    Raises:
        Refused: ``REMOTE_MISSING`` when the URL is no remote or names no repository.
    """
    try:
        address = parse_address(url)
    except Invalid as error:
        raise _missing(error.sentence) from error
    parts = [part for part in address.path.split("/") if part]
    if len(parts) < 2 or (address.scheme != "file" and len(parts) > 2):
        raise _missing(_NO_NAMES)
    owner, name = parts[-2], parts[-1].removesuffix(".git")
    if address.scheme == "file":
        owner = _plain(owner)
    if not (_NAME.fullmatch(owner) and _NAME.fullmatch(name)):
        raise _missing(_NO_NAMES)
    return owner, name


def address_of(url: str) -> Address:
    """The checked address; raises ``Refused`` ``REMOTE_MISSING``."""
    try:
        return parse_address(url)
    except Invalid as error:
        raise _missing(error.sentence) from error


def _plain(owner: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", owner).lstrip("._-") or "local"


def _missing(sentence: str) -> Refused:
    return Refused(
        "REMOTE_MISSING",
        sentence,
        recovery="Set it: cockpit repo set NAME remote.url https://host/owner/name.git",
    )
