"""The two files that are derived from a process' output, and what must not stand in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from runner.agents.result_files import derive, errors_file, forget, stream_file
from runner.process import Exit

SECRET = "sk-ant-oat01-a-secret-of-a-test"
OK = Exit(0, "self", 1.0)


def printed(folder: Path, *events: Any, stderr: str = "") -> Path:
    (folder / "out").mkdir()
    text = "\n".join(json.dumps(event) for event in events)
    stream_file(folder).write_text(text)
    errors_file(folder).write_text(stderr)
    return folder


def result(**more: Any) -> dict[str, Any]:
    usage = {"m": {"inputTokens": 7, "costUSD": 0.25}}
    return {"type": "result", "is_error": False, "modelUsage": usage, **more}


def test_envelope_and_result_are_written(tmp_path: Path) -> None:
    event = result(result="Done.", structured_output={"a": [1, None]})
    found = derive(printed(tmp_path, event), OK, call_id="r-1", secret="")
    assert found.end == "finished"
    assert json.loads((tmp_path / "out/cli-envelope.json").read_text()) == event
    kept = json.loads((tmp_path / "out/result.json").read_text())
    assert (kept["end"], kept["text"], kept["structured"]) == (
        "finished",
        "Done.",
        {"a": [1, None]},
    )
    assert kept["usage"][0]["call_id"] == "r-1:m"
    assert kept["usage"][0]["cost_usd"] == "0.25"


def test_the_files_are_the_operators_alone(tmp_path: Path) -> None:
    derive(printed(tmp_path, result()), OK, call_id="r-1", secret="")
    for name in ("cli-envelope.json", "result.json"):
        assert (tmp_path / "out" / name).stat().st_mode & 0o777 == 0o600


def test_without_a_result_event_the_envelope_is_empty(tmp_path: Path) -> None:
    found = derive(printed(tmp_path), Exit(1, "self", 0.1), call_id="r-1", secret="")
    assert found.end == "failed"
    assert json.loads((tmp_path / "out/cli-envelope.json").read_text()) == {}


def test_nothing_printed_at_all_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert derive(tmp_path, OK, call_id="r-1", secret="").end == "failed"


@pytest.mark.parametrize("end", [OK, Exit(1, "self", 1.0)])
def test_the_secret_is_in_nothing_that_is_derived(tmp_path: Path, end: Exit) -> None:
    event = result(result=f"env: {SECRET}", structured_output={SECRET: [SECRET]})
    folder = printed(tmp_path, event, stderr=f"used {SECRET}")
    found = derive(folder, end, call_id="r-1", secret=SECRET)
    assert SECRET not in repr(found)
    for name in ("cli-envelope.json", "result.json"):
        assert SECRET not in (tmp_path / "out" / name).read_text()
    assert found.text == "env: [redacted]"


def test_odd_numbers_and_letters_can_be_written(tmp_path: Path) -> None:
    folder = printed(tmp_path, result())
    line = b'{"type":"result","is_error":false,"structured_output":[1' + b"0" * 40 + b',"\\ud800"]}'
    stream_file(folder).write_bytes(line)
    assert derive(folder, OK, call_id="r", secret="s").structured[1] == "�"
    assert json.loads((tmp_path / "out/result.json").read_text())["structured"][1] == "�"


def test_only_the_end_of_the_errors_is_read(tmp_path: Path) -> None:
    folder = printed(tmp_path, stderr="not logged in\n" + "x" * 100_000)
    assert derive(folder, Exit(1, "self", 1.0), call_id="r", secret="").end == "failed"


def test_what_an_earlier_process_left_is_forgotten(tmp_path: Path) -> None:
    folder = printed(tmp_path, result())
    derive(folder, OK, call_id="r", secret="")
    forget(folder)
    assert list((folder / "out").iterdir()) == []
    forget(folder)
