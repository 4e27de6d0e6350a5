"""The Anthropic Messages format, as the Claude CLI speaks it: texts, tools, errors and limits."""

import json
from collections.abc import Iterator, Mapping
from typing import ClassVar

from runner.rehearsal.replies import Asked, Reply, estimate_tokens
from runner.rehearsal.wires import Json, asked, data_event, pieces, required, speaking

_TEXT = frozenset({"text"})
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Messages:
    """``POST /v1/messages``."""

    provider: ClassVar[str] = "anthropic"
    plays_tools: ClassVar[bool] = True

    def read(self, body: Json, raw: bytes, parts: Mapping[str, str]) -> Asked:
        """The request. Raises Invalid for one without model or messages."""
        tools = body.get("tools")
        named = [tool.get("name") for tool in tools or [] if isinstance(tool, dict)]
        return asked(
            "claude",
            raw,
            model=required(body, "model", str),
            stream=body.get("stream") is True,
            messages=speaking(required(body, "messages", list), _TEXT),
            tools=frozenset(name for name in named if isinstance(name, str)),
        )

    def events(self, asked: Asked, reply: Reply, created: int) -> Iterator[bytes]:
        """``message_start`` to ``message_stop``; the first carries one output token."""
        document = self.whole(asked, reply, created)
        blocks = document["content"]
        opening = {**document, "content": [], "stop_reason": None}
        opening["usage"] = {**document["usage"], "output_tokens": 1}
        yield _event("message_start", {"message": opening})
        yield _event("ping", {})
        for index, block in enumerate(blocks):
            yield from _block_events(index, block)
        delta = {"stop_reason": document["stop_reason"], "stop_sequence": None}
        yield _event("message_delta", {"delta": delta, "usage": document["usage"]})
        yield _event("message_stop", {})

    def whole(self, asked: Asked, reply: Reply, created: int) -> Json:
        """The message; the Messages format has no time of creation."""
        texts = [*reply.texts, reply.refusal] if reply.refusal else list(reply.texts)
        content: list[Json] = [{"type": "text", "text": text} for text in texts]
        content += [
            {
                "type": "tool_use",
                "id": f"toolu_{asked.mark}{index:02d}",
                "name": tool.name,
                "input": tool.input,
            }
            for index, tool in enumerate(reply.tools)
        ]
        return {
            "id": f"msg_{asked.mark}",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": content,
            "stop_reason": _stop_reason(reply),
            "stop_sequence": None,
            "usage": {
                "input_tokens": reply.usage.input,
                "cache_creation_input_tokens": reply.usage.cache_write,
                "cache_read_input_tokens": reply.usage.cache_read,
                "output_tokens": reply.usage.output,
            },
        }

    def error(self, status: int, kind: str | None, message: str) -> Json:
        """The error document that every status but 2xx carries."""
        name = kind or _KINDS.get(status, "api_error")
        return {"type": "error", "error": {"type": name, "message": message}}


def count_tokens(raw: bytes) -> Json:
    """The answer of ``POST /v1/messages/count_tokens``."""
    return {"input_tokens": estimate_tokens(len(raw))}


def limit_headers(reset_at: int, seconds: int) -> dict[str, str]:
    """What a subscription's limit says: rejected until ``reset_at`` (Unix seconds)."""
    return {
        "anthropic-ratelimit-unified-status": "rejected",
        "anthropic-ratelimit-unified-reset": str(reset_at),
        "anthropic-ratelimit-unified-representative-claim": "five_hour",
        "retry-after": str(seconds),
    }


def _stop_reason(reply: Reply) -> str:
    if reply.refusal:
        return "refusal"
    return "tool_use" if reply.tools else "end_turn"


def _block_events(index: int, block: Json) -> Iterator[bytes]:
    if block["type"] == "text":
        opened: Json = {"type": "text", "text": ""}
        deltas: list[Json] = [
            {"type": "text_delta", "text": piece} for piece in pieces(block["text"])
        ]
    else:
        opened = {**block, "input": {}}
        whole = json.dumps(block["input"], ensure_ascii=False)
        deltas = [
            {"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(whole)]
        ]
    yield _event("content_block_start", {"index": index, "content_block": opened})
    for delta in deltas:
        yield _event("content_block_delta", {"index": index, "delta": delta})
    yield _event("content_block_stop", {"index": index})


def _event(name: str, fields: Json) -> bytes:
    return data_event({"type": name, **fields}, name)
