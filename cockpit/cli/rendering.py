"""Shows any answer to a person: tables for rows, key and value for the rest; or a short message.

It knows no operation. Every text passes :mod:`cockpit.visible`.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from cockpit.visible import one_line, visible

PLAIN_LINES = 20
PLAIN_WIDTH = 70
_INDENT = "  "
_UNBOUNDED = 100_000  # columns, where nobody's window has a width


def show(view: Mapping[str, Any], out: TextIO | None = None) -> None:
    """Write a view for a person at a terminal, or for a file."""
    from rich.console import Console

    out = out or sys.stdout
    terminal = out.isatty()
    width = shutil.get_terminal_size().columns if terminal else _UNBOUNDED
    colour = terminal and not os.environ.get("NO_COLOR")
    console = Console(
        file=out, width=width, highlight=False, markup=False, emoji=False,
        color_system="auto" if colour else None, no_color=not colour, soft_wrap=False,
    )  # fmt: skip
    _show_object(console, view, "")


def _show_object(console: Any, view: Mapping[str, Any], indent: str) -> None:
    named = [(one_line(str(key)), value) for key, value in view.items()]
    width = max((len(name) for name, value in named if _is_short(value)), default=0)
    for name, value in named:
        if _is_short(value):
            _line(console, f"{indent}{name.ljust(width)}  {_text(value)}".rstrip())
    for name, value in named:
        if not _is_short(value):
            _show_large(console, name, value, indent)


def _show_large(console: Any, name: str, value: Any, indent: str) -> None:
    if isinstance(value, str):
        _line(console, f"{indent}{name}:")
        for line in visible(value).rstrip("\n").split("\n"):
            _line(console, f"{indent}{_INDENT}{line}")
    elif isinstance(value, Mapping):
        _line(console, f"{indent}{name}:")
        _show_object(console, value, indent + _INDENT)
    elif value and all(isinstance(row, Mapping) for row in value):
        _show_rows(console, name, value)
    else:
        _line(console, f"{indent}{name}:")
        for each in value:
            _line(console, f"{indent}{_INDENT}- {_text(each)}")


def _line(console: Any, text: str) -> None:
    console.print(text, soft_wrap=True)


def _show_rows(console: Any, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = columns_of(rows)
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numbers = all(isinstance(row.get(column), (int, float)) for row in rows)
        table.add_column(
            Text(one_line(str(column))), justify="right" if numbers else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(one_line(_text(row.get(column)))) for column in columns))
    console.print(table)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of what any row holds, in order, without those that are empty in all."""
    names = dict.fromkeys(key for row in rows for key in row)
    return [n for n in names if any(row.get(n) not in (None, "", [], {}) for row in rows)]


def _is_short(value: Any) -> bool:
    if isinstance(value, str):
        return "\n" not in value
    return not isinstance(value, (Mapping, list, tuple)) or not value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(str(k))}={_text(v)}" for k, v in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(each) for each in value) or "-"
    return visible(str(value))


def plain(view: Mapping[str, Any]) -> list[str]:
    """A view as at most 20 short lines: it fits a text message."""
    lines = [one_line(line, PLAIN_WIDTH) for line in _plain_lines(view, "")]
    if len(lines) <= PLAIN_LINES:
        return lines
    kept = lines[: PLAIN_LINES - 1]
    return [*kept, f"… {len(lines) - len(kept)} more lines"]


def _plain_lines(view: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in view.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _plain_lines(value, f"{name}.")
        elif isinstance(value, (list, tuple)) and any(isinstance(e, Mapping) for e in value):
            yield f"{name}: {len(value)}"
            yield from (f"- {_row_text(row)}" for row in value)
        elif value not in (None, "", [], {}):
            yield f"{name}: {_text(value)}"


def _row_text(row: Any) -> str:
    if not isinstance(row, Mapping):
        return _text(row)
    shown = [_text(v) for v in row.values() if v not in (None, "", [], {})]
    return " · ".join(shown)
