"""Turns the text of an environment variable or an option into the type its setting has.

Nothing is guessed from truthy words: a boolean is ``true``, ``false``, ``1`` or ``0``.
"""

import json
import types
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from core.errors import Invalid
from core.settings.layers import leaves

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_TEXT_LIMIT = 10_000


def read_text(model: type[BaseModel], key: str, text: str, where: str) -> object:
    """The typed value that ``text`` stands for, by the declared type of ``key``.

    Lists are JSON (``["a", "b"]``) or separated by commas; empty text is an empty list.

    Raises:
        Invalid: the text is none of that type; it is not repeated in the message.
    """
    if len(text) > _TEXT_LIMIT:
        raise _unreadable(key, where, "shorter than 10,000 characters", "shorten it")
    kind = _plain_type(leaves(model)[key].annotation)
    if kind is bool:
        if text not in _BOOLEANS:
            raise _unreadable(key, where, "true, false, 1 or 0", "write true or false")
        return _BOOLEANS[text]
    if kind is int:
        return _read_integer(key, text, where)
    if kind is Decimal:
        return _read_decimal(key, text, where)
    if kind is tuple:
        return _read_list(key, text, where)
    return text


def _plain_type(annotation: Any) -> Any:
    """``bool``, ``int``, ``Decimal``, ``tuple`` or what else stands inside wrappers."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain_type(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return _plain_type(next(arg for arg in get_args(annotation) if arg is not type(None)))
    return origin or annotation


def _read_integer(key: str, text: str, where: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise _unreadable(key, where, "a whole number", "write digits only")
    return int(text)


def _read_decimal(key: str, text: str, where: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise _unreadable(key, where, "an amount such as 2.50", "write digits and one point")
    return number


def _read_list(key: str, text: str, where: str) -> list[object]:
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _unreadable(key, where, "a list", 'write ["a", "b"] or a,b') from None
    return list(found)


def _unreadable(key: str, where: str, wanted: str, fix: str) -> Invalid:
    return Invalid(
        key,
        f"{key} ({where}) must be {wanted}.",
        recovery=f"In {where}, {fix}.",
        data={"where": where},
    )
