"""Makes a command of a declared operation: arguments and options from its parameters' schema."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import orjson
import typer

from cockpit.cli.declared import Declared
from cockpit.cli.surface import surface_of

_SCALARS: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool}

_METAVARS = {str: "TEXT", int: "NUMBER", float: "NUMBER"}


def command_of(declared: Declared) -> Callable[..., None]:
    """A function that typer can make a command of.

    Required scalars are arguments; everything else is an option, given only when it was typed, so
    that the operation's own defaults hold.
    """
    required = declared.params.get("required", [])
    fields = {
        name: _resolved(declared.params, schema)
        for name, schema in declared.params.get("properties", {}).items()
    }

    def run(context: typer.Context, **given: Any) -> None:
        chosen = {name: value for name, value in given.items() if value not in (None, [])}
        params = {name: _value(fields[name], name, value) for name, value in chosen.items()}
        surface_of(context).perform(declared.name, params)

    wished = [
        _parameter(name, schema, required=name in required) for name, schema in fields.items()
    ]
    context = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    arguments = [each for each, is_argument in wished if is_argument]
    options = [each for each, is_argument in wished if not is_argument]
    parameters = [context, *arguments, *options]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = declared.summary
    run.__name__ = declared.verb
    return run


def _resolved(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without references and without the null that makes it optional."""
    reference = schema.get("$ref", "")
    if reference:
        found = root.get("$defs", {}).get(reference.rpartition("/")[2], {})
        return _resolved(root, {**found, **{k: v for k, v in schema.items() if k != "$ref"}})
    choices = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    if len(choices) == 1:
        outer = {key: value for key, value in schema.items() if key != "anyOf"}
        return _resolved(root, {**choices[0], **outer})
    return schema


def _parameter(
    name: str, schema: dict[str, Any], *, required: bool
) -> tuple[inspect.Parameter, bool]:
    """The parameter of a field, and whether it is an argument."""
    many = _is_list(schema)
    kind = _kind(schema["items"] if many else schema)
    words = str(schema.get("description", "")) or None
    if required and not many and kind is not bool:
        annotation: Any = Annotated[kind, typer.Argument(help=words, show_default=False)]
        default: Any = inspect.Parameter.empty
    else:
        option = typer.Option(
            _flag(name, kind),
            help=_help(words, schema),
            show_default=False,
            metavar=_METAVARS.get(kind),
        )
        annotation = Annotated[list[kind] if many else kind | None, option]  # type: ignore[valid-type]
        default = inspect.Parameter.empty if required else None
    parameter = inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
    return parameter, default is inspect.Parameter.empty and not many and kind is not bool


def _flag(name: str, kind: Any) -> str:
    flag = f"--{name.replace('_', '-')}"
    return f"{flag}/--no-{flag[2:]}" if kind is bool else flag


def _help(words: str | None, schema: dict[str, Any]) -> str | None:
    default = schema.get("default")
    if default in (None, "", [], False):
        return words
    shown = "yes" if default is True else default
    return f"{words or ''} [default: {shown}]".strip()


def _is_list(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "array" and _kind(schema.get("items", {})) in _SCALARS.values()


def _kind(schema: dict[str, Any]) -> Any:
    if "enum" in schema and all(isinstance(each, str) for each in schema["enum"]):
        return Literal[tuple(schema["enum"])]
    if "const" in schema and isinstance(schema["const"], str):
        return Literal[schema["const"]]
    return _SCALARS.get(str(schema.get("type")), str)


def _value(schema: dict[str, Any], name: str, value: Any) -> Any:
    """What was typed, as the operation takes it; structures are typed as JSON."""
    is_text = isinstance(value, str)
    if not is_text or schema.get("type") in _SCALARS or "enum" in schema or "const" in schema:
        return value
    if schema.get("type") not in ("object", "array"):
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        raise typer.BadParameter(f"{name} is given as JSON.") from None
