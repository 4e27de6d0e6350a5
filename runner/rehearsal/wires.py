"""What every wire format of the rehearsal can do, and the small pieces all of them need."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

from core.errors import Invalid
from runner.rehearsal.calls import Message
from runner.rehearsal.replies import Asked, Reply
from runner.rehearsal.scripts import Family

_PIECE = 24
# Some clients take these for the end of a line, so they travel as escapes.
_LINE_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}

Json = dict[str, Any]


class Wire(Protocol):
    """One provider's way to be asked and to answer."""

    provider: ClassVar[str]
    plays_tools: ClassVar[bool]

    def read(self, body: Json, raw: bytes, parts: Mapping[str, str]) -> Asked:
        """The request; ``parts`` are the named pieces of the path. Raises Invalid."""
        ...

    def events(self, asked: Asked, reply: Reply, created: int) -> Iterator[bytes]:
        """The server-sent events of a streamed reply, each complete with its blank line."""
        ...

    def whole(self, asked: Asked, reply: Reply, created: int) -> Json:
        """The one document of a reply that is not streamed; ``created`` in Unix seconds."""
        ...

    def error(self, status: int, kind: str | None, message: str) -> Json:
        """The provider's error document; ``kind`` is the status's usual one where it is None."""
        ...


def asked(
    family: Family,
    raw: bytes,
    *,
    model: str,
    stream: bool,
    messages: list[Message],
    tools: frozenset[str] = frozenset(),
    with_usage: bool = True,
) -> Asked:
    """A request with its size and the mark that its ids are made of."""
    return Asked(
        model=model,
        stream=stream,
        messages=tuple(messages),
        tools=tools,
        family=family,
        size=len(raw),
        mark=hashlib.sha256(raw).hexdigest()[:20],
        with_usage=with_usage,
    )


def pieces(text: str) -> list[str]:
    """A text in the portions in which it is streamed."""
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def data_event(document: Json, name: str | None = None) -> bytes:
    """One server-sent event; ``name`` becomes its ``event:`` line."""
    head = f"event: {name}\n" if name else ""
    data = json.dumps(document, ensure_ascii=False).translate(_LINE_ENDS)
    return f"{head}data: {data}\n\n".encode()


def texts_of(content: Any, kinds: frozenset[str]) -> tuple[str, ...]:
    """The texts of a message's content: a string, or a list of blocks of the given kinds.

    A list may hold bare strings; blocks of another kind (a tool's result, an image) are left out.
    """
    if isinstance(content, str):
        return (content,)
    if not isinstance(content, list):
        return ()
    found = [_text_of(block, kinds) for block in content]
    return tuple(text for text in found if text is not None)


def _text_of(block: Any, kinds: frozenset[str]) -> str | None:
    if isinstance(block, str):
        return block
    if not isinstance(block, dict) or block.get("type") not in kinds:
        return None
    text = block.get("text")
    return text if isinstance(text, str) else None


def required(body: Json, key: str, kind: type[Any]) -> Any:
    """The value of a key that must be there with this type.

    Raises:
        Invalid: it is missing or of another type.
    """
    value = body.get(key)
    if not isinstance(value, kind):
        raise Invalid(key, f"{key}: a {kind.__name__} is required", recovery="Send this field.")
    return value


def speaking(messages: list[Any], kinds: frozenset[str]) -> list[Message]:
    """The messages of user and assistant, in order; those of other roles are left out."""
    return [
        Message(role=entry["role"], texts=texts_of(entry.get("content"), kinds))
        for entry in messages
        if isinstance(entry, dict) and entry.get("role") in ("user", "assistant")
    ]
