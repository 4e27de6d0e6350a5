"""Reads JSON-RPC 2.0 requests out of frames and writes responses. It calls nothing.

The dispatch is our own: pjrpc 2.2, the one living library, reached 0.44 of a bare protocol's
pings where performance.md P18 asks for 0.5, and takes a request with a null id for a notification.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from cockpit.rpc.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR

_HEAD = b'{"jsonrpc":"2.0","id":'
_NULL = b"null"


@dataclass(frozen=True, slots=True)
class Call:
    """One valid request.

    Attributes:
        id: the encoded id, repeated in the response; None for a notification, which gets none.
    """

    id: bytes | None
    method: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """A request that is none, with the response that says so."""

    response: bytes | None


def parse(frame: bytes) -> Any:
    """The value in a frame.

    Raises:
        ValueError: it is not JSON (also: NaN, a byte order mark, broken UTF-8, too deep).
    """
    return orjson.loads(frame)


def read_call(message: object) -> Call | Fault:
    """A request out of a parsed value; the standard's sections 4 and 5.1."""
    if not isinstance(message, dict):
        return Fault(failure(None, INVALID_REQUEST, "A request is a JSON object."))
    id_ = _id(message)
    if isinstance(id_, Fault):
        return id_
    method = message.get("method")
    if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
        return Fault(
            failure(id_, INVALID_REQUEST, 'A request has "jsonrpc": "2.0" and a method\'s name.')
        )
    params = message.get("params", {})
    if isinstance(params, dict):
        return Call(id_, method, params)
    if not isinstance(params, list):
        return Fault(failure(id_, INVALID_REQUEST, "Parameters are a JSON object."))
    if not params:
        return Call(id_, method)
    if id_ is None:
        return Fault(None)
    return Fault(failure(id_, INVALID_PARAMS, "Parameters are given by name, in a JSON object."))


def _id(message: dict[str, Any]) -> bytes | Fault | None:
    if "id" not in message:
        return None
    found = message["id"]
    if isinstance(found, bool) or not isinstance(found, (str, int, float, type(None))):
        return Fault(failure(None, INVALID_REQUEST, "An id is a string, a number or null."))
    return orjson.dumps(found)


def success(id_: bytes, result: bytes) -> bytes:
    """A response without its line end; ``result`` is encoded already."""
    return b"".join((_HEAD, id_, b',"result":', result, b"}"))


def failure(id_: bytes | None, number: int, message: str, data: object = None) -> bytes:
    """A response that says no; without an id, to the one who could not be read."""
    error: dict[str, Any] = {"code": number, "message": message}
    if data is not None:
        error["data"] = data
    encoded = orjson.dumps(error, default=str)
    return b"".join((_HEAD, id_ or _NULL, b',"error":', encoded, b"}"))


def not_json() -> bytes:
    """The response to a frame that cannot be parsed."""
    return failure(None, PARSE_ERROR, "The line is not JSON.")


def notification(method: str, params: object) -> bytes:
    """A message of ours that wants no answer, as one line."""
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params}) + b"\n"
