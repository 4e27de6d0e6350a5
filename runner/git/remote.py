"""Talks to one remote by an explicit address: asks, fetches a branch, pushes a branch.

Only the delivery gate's writer may call ``push``. Credentials come through a pipe that one git
process inherits: never on a command line, in an environment or on disk.
"""

import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from core.errors import Invalid, Unavailable
from runner.git.addresses import Address, parse_address
from runner.git.door import GitFailed, GitOutput, Leave
from runner.git.mirror import Mirror, place_of
from runner.git.tree import check_branch, check_sha

Outcome = Literal[
    "pushed", "already_there", "auth_required", "rejected", "not_found", "unreachable"
]
_SECONDS = 600.0
_ASK = """#!/bin/sh
# Answers git's question for one host, once, from a pipe.
case "$1" in
  "Password for '$COCKPIT_ASKED_FOR': ") exec cat "/dev/fd/$COCKPIT_ASKED_FD" ;;
esac
exit 1
"""
_SSH = (
    "ssh -o BatchMode=yes -o ConnectTimeout=20 -o StrictHostKeyChecking=yes"
    " -o ForwardAgent=no -o ForwardX11=no -o PermitLocalCommand=no -o ClearAllForwardings=yes"
)
_AUTH = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|terminal prompts disabled"
    r"|returned error: 40[13]|Permission denied|Permission to .* denied|Host key verification"
    r"|unable to read askpass|Invalid username or (?:password|token)|Write access .* not granted",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"Repository not found|repository '.*' not found|does not appear to be a git repository"
    r"|returned error: 404",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a remote over http(s) asks for.

    Attributes:
        user: ``x-access-token`` for GitHub's tokens.
    """

    token: SecretStr
    user: str = "x-access-token"


@dataclass(frozen=True, slots=True)
class Connection:
    """What the operator's own ways out need, and nothing else of their environment.

    Attributes:
        variables: proxy and certificate settings for http(s), the agent's socket for ssh.
    """

    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_operator(cls) -> "Connection":
        """Take the few allowed variables out of this process's environment."""
        return cls({name: os.environ[name] for name in _ALLOWED if name in os.environ})


_ALLOWED = (
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSH_AUTH_SOCK",
)


@dataclass(frozen=True, slots=True)
class Pushed:
    """How a push ended. Only ``pushed`` and ``already_there`` mean that the remote has it."""

    outcome: Outcome
    reason: str = ""


class Remote:
    """One remote of one mirror."""

    def __init__(
        self,
        mirror: Mirror,
        url: str,
        *,
        credential: Credential | None = None,
        connection: Connection | None = None,
    ):
        """Check the address; nothing is contacted.

        Raises:
            Invalid: the address or the credential cannot be used.
        """
        self._mirror = mirror
        self._address = parse_address(url)
        self._connection = connection or Connection()
        self._credential = credential
        if credential is not None:
            _check_credential(credential, self._address)

    async def head(self, branch: str) -> str | None:
        """The commit that the remote's ``branch`` is at, None if it has no such branch.

        Raises:
            Unavailable: ``HOLD-GITHUB-AUTH`` or ``REMOTE_UNAVAILABLE``.
        """
        await check_branch(self._mirror.door, branch)
        ref = f"refs/heads/{branch}"
        args = ["ls-remote", "--quiet", "--refs", "--end-of-options"]
        async with self._way() as (url, leave):
            output = await self._asked([*args, url, ref], leave)
        for line in output.text.split("\n"):
            sha, _, name = line.partition("\t")
            if name == ref:
                return check_sha(sha, "remote")
        return None

    async def fetch(self, branch: str) -> str:
        """Fetch the remote's ``branch`` into the mirror; its tip.

        Raises:
            Unavailable: ``HOLD-GITHUB-AUTH`` or ``REMOTE_UNAVAILABLE`` (also: no such branch).
        """
        await check_branch(self._mirror.door, branch)
        ref = f"refs/cockpit/remote/{place_of(self._address.url, branch)}"
        async with self._way() as (url, leave), self._mirror.locked() as lock:
            both = Leave(
                leave.protocols,
                leave.variables,
                leave.settings,
                (*leave.descriptors, *lock.descriptors),
            )
            try:
                await self._mirror.fetch(
                    url, f"+refs/heads/{branch}:{ref}", both, protocol=self._address.scheme
                )
            except GitFailed as error:
                raise _unavailable(error) from None
        output = await self._mirror.door.run(["rev-parse", "--verify", ref], self._mirror.site)
        return check_sha(output.text)

    async def push(self, sha: str, branch: str) -> Pushed:
        """Push ``sha`` as ``branch``, never by force. Repeatable.

        Raises:
            Invalid: the branch's name.
        """
        await check_branch(self._mirror.door, branch)
        refspec = f"{check_sha(sha)}:refs/heads/{branch}"
        args = ["push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags"]
        args += ["--no-recurse-submodules", "--no-force", "--end-of-options"]
        async with self._way() as (url, leave):
            try:
                output = await self._mirror.door.run(
                    [*args, url, refspec],
                    self._mirror.site,
                    seconds=_SECONDS,
                    ok=(0, 1),
                    leave=leave,
                )
            except GitFailed as error:
                return Pushed(_kind(error.stderr), _reason(error.stderr))
        return _outcome(output)

    async def _asked(self, args: list[str], leave: Leave) -> GitOutput:
        try:
            return await self._mirror.door.run(
                args, self._mirror.site, seconds=_SECONDS, leave=leave
            )
        except GitFailed as error:
            raise _unavailable(error) from None

    @asynccontextmanager
    async def _way(self) -> AsyncIterator[tuple[str, Leave]]:
        """The address as git gets it, and what that one process may use."""
        address, scheme = self._address, self._address.scheme
        variables: dict[str, str] = {}
        if scheme != "file":
            wanted = ("SSH_AUTH_SOCK",) if scheme == "ssh" else _ALLOWED[:-1]
            found = self._connection.variables
            variables = {name: found[name] for name in wanted if name in found}
        if scheme == "ssh":
            variables["GIT_SSH_COMMAND"] = _SSH
        if self._credential is None:
            yield address.url, Leave((scheme,), variables)
            return
        user = self._credential.user
        with tempfile.TemporaryDirectory(dir=self._mirror.door.scratch) as folder:
            script = Path(folder) / "ask"
            script.write_text(_ASK, "ascii")
            script.chmod(0o700)
            handle = _pipe(self._credential.token)
            try:
                variables["GIT_ASKPASS"] = str(script)
                variables["COCKPIT_ASKED_FD"] = str(handle)
                variables["COCKPIT_ASKED_FOR"] = f"{scheme}://{user}@{address.authority}"
                yield address.as_user(user), Leave((scheme,), variables, {}, (handle,))
            finally:
                os.close(handle)


def _check_credential(credential: Credential, address: Address) -> None:
    if address.scheme not in ("http", "https"):
        raise Invalid("credential", "A token serves https addresses only.")
    if address.user not in ("", credential.user):
        raise Invalid("url", "The remote's address names another user than the credential.")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}", credential.user):
        raise Invalid("credential", "The credential's user is no name.")
    if not _TOKEN.fullmatch(credential.token.get_secret_value()):
        raise Invalid("credential", "The token is empty, too long, or holds blanks.")


def _pipe(token: SecretStr) -> int:
    """The reading end of a pipe that holds the token and nothing more."""
    reading, writing = os.pipe()
    try:
        os.write(writing, token.get_secret_value().encode("ascii") + b"\n")
    finally:
        os.close(writing)
    return reading


def _outcome(output: GitOutput) -> Pushed:
    for line in output.text.split("\n"):
        flag, tab, rest = line.partition("\t")
        if not tab or len(flag) != 1:
            continue
        if flag == "=":
            return Pushed("already_there")
        if flag == "!":
            reason = rest.rpartition("\t")[2]
            said = _reason(output.stderr)
            return Pushed("rejected", f"{reason} {said}".strip())
        if output.code == 0 and flag in " *":
            return Pushed("pushed")
    return Pushed(_kind(output.stderr), _reason(output.stderr))


def _kind(stderr: str) -> Outcome:
    if _AUTH.search(stderr):
        return "auth_required"
    if _ABSENT.search(stderr):
        return "not_found"
    return "unreachable"


def _reason(stderr: str) -> str:
    kept = [line for line in stderr.splitlines() if line.strip() and not line.startswith("To ")]
    return "\n".join(kept)[-1000:]


def _unavailable(error: GitFailed) -> Unavailable:
    kind = _kind(error.stderr)
    if kind == "auth_required":
        return Unavailable(
            "HOLD-GITHUB-AUTH",
            "The remote asks for a credential, or refuses the one it was given.",
            recovery="Add a token.",
            data={"reason": kind, "stderr": _reason(error.stderr)},
        )
    return Unavailable(
        "REMOTE_UNAVAILABLE",
        "The remote did not answer as a git repository with that branch.",
        recovery="Check the remote's address and the network, then retry.",
        data={"reason": kind, "stderr": _reason(error.stderr)},
    )
