"""Every capability is one declared operation; all surfaces are derived from the declaration.

An operation is an async function ``(desk, params) -> result`` with typed, frozen models. The
command line, JSON-RPC, MCP and the window's actions read the registry and hold no rules.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import Broken, Invalid, Refused

if TYPE_CHECKING:
    from core.desk import Desk

Scope = Literal["read", "write", "approve"]


class Params(BaseModel):
    """What an operation is given. Unknown fields are refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class View(BaseModel):
    """What an operation answers."""

    model_config = ConfigDict(frozen=True)


class Nothing(Params):
    """No parameters."""


P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=View)
Handler = Callable[["Desk", Any], Awaitable[View]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One capability.

    Attributes:
        name: dotted, ``noun.verb``; also the JSON-RPC method and the command line's words.
        summary: the first line of the handler's docstring, shown in ``--help``.
    """

    name: str
    scope: Scope
    params: type[Params]
    result: type[View]
    handler: Handler
    summary: str

    def parse(self, raw: dict[str, Any]) -> Params:
        """Validate raw parameters.

        Raises:
            Invalid: naming the first field that does not fit, with the fix.
        """
        try:
            return self.params.model_validate(raw)
        except ValidationError as error:
            raise _invalid(self, error) from None


REGISTRY: dict[str, Operation] = {}


def operation(
    name: str, scope: Scope
) -> Callable[[Callable[["Desk", P], Awaitable[R]]], Callable[["Desk", P], Awaitable[R]]]:
    """Declare the decorated function as the operation ``name``."""

    def declare(
        handler: Callable[["Desk", P], Awaitable[R]],
    ) -> Callable[["Desk", P], Awaitable[R]]:
        if name in REGISTRY:
            raise Broken(f"Operation {name!r} is declared twice.")
        hints = get_type_hints(handler, localns={"Desk": Any})
        params = hints[list(inspect.signature(handler).parameters)[1]]
        summary = (inspect.getdoc(handler) or "").partition("\n")[0]
        REGISTRY[name] = Operation(name, scope, params, hints["return"], handler, summary)
        return handler

    return declare


def find(name: str) -> Operation:
    """The operation called ``name``.

    Raises:
        Refused: ``UNKNOWN_OPERATION``.
    """
    try:
        return REGISTRY[name]
    except KeyError:
        raise Refused(
            "UNKNOWN_OPERATION",
            f"No operation is called {name!r}.",
            recovery="See 'cockpit --help'.",
            data={"name": name},
        ) from None


def _invalid(operation: Operation, error: ValidationError) -> Invalid:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or operation.name
    known = ", ".join(operation.params.model_fields) or "none"
    return Invalid(
        place,
        f"{operation.name}: {place}: {first['msg']}.",
        recovery=f"Fields of {operation.name}: {known}.",
        data={"problem": first["type"]},
    )
