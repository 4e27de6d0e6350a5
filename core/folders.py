"""Where a profile keeps its things: data, configuration, runtime socket, and what lies inside.

Every folder is the operator's alone; one that another user owns or may write is refused.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from platformdirs import PlatformDirs

from core.errors import Invalid
from core.private_files import check_folder, make_folder

APP = "operator-cockpit"
DEFAULT_PROFILE = "default"
TEMPORARY_PROFILE = "temp"
HOME_VARIABLE = "COCKPIT_HOME"
SOCKET_PATH_LIMIT = 100  # bytes; the shortest sun_path of the systems we run on is 104
_PROFILE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one profile. Nothing exists before :meth:`make`.

    Attributes:
        runtime: holds the socket; short enough for one (automation.md §1).
        temporary: a throw-away profile, removed at the end.
        home: the folder given by ``COCKPIT_HOME``, checked but not closed by us.
    """

    profile: str
    data: Path
    config: Path
    runtime: Path
    temporary: bool = False
    home: Path | None = None

    @property
    def settings_file(self) -> Path:
        """The profile's settings (TOML)."""
        return self.config / "settings.toml"

    @property
    def journal_file(self) -> Path:
        """The journal's SQLite database."""
        return self.data / "journal.db"

    @property
    def vault_file(self) -> Path:
        """The encrypted vault, where no keyring serves."""
        return self.data / "vault.json"

    @property
    def logs(self) -> Path:
        """Logs of the daemon and the window."""
        return self.data / "logs"

    @property
    def repos(self) -> Path:
        """One TOML file of settings for each repo."""
        return self.data / "repos"

    @property
    def mirrors(self) -> Path:
        """Private bare mirrors (domain.md §6)."""
        return self.data / "mirrors"

    @property
    def worktrees(self) -> Path:
        """Worktrees of tasks and checkouts of the harness."""
        return self.data / "worktrees"

    @property
    def runs(self) -> Path:
        """Inputs, outputs and streams of runs."""
        return self.data / "runs"

    @property
    def evidence(self) -> Path:
        """Evidence packages (domain.md §8)."""
        return self.data / "evidence"

    @property
    def blobs(self) -> Path:
        """Large values that events point to."""
        return self.data / "blobs"

    @property
    def digest(self) -> str:
        """8 hex characters that name this data folder."""
        return folder_digest(self.data)

    @property
    def socket(self) -> Path:
        """The daemon's socket: ``cockpit-<8 hex of the data folder>.sock``."""
        return self.runtime / f"cockpit-{self.digest}.sock"

    def make(self) -> "Folders":
        """Make what is missing, 0700, and check what is there.

        Raises:
            Refused: ``FOLDER_NOT_PRIVATE`` or ``FOLDER_NOT_MADE``.
        """
        if self.home is not None and os.path.lexists(self.home):
            check_folder(self.home)
        inside = (self.logs, self.repos, self.mirrors, self.worktrees, self.runs, self.evidence)
        for folder in (self.data, self.config, self.runtime, *inside, self.blobs):
            make_folder(folder)
        return self


def folder_digest(data: Path) -> str:
    """8 hex characters of the SHA-256 of a data folder's real path."""
    return hashlib.sha256(os.fsencode(os.path.realpath(data))).hexdigest()[:8]


def check_profile(name: str) -> str:
    """The name of a profile, if it can be one.

    Raises:
        Invalid: anything but 1–32 of ``a-z 0-9 _ -``, starting with a letter or digit.
    """
    if not _PROFILE.fullmatch(name):
        raise Invalid(
            "profile",
            "A profile is named by 1 to 32 lower-case letters, digits, '-' and '_'.",
            recovery="Choose a name such as 'work'.",
        )
    return name


def find_folders(profile: str, environment: Mapping[str, str]) -> Folders:
    """The folders of a profile; nothing is made. ``COCKPIT_HOME`` overrides every other place.

    Raises:
        Invalid: a profile name that is none (``temp`` is made by :func:`temporary_folders`), or a
            ``COCKPIT_HOME`` that is not absolute.
    """
    check_profile(profile)
    if profile == TEMPORARY_PROFILE:
        raise Invalid(
            "profile",
            "The profile 'temp' has no lasting folders.",
            recovery="Choose another name.",
        )
    given = environment.get(HOME_VARIABLE)
    if given is not None:
        return _below(profile, _home(given))
    dirs = PlatformDirs(APP, appauthor=False)
    data, config = Path(dirs.user_data_dir) / profile, Path(dirs.user_config_dir) / profile
    # WORKAROUND(platformdirs-4): without XDG_RUNTIME_DIR it warns and names a folder below one that
    # another user may have made first; ours lies directly in the sticky temporary folder.
    given = environment.get("XDG_RUNTIME_DIR")
    wished = Path(given) / APP if given and Path(given).is_absolute() else None
    return Folders(profile, data, config, _runtime(wished, data))


def _home(given: str) -> Path:
    if not given or "\0" in given or not Path(given).is_absolute():
        raise Invalid(
            HOME_VARIABLE,
            f"{HOME_VARIABLE} must be an absolute path.",
            recovery=f"Unset {HOME_VARIABLE} or give a path that starts with /.",
        )
    return Path(os.path.normpath(given))


def _below(profile: str, home: Path, *, temporary: bool = False) -> Folders:
    root = home if temporary or profile == DEFAULT_PROFILE else home / "profiles" / profile
    data = root / "data"
    runtime = _runtime(root / "run", data)
    return Folders(profile, data, root / "config", runtime, temporary, home)


def _runtime(wished: Path | None, data: Path) -> Path:
    """``wished`` if a socket's path fits there, else a short folder of this user's own."""
    name = f"/cockpit-{folder_digest(data)}.sock"
    short = f"cockpit-{os.getuid()}"
    for folder in (wished, Path(tempfile.gettempdir()) / short):
        if folder and len(os.fsencode(folder)) + len(name) <= SOCKET_PATH_LIMIT:
            return folder
    return Path("/tmp") / short  # noqa: S108 - made 0700 and checked for its owner before use


@contextmanager
def temporary_folders() -> Iterator[Folders]:
    """A throw-away profile (``--profile temp``): made at once, removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="cockpit-"))
    try:
        yield _below(TEMPORARY_PROFILE, home, temporary=True).make()
    finally:
        shutil.rmtree(home, ignore_errors=True)
