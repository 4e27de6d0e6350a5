"""A validator without a provider: it plays the same scenes as the wire server, by name."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from core.errors import Unavailable
from core.judgement.judge import JudgeCall, JudgeFailure, JudgeReply
from core.ledger.model_usage import ModelUsage
from tests.judge_wire import VERDICT

# scene → what the last attempt brings, whether attempts are repeated, and what the model said.
_FAILURES: dict[str, tuple[JudgeFailure, int | None, bool]] = {
    "unauthorised": ("unauthorised", 401, False),
    "forbidden": ("unauthorised", 403, False),
    "bad request": ("http_error", 400, False),
    "redirect": ("http_error", 302, False),
    "throttled": ("rate_limited", 429, True),
    "broken": ("http_error", 500, True),
    "overloaded": ("http_error", 529, True),
    "silence": ("timed_out", None, True),
    "cut": ("unreachable", None, True),
}
_ANSWERED: dict[str, JudgeFailure] = {
    "refused": "refusal",
    "blocked": "refusal",
    "empty": "malformed",
    "blank": "malformed",
    "truncated": "malformed",
    "ended by nothing": "malformed",
    "half a body": "malformed",
    "a body of prose": "malformed",
    "a body of another shape": "malformed",
    "a deep body": "malformed",
    "a flood": "malformed",
    "a packed body": "malformed",
}
_SAID = {
    "prose": "I would say it passes.",
    "half a verdict": json.dumps(VERDICT)[:40],
    "a verdict with NaN": json.dumps(VERDICT).replace("0.9", "NaN"),
}
_RECOVERING = {"throttled once", "broken once", "cut once"}


@dataclass(slots=True)
class FakeJudge:
    """Plays ``scene`` for every call."""

    scene: str
    family: str = "openai"
    key: Callable[[], str | None] = lambda: "key"
    calls: int = 0

    async def judge(self, call: JudgeCall) -> JudgeReply:
        """See :class:`core.judgement.judge.Judge`."""
        if not (call.rehearsal or self.key()):
            raise Unavailable("HOLD-VALIDATOR-CONFIG", f"The validator {self.family} has no key.")
        self.calls += 1
        if self.scene in _FAILURES:
            failure, status, again = _FAILURES[self.scene]
            attempts = call.retries + 1 if again else 1
            return JudgeReply(call.model, None, failure, status=status, attempts=attempts)
        usage = (ModelUsage(f"{self.family}:{id(self)}-{self.calls}", "fake", call.model, 700, 50),)
        attempts = 2 if self.scene in _RECOVERING else 1
        failed = _ANSWERED.get(self.scene)
        text = None if failed else _SAID.get(self.scene, json.dumps(VERDICT))
        return JudgeReply(call.model, text, failed, usage, attempts=attempts, status=200)
