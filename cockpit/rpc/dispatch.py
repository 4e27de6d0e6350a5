"""Finds the method of a call, performs it and encodes the answer. Every Desk operation is one.

It knows no sockets; what it cannot explain leaves it as the exception it is.
"""

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any, Protocol

import orjson

from cockpit.rpc.errors import error_object
from cockpit.rpc.messages import Call, failure, success
from cockpit.rpc.subscriptions import Followed
from core.errors import CockpitError, Invalid
from core.operations import REGISTRY, Operation, View

ACTOR = "operator"
Method = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
Registry = Mapping[str, Operation]
BUILT_IN = {
    "ping": "Whether somebody listens.",
    "rpc.discover": "Every method with its scope and the JSON schemas of parameters and result.",
    "event.subscribe": "Push events from a sequence number on, as notifications called 'event'.",
    "event.unsubscribe": "End the subscription of this connection.",
}


class DeskLike(Protocol):
    """What is asked of the Desk."""

    @property
    def journal(self) -> Followed:
        """The journal that subscriptions follow."""
        ...

    async def call(self, name: str, raw: Mapping[str, Any], *, actor: str) -> View:
        """Perform an operation."""
        ...


class Dispatcher:
    """The methods of one Desk.

    Args:
        methods: what the process itself answers, such as ``daemon.status``.
        registry: the operations that ``rpc.discover`` describes.
    """

    def __init__(
        self,
        desk: DeskLike,
        *,
        methods: Mapping[str, Method] | None = None,
        registry: Registry = REGISTRY,
    ):
        self.desk = desk
        self._methods: dict[str, Method] = {"rpc.discover": self._discover, **(methods or {})}
        self._registry = registry
        self.pong = orjson.dumps({"pong": True, "version": version("operator-cockpit")})

    async def answer(self, call: Call) -> bytes | None:
        """Perform ``call``; the encoded response, or None for a notification."""
        try:
            result = await self._perform(call)
        except CockpitError as error:
            return refusal(call.id, error)
        return None if call.id is None else success(call.id, result)

    async def _perform(self, call: Call) -> bytes:
        if call.method == "ping":
            return self.pong
        method = self._methods.get(call.method)
        if method is not None:
            return orjson.dumps(await method(call.params))
        view = await self.desk.call(call.method, call.params, actor=ACTOR)
        return view.model_dump_json().encode()

    async def _discover(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        if params:
            raise Invalid(next(iter(params)), "rpc.discover takes no parameters.")
        own = [{"name": name, "scope": "read", "summary": BUILT_IN[name]} for name in BUILT_IN]
        own += [
            {"name": name, "scope": "write", "summary": (method.__doc__ or "").partition("\n")[0]}
            for name, method in self._methods.items()
            if name not in BUILT_IN
        ]
        declared = [describe(self._registry[name]) for name in sorted(self._registry)]
        return {"jsonrpc": "2.0", "methods": [*own, *declared]}


def refusal(id_: bytes | None, error: CockpitError) -> bytes | None:
    """The response that tells of an error of ours; None where nobody asked for one."""
    if id_ is None:
        return None
    found = error_object(error)
    return failure(id_, found["code"], found["message"], found["data"])


def describe(operation: Operation) -> dict[str, Any]:
    """An operation as data: what surfaces are derived from."""
    return {
        "name": operation.name,
        "scope": operation.scope,
        "summary": operation.summary,
        "params": operation.params.model_json_schema(),
        "result": operation.result.model_json_schema(mode="serialization"),
    }
