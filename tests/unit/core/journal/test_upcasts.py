"""Old events load for ever: one golden file for every kind and payload version."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import Broken, Refused
from core.journal import events, upcasts
from core.journal.envelope import KINDS, Event
from core.journal.upcasts import current_version, load, upcast

GOLDEN = Path(__file__).parents[3] / "data" / "events"
FILES = sorted(GOLDEN.glob("*.json"))
OURS = sorted(k for k, model in KINDS.items() if model.__module__.startswith(events.__name__))


class Renamed(Event, kind="test.renamed"):
    """Had one ``name`` at first, then a ``title``, and has ``words`` today."""

    words: tuple[str, ...]


@upcast("test.renamed", 1)
def _called_title(payload: dict[str, Any]) -> dict[str, Any]:
    return {"title": payload["name"]}


@upcast("test.renamed", 2)
def _in_words(payload: dict[str, Any]) -> dict[str, Any]:
    return {"words": payload["title"].split()}


def _named(file: Path) -> tuple[str, int]:
    kind, version = file.stem.rsplit(".", 1)
    return kind, int(version)


@pytest.mark.parametrize("kind", OURS)
def test_every_kind_has_a_golden_file_for_each_of_its_versions(kind: str) -> None:
    for version in range(1, current_version(kind) + 1):
        assert (GOLDEN / f"{kind}.{version}.json").is_file(), "record one and never change it"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_a_golden_event_loads_and_keeps_all_it_says(file: Path) -> None:
    kind, version = _named(file)
    payload = json.loads(file.read_text())
    event = load(kind, version, json.dumps(payload))
    assert type(event) is KINDS[kind]
    if version == current_version(kind):
        said = event.model_dump(mode="json")
        assert {name: said[name] for name in payload} == payload


def test_no_golden_file_is_of_a_kind_that_is_gone() -> None:
    assert {_named(file)[0] for file in FILES} == set(OURS)


@pytest.mark.parametrize(
    ("version", "payload"),
    [(1, {"name": "one two"}), (2, {"title": "one two"}), (3, {"words": ["one", "two"]})],
)
def test_each_older_form_is_lifted_to_todays(version: int, payload: dict[str, Any]) -> None:
    assert load("test.renamed", version, json.dumps(payload)) == Renamed(words=("one", "two"))


def test_upcasts_are_declared_once_and_in_order() -> None:
    assert current_version("test.renamed") == 3
    for version in (1, 2, 4):
        with pytest.raises(Broken, match="from version 3"):
            upcast("test.renamed", version)(dict)
    assert ("test.renamed", 4) not in upcasts._LIFTS


@pytest.mark.parametrize("version", [0, -1, 4, 99])
def test_a_payload_of_an_unknown_version_is_refused(version: int) -> None:
    with pytest.raises(Refused) as refused:
        load("test.renamed", version, "{}")
    assert refused.value.code == "EVENT_TOO_NEW"


@pytest.mark.parametrize(
    ("version", "payload"),
    [(3, "{}"), (3, "no json"), (3, '{"words": ["a"], "more": 1}'), (2, "no json"), (1, "[1]")],
)
def test_a_stored_payload_that_does_not_fit_is_broken(version: int, payload: str) -> None:
    with pytest.raises(Broken, match=r"test\.renamed"):
        load("test.renamed", version, payload)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        load("test.never_declared", 1, "{}")
    assert refused.value.code == "UNKNOWN_EVENT_KIND"
