"""What an answered attempt used, as numbers that can be stored, whatever the provider sent."""

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from core.judgement.judge import JudgeCall
from core.ledger.model_usage import ModelUsage

_MOST_TOKENS = 10**12
_PLAIN_ID = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(slots=True)
class Seen:
    """The last answer that came over the wire, for what the SDKs keep to themselves."""

    status: int = 0
    headers: Mapping[str, str] | None = None
    body: bytes = b""

    async def note(self, response: httpx2.Response) -> None:
        """Remember an answer; reading it here is what the SDK would do next."""
        self.status, self.headers, self.body = response.status_code, response.headers, b""
        self.body = await response.aread()

    def forget(self) -> None:
        """Before an attempt: what came earlier belongs to another one."""
        self.status, self.headers, self.body = 0, None, b""

    def header(self, name: str) -> str | None:
        """A header of the answer."""
        return (self.headers or {}).get(name)


def count(value: Any) -> int:
    """A number of tokens; 0 for anything that is none."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 < value <= _MOST_TOKENS else 0


def request_id(call: JudgeCall, seen: Seen, *given: Any) -> str:
    """The first id that the provider gave; else one made of question, answer and moment.

    A made one is unique to this answer, and stable because it travels with it.
    """
    for each in given:
        if isinstance(each, str) and _PLAIN_ID.fullmatch(each):
            return each
    parts = (call.model.encode(), call.evidence, seen.body, str(time.time_ns()).encode())
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"made-{digest.hexdigest()[:32]}"


def usage_row(
    call: JudgeCall, provider: str, answer_id: str, *, prompt: Any, cached: Any, output: int
) -> ModelUsage:
    """One answered attempt (domain.md §14); unreported tokens count as none.

    Args:
        prompt: as reported, including cached tokens.
    """
    whole, from_cache = count(prompt), min(count(cached), count(prompt))
    return ModelUsage(
        call_id=f"{provider}:{answer_id}",
        provider=provider,
        model=call.model,
        input_tokens=whole - from_cache,
        output_tokens=output,
        cache_read_tokens=from_cache,
    )
