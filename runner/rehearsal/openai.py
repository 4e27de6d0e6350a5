"""The two OpenAI formats a validator speaks: chat completions and responses. Texts only."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from runner.rehearsal.calls import Message
from runner.rehearsal.replies import Asked, Reply
from runner.rehearsal.wires import Json, asked, data_event, pieces, required, speaking

_CHAT_TEXT = frozenset({"text"})
_RESPONSE_TEXT = frozenset({"input_text", "output_text"})
_KINDS = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    404: "invalid_request_error",
    429: "requests",
}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


def _error(status: int, kind: str | None, message: str) -> Json:
    name = kind or _KINDS.get(status, "server_error")
    return {"error": {"message": message, "type": name, "param": None, "code": _CODES.get(status)}}


class ChatCompletions:
    """``POST /v1/chat/completions``."""

    provider: ClassVar[str] = "openai"
    plays_tools: ClassVar[bool] = False

    def read(self, body: Json, raw: bytes, parts: Mapping[str, str]) -> Asked:
        """The request. Raises Invalid for one without model or messages."""
        options = body.get("stream_options")
        return asked(
            "openai",
            raw,
            model=required(body, "model", str),
            stream=body.get("stream") is True,
            messages=speaking(required(body, "messages", list), _CHAT_TEXT),
            with_usage=isinstance(options, dict) and options.get("include_usage") is True,
        )

    def events(self, asked: Asked, reply: Reply, created: int) -> Iterator[bytes]:
        """Chunks: the role, the content, the reason of the end, the usage if asked, the end."""
        key, text = ("refusal", reply.refusal) if reply.refusal else ("content", _said(reply))
        deltas: list[Json] = [{"role": "assistant", "content": "", "refusal": None}]
        deltas += [{key: piece} for piece in pieces(text)]
        for delta in deltas:
            yield data_event(self._chunk(asked, created, [_choice(delta, None)]))
        yield data_event(self._chunk(asked, created, [_choice({}, "stop")]))
        if asked.with_usage:
            yield data_event({**self._chunk(asked, created, []), "usage": _chat_usage(reply)})
        yield b"data: [DONE]\n\n"

    def _chunk(self, asked: Asked, created: int, choices: list[Json]) -> Json:
        return {
            "id": f"chatcmpl-{asked.mark}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": asked.model,
            "choices": choices,
        }

    def whole(self, asked: Asked, reply: Reply, created: int) -> Json:
        """The completion with one choice."""
        content = None if reply.refusal else _said(reply)
        message = {"role": "assistant", "content": content, "refusal": reply.refusal}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {
            "id": f"chatcmpl-{asked.mark}",
            "object": "chat.completion",
            "created": created,
            "model": asked.model,
            "choices": [choice],
            "usage": _chat_usage(reply),
        }

    def error(self, status: int, kind: str | None, message: str) -> Json:
        """The error document."""
        return _error(status, kind, message)


class Responses:
    """``POST /v1/responses``."""

    provider: ClassVar[str] = "openai"
    plays_tools: ClassVar[bool] = False

    def read(self, body: Json, raw: bytes, parts: Mapping[str, str]) -> Asked:
        """The request; its input is a string or a list of messages. Raises Invalid."""
        given = body.get("input")
        if isinstance(given, str):
            messages = [Message(role="user", texts=(given,))]
        else:
            messages = speaking(required(body, "input", list), _RESPONSE_TEXT)
        return asked(
            "openai",
            raw,
            model=required(body, "model", str),
            stream=body.get("stream") is True,
            messages=messages,
        )

    def events(self, asked: Asked, reply: Reply, created: int) -> Iterator[bytes]:
        """``response.created`` to ``response.completed``, numbered."""
        for number, event in enumerate(self._numbered(asked, reply, created)):
            yield data_event({**event, "sequence_number": number}, event["type"])

    def _numbered(self, asked: Asked, reply: Reply, created: int) -> Iterator[Json]:
        done = self.whole(asked, reply, created)
        item = done["output"][0]
        part = item["content"][0]
        begun = {**done, "status": "in_progress", "output": [], "usage": None}
        yield {"type": "response.created", "response": begun}
        yield {"type": "response.in_progress", "response": begun}
        empty = {**item, "status": "in_progress", "content": []}
        yield {"type": "response.output_item.added", "output_index": 0, "item": empty}
        at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        key = "refusal" if reply.refusal else "text"
        kind = "response.refusal" if reply.refusal else "response.output_text"
        extra: Json = {} if reply.refusal else {"logprobs": []}
        yield {"type": "response.content_part.added", **at, "part": {**part, key: ""}}
        for piece in pieces(part[key]):
            yield {"type": f"{kind}.delta", **at, "delta": piece, **extra}
        yield {"type": f"{kind}.done", **at, key: part[key], **extra}
        yield {"type": "response.content_part.done", **at, "part": part}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        yield {"type": "response.completed", "response": done}

    def whole(self, asked: Asked, reply: Reply, created: int) -> Json:
        """The completed response with one message."""
        part: Json = {"type": "output_text", "text": _said(reply), "annotations": []}
        if reply.refusal:
            part = {"type": "refusal", "refusal": reply.refusal}
        message = {
            "type": "message",
            "id": f"msg_{asked.mark}",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
        return {
            "id": f"resp_{asked.mark}",
            "object": "response",
            "created_at": created,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "model": asked.model,
            "output": [message],
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
            "usage": _response_usage(reply),
        }

    def error(self, status: int, kind: str | None, message: str) -> Json:
        """The error document."""
        return _error(status, kind, message)


def _said(reply: Reply) -> str:
    return "\n\n".join(reply.texts)


def _choice(delta: Json, finish: str | None) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}


def _input(reply: Reply) -> int:
    return reply.usage.input + reply.usage.cache_write + reply.usage.cache_read


def _chat_usage(reply: Reply) -> Json:
    return {
        "prompt_tokens": _input(reply),
        "completion_tokens": reply.usage.output,
        "total_tokens": _input(reply) + reply.usage.output,
        "prompt_tokens_details": {"cached_tokens": reply.usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _response_usage(reply: Reply) -> Json:
    return {
        "input_tokens": _input(reply),
        "input_tokens_details": {
            "cached_tokens": reply.usage.cache_read,
            "cache_write_tokens": reply.usage.cache_write,
        },
        "output_tokens": reply.usage.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": _input(reply) + reply.usage.output,
    }
