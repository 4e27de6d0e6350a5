"""The Gemini format a validator speaks: generateContent and its stream. Texts only."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from runner.rehearsal.calls import Message
from runner.rehearsal.replies import Asked, Reply, estimate_tokens
from runner.rehearsal.wires import Json, asked, data_event, pieces, required

_KINDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


class GenerateContent:
    """``POST /{v1,v1beta}/models/MODEL:generateContent`` and ``:streamGenerateContent``."""

    provider: ClassVar[str] = "gemini"
    plays_tools: ClassVar[bool] = False

    def read(self, body: Json, raw: bytes, parts: Mapping[str, str]) -> Asked:
        """The request; model and streaming stand in the path. Raises Invalid."""
        return asked(
            "gemini",
            raw,
            model=parts["model"],
            stream=parts["method"] == "streamGenerateContent",
            messages=[_message(entry) for entry in required(body, "contents", list)],
        )

    def events(self, asked: Asked, reply: Reply, created: int) -> Iterator[bytes]:
        """One document for each portion; the last has the reason of the end."""
        portions = pieces(_said(reply)) or [""]
        for number, portion in enumerate(portions, start=1):
            yield data_event(_document(asked, reply, portion, last=number == len(portions)))

    def whole(self, asked: Asked, reply: Reply, created: int) -> Json:
        """The one document."""
        return _document(asked, reply, _said(reply), last=True)

    def error(self, status: int, kind: str | None, message: str) -> Json:
        """The error document of Google's services."""
        name = kind or _KINDS.get(status, "INTERNAL")
        return {"error": {"code": status, "message": message, "status": name}}


def count_tokens(raw: bytes) -> Json:
    """The answer of ``:countTokens``."""
    return {"totalTokens": estimate_tokens(len(raw))}


def _message(entry: Any) -> Message:
    parts = entry.get("parts") if isinstance(entry, dict) else None
    texts = [part.get("text") for part in parts or [] if isinstance(part, dict)]
    role = entry.get("role", "user") if isinstance(entry, dict) else "user"
    return Message(
        role="assistant" if role == "model" else "user",
        texts=tuple(text for text in texts if isinstance(text, str)),
    )


def _said(reply: Reply) -> str:
    return "" if reply.refusal else "\n\n".join(reply.texts)


def _document(asked: Asked, reply: Reply, text: str, *, last: bool) -> Json:
    usage = reply.usage
    given = usage.input + usage.cache_write + usage.cache_read
    candidate: Json = {"index": 0}
    if text:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    if last:
        candidate["finishReason"] = "SAFETY" if reply.refusal else "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": given,
            "candidatesTokenCount": usage.output,
            "totalTokenCount": given + usage.output,
            "cachedContentTokenCount": usage.cache_read,
        },
        "modelVersion": asked.model,
        "responseId": asked.mark,
    }
