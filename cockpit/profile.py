"""One profile as a process uses it: its folders, and its settings as they are read again."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.folders import (
    DEFAULT_PROFILE,
    TEMPORARY_PROFILE,
    Folders,
    find_folders,
    temporary_folders,
)
from core.settings import Resolved, Settings, load

PROFILE_VARIABLE = "COCKPIT_PROFILE"


@dataclass(frozen=True, slots=True)
class Profile:
    """Where things are, and what the settings are made of.

    Attributes:
        environment: of this process.
        overrides: ``--set key=value``, by key.
    """

    folders: Folders
    environment: Mapping[str, str] = field(repr=False)
    overrides: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> Resolved[Settings]:
        """The settings in force, read now.

        Raises:
            Invalid: naming the key and its place.
        """
        return load(self.folders.settings_file, self.environment, self.overrides)


def configuration_of(settings: Settings) -> str:
    """16 hex characters that name a configuration; equal for equal settings."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]


@contextmanager
def open_profile(
    name: str | None, environment: Mapping[str, str], overrides: Mapping[str, str]
) -> Iterator[Profile]:
    """The profile called ``name``, else ``COCKPIT_PROFILE``'s; ``temp`` is thrown away at the end.

    Raises:
        Invalid: a name that is none.
    """
    name = name or environment.get(PROFILE_VARIABLE) or DEFAULT_PROFILE
    if name == TEMPORARY_PROFILE:
        with temporary_folders() as folders:
            yield Profile(folders, environment, overrides)
        return
    yield Profile(find_folders(name, environment), environment, overrides)
