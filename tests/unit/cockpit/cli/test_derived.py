"""A command is made of a declared operation alone: a new one needs no code here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from cockpit.cli.app import RootGroup
from cockpit.cli.declared import FILE, Declared, encoded, listed, registered
from cockpit.cli.derived import command_of
from cockpit.cli.surface import Surface
from core.operations import Params

RESERVED = {"json", "plain", "profile", "set", "in_process", "verbose", "help", "context"}


class Everything(Params):
    name: Annotated[str, Field(description="Who it is about")]
    age: int
    colour: Literal["red", "blue"] = "red"
    nick_name: str | None = None
    tags: tuple[str, ...] = ()
    loud: Annotated[bool, Field(description="Say it loudly")] = False
    gentle: bool = True
    weight: float = 1.5
    extra: dict[str, Any] = Field(default_factory=dict)


class Many(Params):
    findings: Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Recorder(Surface):
    """Notes what would be performed."""

    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def perform(self, name: str, params: Mapping[str, Any]) -> None:
        self.asked.append((name, dict(params)))


def _invoke(params: type[Params], *words: str) -> tuple[Any, list[tuple[str, dict[str, Any]]]]:
    declared = Declared("test.try_it", "write", "Tries it.", params.model_json_schema())
    app = typer.Typer(rich_markup_mode=None)
    app.command(name=declared.verb)(command_of(declared))
    recorder = Recorder()
    result = CliRunner().invoke(app, list(words), obj=recorder)
    return result, recorder.asked


def test_only_what_was_typed_is_given() -> None:
    result, asked = _invoke(Everything, "Ann", "7")
    assert result.exit_code == 0, result.output
    assert asked == [("test.try_it", {"name": "Ann", "age": 7})]


def test_every_kind_of_field() -> None:
    words = "Ann 7 --colour blue --nick-name A --tags x --tags y --loud --no-gentle --weight 2.5"
    result, asked = _invoke(Everything, *words.split(), "--extra", '{"a": [1]}')
    assert result.exit_code == 0, result.output
    ((_, params),) = asked
    assert params == {
        "name": "Ann",
        "age": 7,
        "colour": "blue",
        "nick_name": "A",
        "tags": ["x", "y"],
        "loud": True,
        "gentle": False,
        "weight": 2.5,
        "extra": {"a": [1]},
    }
    assert Everything.model_validate(params).tags == ("x", "y")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["Ann"],
        ["Ann", "x"],
        ["Ann", "7", "more"],
        ["Ann", "7", "--nonsense"],
        ["Ann", "7", "--colour", "green"],
        ["Ann", "7", "--weight", "heavy"],
        ["Ann", "7", "--extra", "{"],
        ["Ann", "7", "--nick-name"],
    ],
)
def test_what_does_not_fit_is_refused(words: list[str]) -> None:
    result, asked = _invoke(Everything, *words)
    assert result.exit_code == 2, result.output
    assert asked == []


def test_required_lists_are_options() -> None:
    result, asked = _invoke(Many)
    assert result.exit_code == 2
    assert "--findings" in result.output
    result, asked = _invoke(Many, "--findings", "a", "--findings", "b")
    assert asked == [("test.try_it", {"findings": ["a", "b"]})]


def test_help_tells_what_the_declaration_tells() -> None:
    result, _ = _invoke(Everything, "--help")
    for words in ("Tries it.", "Who it is about", "Say it loudly", "[default: red]", "red|blue"):
        assert words in result.output


@pytest.mark.slow
def test_the_file_lists_what_is_declared() -> None:
    assert FILE.read_bytes() == encoded(), "run: python -m cockpit.cli.declared"
    assert listed() == registered()


@pytest.mark.parametrize("name", sorted(listed()))
def test_every_operation_has_a_command(name: str) -> None:
    declared = listed()[name]
    assert not RESERVED & declared.params.get("properties", {}).keys()
    assert declared.summary
    group = RootGroup(name="cockpit").get_command(None, declared.noun)
    command = group.get_command(None, declared.verb)
    assert command is not None
    assert command.name == declared.verb


def test_an_unknown_word_is_no_command() -> None:
    assert RootGroup(name="cockpit").get_command(None, "nonsense") is None
