"""What is a request, a notification and neither, after the standard's own examples."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.rpc.messages import Call, Fault, parse, read_call

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)  # fmt: skip


def _fault(message: object) -> dict[str, Any]:
    found = read_call(message)
    assert isinstance(found, Fault)
    assert found.response is not None
    answer: dict[str, Any] = orjson.loads(found.response)
    assert answer["jsonrpc"] == "2.0"
    return answer


def test_a_request() -> None:
    found = read_call({"jsonrpc": "2.0", "id": "a", "method": "m", "params": {"x": 1}})
    assert found == Call(b'"a"', "m", {"x": 1})


@pytest.mark.parametrize(("id_", "encoded"), [(None, b"null"), (0, b"0"), (1.5, b"1.5")])
def test_a_request_may_have_these_ids(id_: object, encoded: bytes) -> None:
    found = read_call({"jsonrpc": "2.0", "id": id_, "method": "m"})
    assert isinstance(found, Call)
    assert found.id == encoded


def test_without_an_id_it_is_a_notification() -> None:
    assert read_call({"jsonrpc": "2.0", "method": "m"}) == Call(None, "m", {})


@pytest.mark.parametrize("message", [None, 1, "x", [], True, {}, {"jsonrpc": "2.0", "method": 1}])
def test_what_is_no_request_is_answered_with_a_null_id(message: object) -> None:
    answer = _fault(message)
    assert answer["id"] is None
    assert answer["error"]["code"] == -32600


@pytest.mark.parametrize("id_", [True, [], {}, [1]])
def test_an_id_is_text_or_number(id_: object) -> None:
    answer = _fault({"jsonrpc": "2.0", "id": id_, "method": "m"})
    assert (answer["id"], answer["error"]["code"]) == (None, -32600)


@pytest.mark.parametrize("params", [None, 1, "x", True])
def test_parameters_are_structured(params: object) -> None:
    answer = _fault({"jsonrpc": "2.0", "id": 1, "method": "m", "params": params})
    assert (answer["id"], answer["error"]["code"]) == (1, -32600)


def test_parameters_go_by_name() -> None:
    answer = _fault({"jsonrpc": "2.0", "id": 1, "method": "m", "params": [1]})
    assert (answer["id"], answer["error"]["code"]) == (1, -32602)
    assert read_call({"jsonrpc": "2.0", "method": "m", "params": [1]}) == Fault(None)
    assert read_call({"jsonrpc": "2.0", "id": 1, "method": "m", "params": []}) == Call(b"1", "m")


@given(JSON)
def test_any_json_is_a_call_or_a_fault(message: object) -> None:
    assert isinstance(read_call(message), (Call, Fault))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"NaN",
        b'{"a":NaN}',
        b"\xef\xbb\xbf{}",
        b"\xff",
        b'"\xc3',
        b"[" * 2000,
        b'"\\ud800"',
    ],
)
def test_what_is_no_json(frame: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(frame)
