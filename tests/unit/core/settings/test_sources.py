"""Settings: defaults, file, environment, command line in rising strength, each with its origin."""

import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import Invalid
from core.settings import Settings, explain, load
from core.settings.layers import leaves
from core.settings.sources import parse_options, variable
from core.settings.text_values import read_text


def write(path: Path, text: str) -> Path:
    file = path / "settings.toml"
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_the_defaults_are_the_domains() -> None:
    settings = load(None, {}).value
    assert settings.system.allow_remote_writes is False
    assert settings.system.remote_write_repos == ()
    assert settings.reviewer.enabled is False
    assert settings.coder.timeout_seconds == 1800
    assert (settings.validators.timeout_seconds, settings.validators.retries) == (60, 2)
    budgets = settings.budgets
    assert (budgets.calls_per_mission, budgets.calls_per_day) == (30, 120)
    assert budgets.coder_api_usd == budgets.planner_api_usd == Decimal(0)
    assert [budgets.validators_mission_usd, budgets.validators_day_usd] == [2, 10]
    assert {each.source for each in explain(load(None, {}))} == {"default"}


def test_strength_rises_from_file_to_command_line(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "# mine\n[system]\nlanguage = 'zh'\nlog_level = 'debug'\nmax_parallel_runs = 3\n",
    )
    resolved = load(
        file,
        {"COCKPIT_SYSTEM__LOG_LEVEL": "error", "COCKPIT_SYSTEM__MAX_PARALLEL_RUNS": "4"},
        {"system.max_parallel_runs": "5"},
    )
    system = resolved.value.system
    assert (system.language, system.log_level, system.max_parallel_runs) == ("zh", "error", 5)
    origin = {each.key: (each.source, each.where) for each in explain(resolved)}
    assert origin["system.language"] == ("file", f"{file}:3")
    assert origin["system.log_level"] == ("environment", "COCKPIT_SYSTEM__LOG_LEVEL")
    assert origin["system.max_parallel_runs"] == ("command_line", "--set")
    assert origin["system.disk_floor_mb"] == ("default", "built-in")


def test_explain_tells_every_value(tmp_path: Path) -> None:
    resolved = load(write(tmp_path, "budgets.validators_day_usd = 2.5\n"), {})
    told = {each.key: each.value for each in explain(resolved)}
    assert list(told) == list(leaves(Settings))
    assert told["budgets.validators_day_usd"] == Decimal("2.5")


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("[system]\n\nlanguage='zh'\n", "system.language", 3),
        ("system.language='zh'\n", "system.language", 1),
        ("# a\nsystem = { language = 'zh' }\n", "system.language", 2),
        (
            "[system]\nremote_write_repos = [\n 'a',\n 'b',\n]\nlanguage = 'zh'",
            "system.language",
            6,
        ),
        ("[providers.claude]\nmodel = 'opus'\n[system]\nlanguage='zh'", "system.language", 4),
        ("[planner]\r\nmodel = 'x'\r\n[system]\r\nlanguage='zh'\r\n", "system.language", 4),
    ],
)
def test_a_value_knows_its_line(tmp_path: Path, text: str, key: str, line: int) -> None:
    file = tmp_path / "s.toml"
    file.write_bytes(text.encode())
    file.chmod(0o600)
    resolved = load(file, {})
    assert resolved.provenance[key].where == f"{file}:{line}"


@pytest.mark.parametrize(
    ("text", "field", "recovery"),
    [
        ("[system]\nlangage = 'en'", "system.langage", "system.language"),
        ("[sytem]\nlanguage = 'en'", "sytem.language", "system.language"),
        ("[validatorz]", "validatorz", ""),
        ("[[system]]\nlanguage='en'", "system", "Set a value in it"),
        ("system = 3", "system", "Set a value in it"),
        ('"system.language" = "en"', '"system.language"', ""),
        ("[system.language]\nx = 1", "system.language.x", ""),
    ],
)
def test_unknown_names_are_refused_by_name(
    tmp_path: Path, text: str, field: str, recovery: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(Invalid) as caught:
        load(file, {})
    assert caught.value.data["field"].startswith(field.removesuffix(".x"))
    assert recovery in caught.value.recovery
    assert str(file) in caught.value.sentence


@pytest.mark.parametrize(
    "name",
    [
        "COCKPIT_SYSTEM__ALLOW_REMOTE_WRITE",
        "COCKPIT_ALLOW_REMOTE_WRITES",
        "COCKPIT_SYSTEM",
        "COCKPIT_system__language",
        "COCKPIT_",
    ],
)
def test_unknown_variables_of_ours_are_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        load(None, {name: "true"})
    assert name in caught.value.sentence


def test_variables_of_other_programs_are_never_read() -> None:
    class Watched(dict[str, str]):
        read: set[str] = set()  # noqa: RUF012

        def __getitem__(self, name: str) -> str:
            self.read.add(name)
            return super().__getitem__(name)

    environment = Watched(
        ANTHROPIC_BASE_URL="https://evil.example",
        ANTHROPIC_API_KEY="k",
        OPENAI_BASE_URL="https://evil.example",
        GEMINI_API_KEY="k",
        COCKPIT_HOME="/x",
        COCKPIT_SYSTEM__LANGUAGE="zh",
    )
    settings = load(None, environment).value
    assert settings.providers.claude.base_url is None
    assert environment.read == {"COCKPIT_SYSTEM__LANGUAGE"}


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_a_safety_flag_needs_a_parsed_boolean(text: str, expected: bool) -> None:
    resolved = load(None, {"COCKPIT_SYSTEM__ALLOW_REMOTE_WRITES": text})
    assert resolved.value.system.allow_remote_writes is expected


@given(st.text().filter(lambda text: text not in {"true", "false", "1", "0"}))
def test_no_truthy_word_opens_a_safety_flag(text: str) -> None:
    for key in ("system.allow_remote_writes", "reviewer.enabled"):
        with pytest.raises(Invalid, match="true, false, 1 or 0"):
            load(None, {variable(key): text})
        with pytest.raises(Invalid):
            load(None, {}, {key: text})


@pytest.mark.parametrize("raw", ["'true'", "1", "'yes'", "[true]", "1.0", "'false'", "0"])
def test_the_file_takes_no_truthy_value_either(tmp_path: Path, raw: str) -> None:
    file = write(tmp_path, f"[system]\nallow_remote_writes = {raw}\n")
    with pytest.raises(Invalid) as caught:
        load(file, {})
    assert caught.value.data["field"] == "system.allow_remote_writes"
    assert f"{file}:2" in caught.value.sentence


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        ("system.max_parallel_runs", "'3'"),
        ("system.max_parallel_runs", "3.5"),
        ("system.max_parallel_runs", "true"),
        ("system.max_parallel_runs", "0"),
        ("system.language", "'fr'"),
        ("system.remote_write_repos", "'a'"),
        ("system.remote_write_repos", "[1]"),
        ("system.remote_write_repos", "['a', 'a']"),
        ("system.remote_write_repos", "['../x']"),
        ("budgets.coder_api_usd", "-1"),
        ("budgets.coder_api_usd", "nan"),
        ("budgets.coder_api_usd", "inf"),
        ("budgets.coder_api_usd", "true"),
        ("budgets.coder_api_usd", "[1]"),
        ("budgets.tokens_per_day", "-1"),
        ("coder.cli", "'bin/claude'"),
        ("coder.kind", "'other'"),
        ("providers.claude.auth", "'maybe'"),
        ("validators.families", "['openai', 'openai']"),
    ],
)
def test_a_wrong_value_names_field_file_and_line(tmp_path: Path, key: str, raw: str) -> None:
    file = write(tmp_path, f"# first\n{key} = {raw}\n")
    with pytest.raises(Invalid) as caught:
        load(file, {})
    assert caught.value.data["field"] == key
    assert caught.value.data["where"] == f"{file}:2"


def test_all_problems_are_told_and_no_value_is(tmp_path: Path) -> None:
    file = write(tmp_path, "system.language = 'sk-ant-secret'\nsystem.log_level = 'sk-ant-x'\n")
    with pytest.raises(Invalid) as caught:
        load(file, {})
    assert [each["field"] for each in caught.value.data["problems"]] == [
        "system.language",
        "system.log_level",
    ]
    assert "sk-ant" not in str(caught.value) + repr(caught.value.data) + caught.value.recovery


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[system\n", 1),
        ("[system]\nlanguage = \n", 2),
        ("a = 1\na = 2\n", 2),
        ("[system]\n[system]\n", 2),
        ('x = """\nopen', 2),
        ("\ufeff[system]", 1),
        ("x = " + "[" * 5000, 1),
    ],
)
def test_malformed_toml_names_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(Invalid) as caught:
        load(write(tmp_path, text), {})
    assert caught.value.data["line"] == line
    assert f"line {line}" in caught.value.sentence


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_bytes(b"[system]\nlanguage = '\xff'\n")
    file.chmod(0o600)
    with pytest.raises(Invalid, match="line 2"):
        load(file, {})


def test_a_file_that_others_could_write_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "[system]\nallow_remote_writes = true\n")
    file.chmod(0o666)
    with pytest.raises(Invalid, match="open to other users"):
        load(file, {})


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "huge"])
def test_only_a_regular_file_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s.toml"
    if kind == "link":
        path.symlink_to(write(tmp_path, ""))
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"#" * 300_000)
        path.chmod(0o600)
    with pytest.raises(Invalid):
        load(path, {})


def test_an_absent_file_is_no_values(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml", {}).value == Settings()


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://api.example.com:8443/v1",
        "http://127.0.0.1:8080",
        "http://[::1]:9/x",
        "http://localhost:1",
    ],
)
def test_base_urls_are_https_or_loopback(url: str) -> None:
    resolved = load(None, {}, {"providers.openai.base_url": url + "/"})
    assert resolved.value.providers.openai.base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://evil.example#@127.0.0.1",
        "http://0.0.0.0:1",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "https://",
        "https://user:pass@api.example.com",
        "https://api.example.com?x=1",
        "https://api.example.com:99999",
        "https://api.example.com:0",
        "https://a b",
        "https://[::1",
        "",
        "api.example.com",
        "https://a\n.example",
    ],
)
def test_other_base_urls_are_refused(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        load(None, {}, {"providers.openai.base_url": url})
    assert caught.value.data["field"] == "providers.openai.base_url"


def test_lists_come_as_json_or_with_commas() -> None:
    for text in ('["a", "b"]', "a, b", "a,b,"):
        resolved = load(None, {"COCKPIT_SYSTEM__REMOTE_WRITE_REPOS": text})
        assert resolved.value.system.remote_write_repos == ("a", "b")
    empty = load(None, {"COCKPIT_SYSTEM__REMOTE_WRITE_REPOS": ""})
    assert empty.value.system.remote_write_repos == ()


def test_optional_values_have_the_type_inside() -> None:
    resolved = load(None, {}, {"budgets.tokens_per_day": "1000"})
    assert resolved.value.budgets.tokens_per_day == 1000


@given(st.sampled_from(list(leaves(Settings))), st.text())
def test_any_text_is_read_or_refused(key: str, text: str) -> None:
    try:
        fields = {load(None, {}, {key: text}).provenance[key].key}
    except Invalid as error:
        fields = {error.data["field"]}
    assert fields == {key}


@given(st.integers(min_value=-(10**17), max_value=10**17))
def test_whole_numbers_are_read_as_they_stand(number: int) -> None:
    assert read_text(Settings, "budgets.tokens_per_day", str(number), "--set") == number


def test_settings_are_frozen() -> None:
    settings = load(None, {}).value
    with pytest.raises(ValidationError):
        settings.system.allow_remote_writes = True  # type: ignore[misc]


def test_options_are_split_at_the_first_equals_sign() -> None:
    assert parse_options(["a.b=c=d", "a.b=e", " x.y =z"]) == {"a.b": "e", "x.y": "z"}
    for bad in ("system.language", "=x"):
        with pytest.raises(Invalid):
            parse_options([bad])
