"""Copies a repository's objects, file by file, never linking: the operator's keep their times.

Git freshens the time stamp of an object that it would write again; through a hard link that would
change the operator's files.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_LARGE = 64 * 1024 * 1024
_AT_ONCE = 1 << 30
_DEPTH = 5
_PACK_ORDER = (".promisor", ".rev", ".pack", ".idx")  # the index last: it makes a pack visible
_LOOSE = frozenset("0123456789abcdef")


def has_large_packs(common: Path) -> bool:
    """Whether packs are so large that copying them beats packing their objects anew."""
    sizes = [
        pack.stat().st_size for _, pack in _packs(common / "objects") if pack.suffix == ".pack"
    ]
    return sum(sizes) >= _LARGE


def copy_objects(common: Path, mirror: Path, *, loose: bool) -> None:
    """Copy packs, and with ``loose`` single objects, that ``mirror`` lacks; alternates too.

    Args:
        common: the operator's git folder, only read.

    Raises:
        OSError: something could not be read or written; what was copied is whole.
    """
    for objects in _stores(common / "objects"):
        for name, pack in _packs(objects):
            _copy(pack, mirror / "objects" / "pack" / name)
        if loose:
            for name, file in _loose(objects):
                _copy(file, mirror / "objects" / name)


def _stores(objects: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    layer = [objects]
    for _ in range(_DEPTH):
        following: list[Path] = []
        for store in layer:
            real = store.resolve()
            if real in seen or not real.is_dir():
                continue
            seen.add(real)
            yield real
            following += _alternates(real)
        layer = following


def _alternates(objects: Path) -> list[Path]:
    file = objects / "info" / "alternates"
    if not _is_regular(file):
        return []
    lines = os.fsdecode(file.read_bytes()).split("\n")
    return [objects / line for line in lines if line and not line.startswith(("#", '"'))]


def _packs(objects: Path) -> Iterator[tuple[str, Path]]:
    folder = objects / "pack"
    if not folder.is_dir():
        return
    for suffix in _PACK_ORDER:
        for file in sorted(folder.glob(f"pack-*{suffix}")):
            if _is_regular(file):
                yield file.name, file


def _loose(objects: Path) -> Iterator[tuple[str, Path]]:
    for folder in sorted(objects.iterdir()):
        if len(folder.name) == 2 and set(folder.name) <= _LOOSE and folder.is_dir():
            for file in sorted(folder.iterdir()):
                if set(file.name) <= _LOOSE and _is_regular(file):
                    yield f"{folder.name}/{file.name}", file


def _is_regular(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="tmp_copy_", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out, source.open("rb") as data:
            _pour(data.fileno(), out.fileno())
            os.fchmod(out.fileno(), 0o444)
        Path(name).rename(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _pour(source: int, target: int) -> None:
    """Let the kernel copy (sharing blocks where the file system can), else copy by hand."""
    with suppress(OSError, AttributeError):
        while os.copy_file_range(source, target, _AT_ONCE):
            pass
    while part := os.read(source, 1 << 20):
        os.write(target, part)
