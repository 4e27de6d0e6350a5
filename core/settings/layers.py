"""Lays values of rising strength over a typed model and remembers where each one came from.

It knows no particular setting and reads no file or environment itself.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from core.errors import Invalid

Source = Literal["default", "guessed", "file", "environment", "command_line", "operator"]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Placed:
    """A raw value and the place it stands in: ``path:line``, ``COCKPIT_…``, ``--set``, a reason."""

    value: object = field(repr=False)
    where: str


@dataclass(frozen=True, slots=True)
class Layer:
    """The values of one source, by dotted key."""

    source: Source
    values: Mapping[str, Placed]


@dataclass(frozen=True, slots=True)
class Provenance:
    """One setting as it is in force, and where it came from."""

    key: str
    source: Source
    where: str
    value: Any


@dataclass(frozen=True, slots=True)
class Resolved(Generic[Model]):
    """A validated model together with the origin of each of its values, by dotted key."""

    value: Model
    provenance: Mapping[str, Provenance]


@lru_cache(maxsize=16)
def leaves(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Every value a model can hold, by dotted key, in the order of declaration."""
    return MappingProxyType(dict(_leaves(model, "")))


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info


def sections(model: type[BaseModel]) -> frozenset[str]:
    """The dotted names that hold values rather than being one."""
    parts = (key.split(".") for key in leaves(model))
    return frozenset(".".join(names[:n]) for names in parts for n in range(1, len(names)))


def flatten(model: type[BaseModel], document: Mapping[str, Any]) -> dict[str, Any]:
    """A nested document by dotted key, down to the model's values; unknown names stay in it."""
    return dict(_flatten(document, "", leaves(model), sections(model)))


def _flatten(
    document: Mapping[str, Any], prefix: str, known: Mapping[str, FieldInfo], groups: frozenset[str]
) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        key = prefix + (name if "." not in name else f'"{name}"')
        if isinstance(value, Mapping) and key not in known and (value or key in groups):
            yield from _flatten(value, f"{key}.", known, groups)
        else:
            yield key, value


def check_known(model: type[BaseModel], key: str, where: str) -> None:
    """Refuse a name that the model does not have.

    Raises:
        Invalid: naming the key, its place and the nearest name that exists.
    """
    known = leaves(model)
    if key in known:
        return
    if key in sections(model):
        raise Invalid(
            key,
            f"{key} ({where}) is a section, not a value.",
            recovery=f"Set a value in it, such as {_first_of(known, key)}.",
            data={"where": where},
        )
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    raise Invalid(
        key,
        f"There is no setting {key} ({where}).",
        recovery=f"Did you mean {near[0]}?" if near else "Remove it; see 'cockpit config show'.",
        data={"where": where, "nearest": near[0] if near else None},
    )


def _first_of(known: Mapping[str, FieldInfo], section: str) -> str:
    return next(key for key in known if key.startswith(f"{section}."))


def resolve(model: type[Model], layers: Sequence[Layer]) -> Resolved[Model]:
    """Lay ``layers`` (weakest first) over the model's defaults and validate the whole.

    Lists are replaced, not joined.

    Raises:
        Invalid: an unknown key, or a value of the wrong type or out of range; ``field`` is the
            dotted key, ``data["where"]`` its place, ``data["problems"]`` all that was found.
            The value itself is never repeated.
    """
    chosen: dict[str, tuple[Source, Placed]] = {}
    for layer in layers:
        for key, placed in layer.values.items():
            check_known(model, key, placed.where)
            chosen[key] = (layer.source, placed)
    try:
        value = model.model_validate(_nest(chosen))
    except ValidationError as error:
        raise _wrong(error, chosen) from None
    return Resolved(value, MappingProxyType(dict(_origins(value, chosen))))


def _nest(chosen: Mapping[str, tuple[Source, Placed]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, (_, placed) in chosen.items():
        *path, name = key.split(".")
        target = document
        for part in path:
            target = target.setdefault(part, {})
        target[name] = placed.value
    return document


def _wrong(error: ValidationError, chosen: Mapping[str, tuple[Source, Placed]]) -> Invalid:
    problems = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        key = ".".join(part for part in problem["loc"] if isinstance(part, str))
        while key and key not in chosen and not _below(key, chosen):
            key = key.rpartition(".")[0]
        where = chosen[key][1].where if key in chosen else "the whole"
        what = problem["msg"].removeprefix("Value error, ").rstrip(".")
        problems.append({"field": key, "where": where, "problem": what})
    first = problems[0]
    return Invalid(
        first["field"],
        f"{first['field']} ({first['where']}): {first['problem']}.",
        recovery=f"Correct {first['field']} in {first['where']}.",
        data={"where": first["where"], "problems": problems},
    )


def _below(key: str, chosen: Mapping[str, object]) -> bool:
    return any(each.startswith(f"{key}.") for each in chosen)


def _origins(
    value: BaseModel, chosen: Mapping[str, tuple[Source, Placed]]
) -> Iterator[tuple[str, Provenance]]:
    for key in leaves(type(value)):
        current: Any = value
        for part in key.split("."):
            current = getattr(current, part)
        source, where = "default", "built-in"
        if key in chosen:
            source, where = chosen[key][0], chosen[key][1].where
        yield key, Provenance(key, source, where, current)  # type: ignore[arg-type]
