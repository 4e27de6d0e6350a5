"""An error that crosses the socket is the same error on the other side."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.rpc.errors import error_from, error_object
from core.errors import Broken, CockpitError, Conflict, Invalid, NotFound, Refused, Unavailable

ERRORS = [
    (Refused("NO_WAY", "No.", recovery="Ask.", data={"a": 1}), -32004),
    (Refused("CLARIFY_GATE_BLOCKED", "Not yet."), -32004),
    (Refused("UNKNOWN_OPERATION", "No operation is called 'x'."), -32601),
    (Invalid("text", "text: too long.", recovery="Shorten it."), -32602),
    (NotFound("mission", "m-1"), -32004),
    (Conflict("mission:m-1", 3, 4), -32004),
    (Unavailable("HOLD-BUDGET", "Capped.", recovery="Wait.", data={"usd": "2.50"}), -32003),
    (Broken("A bug."), -32603),
]


@pytest.mark.parametrize(("error", "number"), ERRORS, ids=lambda value: type(value).__name__)
def test_errors_cross_unchanged(error: CockpitError, number: int) -> None:
    sent = error_object(error)
    assert sent["code"] == number
    found = error_from(orjson.loads(orjson.dumps(sent)))
    assert type(found) is type(error)
    assert (found.code, found.sentence, found.recovery, found.data, str(found)) == (
        error.code,
        error.sentence,
        error.recovery,
        error.data,
        str(error),
    )


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.dictionaries(
            st.sampled_from(["code", "data", "message", "kind", "name", "sentence"]), inner
        ),
        max_leaves=12,
    )
)
def test_any_answer_makes_an_error(found: object) -> None:
    assert isinstance(error_from(found), CockpitError)
