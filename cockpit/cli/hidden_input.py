"""Reads what must not be seen: from a terminal without echo, else from standard input.

Nothing secret is ever an argument: those are in the shell's history and in the process list.
"""

import getpass
import sys

from core.errors import Invalid

_LIMIT = 64 * 1024


def read_hidden(prompt: str) -> str:
    """One value, without its line end.

    Raises:
        Invalid: nothing was given, or far too much.
    """
    if sys.stdin.isatty():
        given = getpass.getpass(f"{prompt}: ", stream=sys.stderr)
    else:
        given = sys.stdin.read(_LIMIT + 1)
    given = given.rstrip("\r\n")
    if not given or len(given) > _LIMIT:
        raise Invalid(
            "standard input",
            "Nothing was given." if not given else "That is too much to be a secret.",
            recovery="Type it at the prompt, or pass it on standard input.",
        )
    return given


def read_new(prompt: str) -> str:
    """A new value; at a terminal it is asked for twice.

    Raises:
        Invalid: the two differ.
    """
    given = read_hidden(prompt)
    if sys.stdin.isatty() and read_hidden(f"{prompt} again") != given:
        raise Invalid("passphrase", "The two differ.", recovery="Nothing was changed; try again.")
    return given
