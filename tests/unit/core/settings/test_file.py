"""Editing the settings file: comments stay, only valid wholes are written, in one step."""

import stat
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import CockpitError, Invalid, Refused
from core.settings import Settings, load, set_value, unset_value
from core.settings.file import key_lines, parse
from core.settings.layers import leaves

COMMENTED = """# my cockpit
[system]
# what I speak
language = "en"   # for now

[budgets]
calls_per_day = 10
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "settings.toml"
    path.parent.mkdir(mode=0o700)
    return path


def put(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)


def test_a_new_file_is_owner_only(file: Path) -> None:
    set_value(file, "system.language", "zh")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load(file, {}).value.system.language == "zh"
    assert {each.name for each in file.parent.iterdir()} == {file.name, f"{file.name}.lock"}


def test_comments_and_other_values_stay(file: Path) -> None:
    put(file, COMMENTED)
    set_value(file, "system.language", "zh")
    text = file.read_text()
    assert "# my cockpit" in text
    assert "# what I speak" in text
    assert "# for now" in text
    settings = load(file, {}).value
    assert (settings.system.language, settings.budgets.calls_per_day) == ("zh", 10)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("system.allow_remote_writes", "true", True),
        ("system.allow_remote_writes", True, True),
        ("system.max_parallel_runs", "7", 7),
        ("system.remote_write_repos", '["a","b"]', ("a", "b")),
        ("system.remote_write_repos", ["a"], ("a",)),
        ("providers.claude.base_url", "http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("budgets.tokens_per_day", "9", 9),
    ],
)
def test_every_kind_of_value_can_be_written(
    file: Path, key: str, value: object, expected: object
) -> None:
    put(file, COMMENTED)
    set_value(file, key, value)
    assert load(file, {}).provenance[key].value == expected


@pytest.mark.parametrize("amount", ["0", "3", "2.5", "0.000001", "999999.99"])
def test_money_comes_back_exactly(file: Path, amount: str) -> None:
    set_value(file, "budgets.validators_day_usd", amount)
    assert load(file, {}).value.budgets.validators_day_usd == Decimal(amount)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("system.languag", "zh"),
        ("system", "zh"),
        ("system.language", "fr"),
        ("system.allow_remote_writes", "yes"),
        ("system.max_parallel_runs", 0),
        ("system.max_parallel_runs", None),
        ("", ""),
    ],
)
def test_a_refused_edit_changes_nothing(file: Path, key: str, value: object) -> None:
    put(file, COMMENTED)
    with pytest.raises(Refused):
        set_value(file, key, value)
    assert file.read_text() == COMMENTED


def test_a_file_that_is_wrong_elsewhere_is_not_written(file: Path) -> None:
    put(file, "[system]\nlangage = 'en'\n")
    with pytest.raises(Invalid, match="langage"):
        set_value(file, "system.log_level", "debug")
    assert file.read_text() == "[system]\nlangage = 'en'\n"


@pytest.mark.parametrize(
    "text",
    [
        "system = { language = 'en' }\n",
        "system.language = 'en'\n",
        "[system]\nlanguage = 'en'\n[budgets]\n[planner]\nmodel = 'x'\n",
        "[providers.claude]\nmodel = 'opus'\n",
        "budgets.calls_per_day = 3\n[providers]\nclaude.model = 'opus'\n",
    ],
)
def test_every_spelling_of_toml_can_be_edited(file: Path, text: str) -> None:
    put(file, text)
    before = load(file, {})
    set_value(file, "system.log_level", "debug")
    set_value(file, "providers.claude.base_url", "https://x.example")
    after = load(file, {})
    assert after.value.system.log_level == "debug"
    assert after.value.providers.claude.base_url == "https://x.example"
    for key, origin in before.provenance.items():
        if origin.source == "file":
            assert after.provenance[key].value == origin.value


def test_unset_lets_the_weaker_source_speak(file: Path) -> None:
    put(file, COMMENTED)
    assert unset_value(file, "budgets.calls_per_day")
    assert load(file, {}).value.budgets.calls_per_day == 120
    assert not unset_value(file, "budgets.calls_per_day")
    with pytest.raises(Invalid):
        unset_value(file, "budgets.calls")


def test_a_folder_open_to_others_is_not_written(file: Path) -> None:
    file.parent.chmod(0o777)
    with pytest.raises(Refused, match="other users"):
        set_value(file, "system.language", "zh")
    assert not file.exists()


@pytest.mark.slow
@given(st.sampled_from(list(leaves(Settings))), st.text(max_size=40))
def test_what_was_written_loads_again(
    tmp_path_factory: pytest.TempPathFactory, key: str, text: str
) -> None:
    file = tmp_path_factory.mktemp("c", numbered=True) / "settings.toml"
    try:
        set_value(file, key, text)
    except CockpitError:
        assert not file.exists()
    else:
        assert load(file, {}).provenance[key].source == "file"


@pytest.mark.slow
def test_lines_of_a_long_statement_are_left_out_not_waited_for() -> None:
    text = "x = [\n" + "1,\n" * 5_000 + "]\n[system]\nlanguage = 'en'\n"
    assert parse(text, "f")["system"] == {"language": "en"}
    assert "system.language" not in key_lines(Settings, text)
