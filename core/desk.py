"""The Desk: the one place where a capability is asked for, whoever asks.

It validates, hands the request to the declared operation and gives back its result. It holds the
journal, the settings and the ports, and no rules of its own.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from core.context import Context
from core.errors import Conflict, NotFound, Refused
from core.folders import Folders
from core.journal.blobs import Blobs
from core.journal.envelope import Envelope, Event
from core.journal.interfaces import Append
from core.journal.journal import Journal
from core.missions.machine import NEW
from core.missions.state import MissionState
from core.operations import Params, View, find
from core.planning.sessions import SessionState
from core.policy import Policy
from core.ports import Ports
from core.repos.registry import RepoState
from core.settings import Settings

_T = TypeVar("_T")
_ATTEMPTS = 8
OPERATOR = "operator"


class Endpoints(Protocol):
    """Where a model provider is reached, for real work and for a rehearsal's script."""

    def base_url(self, provider: str, rehearsal: str) -> str | None:
        """The base URL of ``claude``, ``openai`` or ``gemini``; None for the provider's own."""
        ...

    def model(self, provider: str) -> str:
        """The model's name, as the provider spells it."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything an operation or a step of the conductor may use.

    Attributes:
        known_secrets: the operator's secrets, to be kept out of evidence and logs. May block.
    """

    journal: Journal
    blobs: Blobs
    context: Context
    settings: Settings
    policy: Policy
    folders: Folders
    ports: Ports
    endpoints: Endpoints
    known_secrets: Callable[[], Collection[str]] = tuple

    async def call(
        self, name: str, raw: Mapping[str, Any] | Params, *, actor: str = OPERATOR
    ) -> View:
        """Perform the operation ``name``.

        Raises:
            Refused: ``UNKNOWN_OPERATION``, ``INVALID_INPUT``, or the domain's own refusal.
            Unavailable: something outside did not answer.
        """
        operation = find(name)
        params = raw if isinstance(raw, Params) else operation.parse(dict(raw))
        return await operation.handler(self, params)

    async def write(
        self,
        stream: str,
        events: Sequence[Event],
        *,
        actor: str,
        expected: int | None = None,
        key: str | None = None,
    ) -> list[Envelope]:
        """Append to one stream; what a listener hears afterwards is already true."""
        return await self.journal.write(
            stream, events, actor=actor, expected=expected, idempotency_key=key
        )

    async def write_all(
        self,
        appends: Mapping[str, Sequence[Event]],
        *,
        actor: str,
        expected: Mapping[str, int] | None = None,
        key: str | None = None,
    ) -> list[Envelope]:
        """Append to several streams in one transaction: all of it, or nothing."""
        append = Append(appends, actor, expected or {}, idempotency_key=key)
        return await self.journal.write_all(append)

    async def decide(
        self,
        stream: str,
        decider: Callable[[Any], Sequence[Event]],
        *,
        actor: str = OPERATOR,
    ) -> list[Envelope]:
        """Read the state, decide, append; decide again when another append came between.

        Raises:
            Refused: from the decider, or ``STREAM_CONFLICT`` after many attempts.
        """
        for attempt in range(_ATTEMPTS):
            version, state = self.journal.state(stream)
            events = decider(state)
            if not events:
                return []
            try:
                return await self.write(stream, events, actor=actor, expected=version)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise Refused("STREAM_CONFLICT", f"Stream {stream} did not come to rest.")

    async def decide_all(
        self,
        streams: Sequence[str],
        decider: Callable[..., Mapping[str, Sequence[Event]]],
        *,
        actor: str = OPERATOR,
    ) -> list[Envelope]:
        """:meth:`decide` over several streams: one append, made from all their states.

        Args:
            streams: whose states the decider is given, in this order.
            decider: states → events by stream; streams without events are left out.
        """
        for attempt in range(_ATTEMPTS):
            known = {stream: self.journal.state(stream) for stream in streams}
            found = decider(*(state for _, state in known.values()))
            appends = {stream: events for stream, events in found.items() if events}
            if not appends:
                return []
            try:
                expected = {stream: version for stream, (version, _) in known.items()}
                return await self.write_all(
                    appends, actor=actor, expected={s: expected[s] for s in appends}
                )
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise Refused("STREAM_CONFLICT", "The streams did not come to rest.")

    async def aside(self, work: Callable[[], _T]) -> _T:
        """Do blocking work off the loop."""
        return await asyncio.to_thread(work)

    def session(self, session: str) -> SessionState:
        """A session's state. Raises ``NotFound``."""
        state: SessionState = self.journal.state(f"session:{session}")[1]
        if state.state == NEW:
            raise NotFound("session", session)
        return state

    def mission(self, mission: str) -> MissionState:
        """A mission's state. Raises ``NotFound``."""
        state: MissionState = self.journal.state(f"mission:{mission}")[1]
        if state.state == NEW:
            raise NotFound("mission", mission)
        return state

    def repo(self, name: str) -> RepoState:
        """A registered repository. Raises ``NotFound``."""
        state: RepoState = self.journal.state(f"repo:{name}")[1]
        if state.state != "registered":
            raise NotFound("repo", name)
        return state

    def run_folder(self, run: str) -> Path:
        """Where the files of a run or of a planner's call live."""
        return self.folders.runs / run
