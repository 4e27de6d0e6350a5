"""The TOML file of settings: read with the line of every key, edited with its comments kept.

It writes only what validates as a whole, in one step, owner-only.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.errors import Invalid, Refused
from core.private_files import locked_file, make_folder, read_private, write_private
from core.settings.layers import Layer, Placed, Source, check_known, flatten, resolve
from core.settings.model import Settings
from core.settings.text_values import read_text

_FILE_LIMIT = 256 * 1024
_TRIES_PER_STATEMENT = 500
_PLACE = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)$")


def read_layer(model: type[BaseModel], path: Path, *, source: Source = "file") -> Layer:
    """The values of a TOML file with their lines; an absent file is an empty layer.

    Raises:
        Invalid: unreadable, too open, not UTF-8, or malformed TOML (line and column named).
    """
    text = _read(path)
    document = parse(text, str(path))
    lines = key_lines(model, text)
    return Layer(
        source,
        {
            key: Placed(value, f"{path}:{lines[key]}" if key in lines else str(path))
            for key, value in flatten(model, document).items()
        },
    )


def _read(path: Path) -> str:
    try:
        content = read_private(path, field=path.name, limit=_FILE_LIMIT)
    except FileNotFoundError:
        return ""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _malformed(str(path), line, None, "is not UTF-8 text") from None


def parse(text: str, name: str) -> dict[str, Any]:
    """Parse TOML.

    Args:
        name: the file, for errors.

    Raises:
        Invalid: malformed; ``data`` holds ``file``, ``line`` and ``column``.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        what = _PLACE.sub("", str(error)).strip()
        last = len(text.splitlines()) or 1
        line = int(found[1]) if found and found[1] else last
        column = int(found[2]) if found and found[2] else None
        raise _malformed(name, line, column, f"is malformed TOML: {what}") from None
    except RecursionError:
        raise _malformed(name, 1, None, "is nested too deeply") from None


def _malformed(name: str, line: int, column: int | None, what: str) -> Invalid:
    place = f"line {line}" + (f", column {column}" if column else "")
    return Invalid(
        name,
        f"{name}, {place}: {what}.",
        recovery=f"Correct line {line}; nothing was changed.",
        data={"file": name, "line": line, "column": column},
    )


def key_lines(model: type[BaseModel], text: str) -> dict[str, int]:
    """The line each key of a well-formed document stands on.

    A TOML statement stands for itself, so the shortest run of lines that parses is one; past a
    bound of tries the rest is left without lines, so that no text can make this slow.
    """
    lines: dict[str, int] = {}
    header: tuple[str, ...] = ()
    rows = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(rows):
        found = _statement(rows, at)
        if found is None:
            break
        document, end = found
        if rows[at].lstrip().startswith("["):
            header = _header_path(document)
            document = {}
        keys = flatten(model, _below(header, document))
        lines.update({key: at + 1 for key in keys if key not in lines})
        at = end
    return lines


def _statement(rows: list[str], at: int) -> tuple[dict[str, Any], int] | None:
    for end in range(at + 1, min(len(rows), at + _TRIES_PER_STATEMENT) + 1):
        try:
            return tomllib.loads("\n".join(rows[at:end])), end
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
    return None


def _header_path(document: Mapping[str, Any]) -> tuple[str, ...]:
    path = []
    current: Any = document
    while current:
        if isinstance(current, list):
            current = current[-1]
            continue
        name = next(iter(current))
        path.append(name)
        current = current[name]
    return tuple(path)


def _below(header: tuple[str, ...], document: dict[str, Any]) -> dict[str, Any]:
    for name in reversed(header):
        document = {name: document}
    return document


def set_value(path: Path, key: str, value: object, *, model: type[BaseModel] = Settings) -> None:
    """Write one setting into its file, keeping comments and order (0600, in one step).

    Args:
        key: dotted, as in ``system.language``.
        value: typed, or text as after ``--set`` (``"true"``, ``"3"``, ``"[\\"a\\"]"``).

    Raises:
        Invalid: unknown key, wrong value, or a file that is not valid as a whole afterwards.
    """
    check_known(model, key, "what was asked for")
    typed = read_text(model, key, value, "what was asked for") if isinstance(value, str) else value
    _edit(path, model, lambda document: _put(document, key.split("."), typed), (key, typed))


def unset_value(path: Path, key: str, *, model: type[BaseModel] = Settings) -> bool:
    """Take one setting out of its file, so that a weaker source speaks; False if it was not there.

    Raises:
        Invalid: as for :func:`set_value`.
    """
    check_known(model, key, "what was asked for")
    if key not in flatten(model, parse(_read(path), str(path))):
        return False
    _edit(path, model, lambda document: _take(document, key.split(".")), (key, None))
    return True


def _edit(
    path: Path,
    model: type[BaseModel],
    change: Callable[[Any], None],
    wanted: tuple[str, object],
) -> None:
    import tomlkit  # at first use: reading needs the standard library's parser only
    from tomlkit.exceptions import TOMLKitError

    make_folder(path.parent)
    with locked_file(path.with_name(f"{path.name}.lock")):
        text = _read(path)
        before = flatten(model, parse(text, str(path)))
        try:
            document = tomlkit.parse(text)
            change(document)
            after_text = tomlkit.dumps(document)
        except (TOMLKitError, TypeError, ValueError) as error:
            raise _not_editable(path, wanted[0], type(error).__name__) from None
        after = flatten(model, parse(after_text, str(path)))
        _check_only_change(path, before, after, wanted)
        layer = Layer("file", {key: Placed(value, str(path)) for key, value in after.items()})
        resolve(model, [layer])
        write_private(path, after_text.encode())


def _check_only_change(
    path: Path, before: dict[str, Any], after: dict[str, Any], wanted: tuple[str, object]
) -> None:
    key, value = wanted
    expected = {name: each for name, each in before.items() if name != key}
    rest = {name: each for name, each in after.items() if name != key}
    if rest != expected or (value is None) == (key in after):
        raise _not_editable(path, key, "other values would change")


def _not_editable(path: Path, key: str, why: str) -> Refused:
    return Refused(
        "SETTING_NOT_EDITABLE",
        f"{key} cannot be changed in {path} without touching the rest ({why}).",
        recovery=f"Edit {path} by hand; nothing was changed.",
        data={"field": key, "file": str(path)},
    )


def _put(document: Any, path: list[str], value: object) -> None:
    import tomlkit

    *tables, name = path
    for depth, table in enumerate(tables, start=1):
        if table not in document:
            document[table] = tomlkit.table(is_super_table=depth < len(tables))
        document = document[table]
    document[name] = _as_toml(value)


def _as_toml(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value) if isinstance(value, Path) else value


def _take(document: Any, path: list[str]) -> None:
    *tables, name = path
    for table in tables:
        document = document[table]
    document.remove(name)
