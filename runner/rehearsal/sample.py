"""The sample repository that the rehearsal scripts were written for: its files, without any git."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from core.errors import Invalid

SAMPLE_MARKER = ".cockpit-sample"
SAMPLE_ID = "operator-cockpit-sample-harbor-1"
_LEFT_OUT = frozenset({"__pycache__"})


def write_sample(folder: Path) -> None:
    """Copy the sample's files into ``folder``, which is made if it is missing.

    A committed tree is the sample if the file ``SAMPLE_MARKER`` at its root holds ``SAMPLE_ID``.

    Raises:
        Invalid: the folder exists and is not empty, or is no folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Invalid(
            "folder",
            f"{folder} is not an empty folder, and a sample overwrites nothing.",
            recovery="Name a folder that does not exist yet.",
        )
    _copy(files("resources") / "sample_repo", folder)


def is_sample(marker: bytes) -> bool:
    """Whether the content of a tree's ``SAMPLE_MARKER`` file is the sample's."""
    return marker.strip() == SAMPLE_ID.encode()


def _copy(source: Traversable, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir() and entry.name not in _LEFT_OUT:
            _copy(entry, target / entry.name)
        elif entry.is_file():
            (target / entry.name).write_bytes(entry.read_bytes())
