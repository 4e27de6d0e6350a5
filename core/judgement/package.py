"""An evidence package on disk: files written once, a manifest over them, one digest over that.

A package appears whole under its name or not at all; nothing in it is ever changed (domain.md §8).
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from core.errors import Broken, Unavailable

MANIFEST = "manifest.json"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of a package that is not what its manifest says."""

    path: str
    what: str


class PackageWriter:
    """Collects the files of one package in a folder beside its final name."""

    def __init__(self, folder: Path):
        """Begin ``folder``; what an earlier, unfinished attempt left is removed."""
        self.folder = folder
        self.part = folder.with_name(f".{folder.name}.part")
        _remove(self.part)
        self.part.mkdir(mode=0o700, parents=True)

    def path(self, name: str) -> Path:
        """Where a file called ``name`` belongs; its folder is made."""
        found = self.part / name
        found.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return found

    def json(self, name: str, value: Any) -> None:
        """Write ``value`` as JSON with sorted keys."""
        options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        self.path(name).write_bytes(orjson.dumps(value, option=options, default=str))

    def text(self, name: str, text: str) -> None:
        """Write text; what UTF-8 can't hold is escaped."""
        self.path(name).write_bytes(text.encode("utf-8", errors="backslashreplace"))

    def bytes(self, name: str, content: bytes) -> None:
        """Write bytes."""
        self.path(name).write_bytes(content)

    def copy(self, name: str, source: Path) -> None:
        """Take a file of the harness over; one that is gone leaves an empty file."""
        target = self.path(name)
        if source.is_file() and not source.is_symlink():
            shutil.copyfile(source, target)
        else:
            target.write_bytes(b"")

    def finish(self) -> str:
        """Write the manifest, make the package appear, and return its digest.

        Raises:
            Unavailable: ``HOLD-DISK-SPACE`` or ``HOLD-EVIDENCE-INCOMPLETE`` when it can't be kept.
        """
        rows = [_row(self.part, path) for path in _files(self.part)]
        manifest = orjson.dumps({"version": 1, "files": rows}, option=orjson.OPT_SORT_KEYS)
        try:
            (self.part / MANIFEST).write_bytes(manifest)
            for path in _files(self.part):
                path.chmod(0o400)
            _remove(self.folder)
            self.part.replace(self.folder)
            _sync(self.folder.parent)
        except OSError as error:
            raise Unavailable(
                "HOLD-EVIDENCE-INCOMPLETE",
                f"The evidence package can't be stored: {error.strerror}.",
                data={"folder": self.folder.name},
            ) from error
        return hashlib.sha256(manifest).hexdigest()


def check_package(folder: Path, digest: str) -> tuple[Damage, ...]:
    """What is wrong with a stored package; empty when it is exactly what was digested."""
    try:
        manifest = (folder / MANIFEST).read_bytes()
    except OSError:
        return (Damage(MANIFEST, "missing"),)
    if hashlib.sha256(manifest).hexdigest() != digest:
        return (Damage(MANIFEST, "another digest"),)
    rows: list[Mapping[str, Any]] = orjson.loads(manifest)["files"]
    known = {row["path"] for row in rows}
    extra = [
        Damage(name, "not in the manifest")
        for path in _files(folder)
        if (name := path.relative_to(folder).as_posix()) not in known | {MANIFEST}
    ]
    return (*(damage for row in rows for damage in _damage(folder, row)), *extra)


def _damage(folder: Path, row: Mapping[str, Any]) -> list[Damage]:
    path = folder / row["path"]
    if not path.is_file() or path.is_symlink():
        return [Damage(row["path"], "missing")]
    return [] if _row(folder, path) == row else [Damage(row["path"], "changed")]


def _files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if not path.is_dir())
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise Broken(f"A package holds something that is no file: {path.name}")
    return found


def _row(folder: Path, path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return {
        "path": path.relative_to(folder).as_posix(),
        "size": path.stat().st_size,
        "sha256": digest.hexdigest(),
    }


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
