"""Reading the planner's structured output: a plan or a turn, or a list of what is wrong with it.

Pure and total: whatever arrives, the answer is a model or ``PlanInvalid`` (domain.md §5).
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.errors import Refused
from core.planning.plan_shapes import (
    Adr,
    Converse,
    Milestone,
    Plan,
    PlannedTask,
    PlannerChoice,
    PlannerQuestion,
    Prd,
)

__all__ = [
    "Adr",
    "Converse",
    "Milestone",
    "Plan",
    "PlanInvalid",
    "PlannedTask",
    "PlannerChoice",
    "PlannerQuestion",
    "Prd",
    "Problem",
    "json_schema_for_converse",
    "json_schema_for_plan",
    "parse_converse",
    "parse_plan",
]

MAX_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_PROBLEMS = 40
_BIGGEST_INT = 2**63
_DROPPED_KEYWORDS = frozenset({"title", "default", "maxLength", "minLength"})

Shape = TypeVar("Shape", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to repair: where (``tasks[1].depends_on``), a stable code, and what is wrong."""

    path: str
    code: str
    message: str


class PlanInvalid(Refused):
    """The planner's output is no valid plan or turn; ``problems`` fits into a repair turn."""

    def __init__(self, problems: Iterable[Problem]):
        every = list(problems)
        self.problems = tuple(every[:MAX_PROBLEMS])
        super().__init__(
            "HOLD-PLANNER-STRUCTURE",
            f"The planner's output has {len(every)} problems.",
            recovery="Retry, or edit the prompt.",
            data={"problems": [asdict(each) for each in self.problems], "count": len(every)},
        )


def parse_plan(raw: object) -> Plan:
    """Read a plan from JSON text, UTF-8 bytes or an already decoded JSON value.

    Raises:
        PlanInvalid: with every problem found, for anything but one valid plan.
    """
    plan = _parse(raw, Plan)
    problems = list(_graph_problems(plan))
    if problems:
        raise PlanInvalid(problems)
    return plan


def parse_converse(raw: object) -> Converse:
    """Read a conversation turn, as ``parse_plan`` reads a plan.

    Raises:
        PlanInvalid: with every problem found, for anything but one valid turn.
    """
    return _parse(raw, Converse)


def json_schema_for_plan() -> dict[str, Any]:
    """The JSON schema of a plan for the planner's CLI: inlined, every property required."""
    return _schema(Plan)


def json_schema_for_converse() -> dict[str, Any]:
    """The JSON schema of a conversation turn for the planner's CLI."""
    return _schema(Converse)


def _parse(raw: object, shape: type[Shape]) -> Shape:
    value = _decoded(raw)
    problems = list(_unfit_values(value))
    if problems:
        raise PlanInvalid(problems)
    text = json.dumps(value, ensure_ascii=False)
    _check_size(len(text.encode()))
    try:
        return shape.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise PlanInvalid(
            Problem(_path(each["loc"]), each["type"], each["msg"].removeprefix("Value error, "))
            for each in found
        ) from None


def _decoded(raw: object) -> object:
    if isinstance(raw, bytes | bytearray):
        _check_size(len(raw))
        try:
            raw = raw.decode()
        except UnicodeDecodeError as error:
            raise _one("encoding", f"not UTF-8 at byte {error.start}") from None
    if not isinstance(raw, str):
        return raw
    _check_size(len(raw))
    try:
        return json.loads(raw, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise _one("json", _where_json_ends(raw, error)) from None
    except RecursionError:
        raise _one("depth", f"nested deeper than {MAX_DEPTH}") from None
    except ValueError:
        raise _one("number", "holds a number with too many digits") from None


def _where_json_ends(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return "the output is empty; it must be one JSON object"
    if error.pos >= len(text.rstrip()):
        return f"the JSON stops in the middle, at character {error.pos}"
    if not text.lstrip().startswith(("{", "[")):
        return "the output is prose; it must be one JSON object and nothing else"
    return f"{error.msg} at line {error.lineno}, column {error.colno}"


def _refuse_constant(name: str) -> float:
    raise _one("number", f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _one("duplicate_key", f"an object has the key {_shown(key)} twice")
        found[key] = value
    return found


def _unfit_values(value: object) -> Iterator[Problem]:
    """What no JSON value may hold, and what is too deep or too much; stops at the first bound."""
    stack: list[tuple[object, tuple[str | int, ...]]] = [(value, ())]
    for _ in range(MAX_NODES):
        if not stack:
            return
        node, path = stack.pop()
        if len(path) >= MAX_DEPTH and isinstance(node, dict | list):
            yield Problem(_path(path[:3]), "depth", f"nested deeper than {MAX_DEPTH}")
            return
        if isinstance(node, dict):
            stack += [(child, (*path, str(key))) for key, child in _members(node)]
            wrong = _wrong_key(node)
        elif isinstance(node, list):
            stack += [(child, (*path, place)) for place, child in enumerate(node)]
            wrong = None
        else:
            wrong = _wrong_scalar(node)
        if wrong:
            yield Problem(_path(path), "value", wrong)
    yield Problem("", "size", f"holds more than {MAX_NODES} values")


def _members(node: dict[Any, Any]) -> Iterable[tuple[Any, Any]]:
    return list(node.items())[:MAX_NODES]


def _wrong_key(node: dict[Any, Any]) -> str | None:
    for key in node:
        if not isinstance(key, str) or _wrong_scalar(key):
            return f"has the key {_shown(key)}, which is not a plain string"
    return None


def _wrong_scalar(node: object) -> str | None:
    if node is None or isinstance(node, bool):
        return None
    if isinstance(node, int):
        return None if abs(node) < _BIGGEST_INT else "is too large a number"
    if isinstance(node, float):
        return None if math.isfinite(node) else "is not a finite number"
    if not isinstance(node, str):
        return f"is a {type(node).__name__}, not a JSON value"
    if len(node) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} characters"
    surrogate = any("\ud800" <= char <= "\udfff" for char in node) if not node.isascii() else False
    return "holds half of a surrogate pair" if surrogate else None


def _graph_problems(plan: Plan) -> Iterator[Problem]:
    ids = [each.id for each in plan.tasks]
    known = set(ids)
    for place, task in enumerate(plan.tasks):
        if task.id in ids[:place]:
            yield Problem(f"tasks[{place}].id", "duplicate_id", f"{task.id} is used twice")
        for need in sorted(set(task.depends_on) - known):
            yield Problem(
                f"tasks[{place}].depends_on", "unknown_dependency", f"there is no task {need}"
            )
    for place, milestone in enumerate(plan.roadmap):
        for each in sorted(set(milestone.tasks) - known):
            yield Problem(f"roadmap[{place}].tasks", "unknown_task", f"there is no task {each}")
    cycle = _cycle(plan.graph)
    if cycle:
        yield Problem("tasks", "dependency_cycle", f"a cycle: {' → '.join(cycle)}")


def _cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _schema(shape: type[BaseModel]) -> dict[str, Any]:
    whole = shape.model_json_schema()
    inlined: dict[str, Any] = _inlined(whole, whole.get("$defs", {}))
    return inlined


def _inlined(node: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _inlined(definitions[node["$ref"].rpartition("/")[2]], definitions)
    if isinstance(node.get("properties"), dict):
        names = node["properties"]
        return {
            "type": "object",
            "properties": {name: _inlined(each, definitions) for name, each in names.items()},
            "required": list(names),
            "additionalProperties": False,
        }
    kept = {name: each for name, each in node.items() if name not in _DROPPED_KEYWORDS}
    return {name: _inlined(each, definitions) for name, each in kept.items() if name != "$defs"}


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise _one("size", f"is larger than {MAX_BYTES} bytes")


def _one(code: str, message: str) -> PlanInvalid:
    return PlanInvalid([Problem("", code, message)])


def _path(loc: Iterable[str | int]) -> str:
    text = ""
    for each in list(loc)[:12]:
        text += f"[{each}]" if isinstance(each, int) else f".{_shown_name(each)}"
    return text.removeprefix(".")


def _shown_name(name: str) -> str:
    return name if name.isidentifier() and len(name) <= 40 else _shown(name)


def _shown(value: object) -> str:
    return ascii(value)[:60]
