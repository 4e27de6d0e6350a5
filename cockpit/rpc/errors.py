"""Refusals as JSON-RPC errors, and back: what one side raises, the other side raises again.

The numbers are automation.md §4; the product's own code, sentence and recovery travel as data.
"""

from typing import Any

from core.errors import Broken, CockpitError, Conflict, Invalid, NotFound, Refused, Unavailable

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
UNAVAILABLE = -32003
REFUSED = -32004

Facts = dict[str, Any]


def facts_of(error: CockpitError) -> Facts:
    """The four fields by which every surface tells of a refusal (domain.md §17)."""
    return {
        "code": error.code,
        "sentence": error.sentence,
        "recovery": error.recovery,
        "data": error.data,
    }


def number_of(error: CockpitError) -> int:
    """The JSON-RPC error code of an error of ours."""
    if error.code == "UNKNOWN_OPERATION":
        return METHOD_NOT_FOUND
    if isinstance(error, Invalid):
        return INVALID_PARAMS
    if isinstance(error, Refused):
        return REFUSED
    return UNAVAILABLE if isinstance(error, Unavailable) else INTERNAL_ERROR


def error_object(error: CockpitError) -> Facts:
    """The ``error`` member of a response."""
    return {"code": number_of(error), "message": error.sentence, "data": facts_of(error)}


def error_from(found: object) -> CockpitError:
    """The error that the other side raised; what is no error object of ours is ``Broken``."""
    if not isinstance(found, dict):
        return Broken("The other side answered with an error that is none.")
    facts, number = found.get("data"), found.get("code")
    if not isinstance(facts, dict) or not isinstance(facts.get("code"), str):
        return _foreign(number, str(found.get("message", "")))
    data = facts.get("data")
    return _rebuilt(
        number if isinstance(number, int) else INTERNAL_ERROR,
        facts["code"],
        str(facts.get("sentence", "")),
        str(facts.get("recovery", "")),
        data if isinstance(data, dict) else {},
    )


def _foreign(number: object, message: str) -> CockpitError:
    if number in (PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS):
        return Refused("RPC_REFUSED", message, data={"number": number})
    return Broken(message, data={"number": number})


def _rebuilt(number: int, code: str, sentence: str, recovery: str, data: Facts) -> CockpitError:
    if number == UNAVAILABLE:
        return Unavailable(code, sentence, recovery=recovery, data=data)
    if number == INTERNAL_ERROR:
        return Broken(sentence, data=data)
    if code == "INVALID_INPUT":
        field = str(data.get("field", ""))
        return Invalid(field, sentence, recovery=recovery, data=data)
    refused = Refused(code, sentence, recovery=recovery, data=data)
    if code == "STREAM_CONFLICT" and data.keys() >= {"stream", "expected", "actual"}:
        return _as(refused, Conflict(data["stream"], data["expected"], data["actual"]))
    if code.endswith("_NOT_FOUND") and data.keys() >= {"kind", "name"}:
        return _as(refused, NotFound(str(data["kind"]), str(data["name"])))
    return refused


def _as(told: Refused, kind: Refused) -> Refused:
    """``kind``'s class with the words that were told."""
    kind.args = told.args
    kind.code, kind.sentence = told.code, told.sentence
    kind.recovery, kind.data = told.recovery, told.data
    return kind
