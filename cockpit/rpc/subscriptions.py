"""Which events a client asked for, and what it is told about each. It sends nothing itself."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from core.errors import Invalid, Refused
from core.journal.envelope import Envelope

_MOST_TOPICS = 64
_LONGEST_TOPIC = 200


class Followed(Protocol):
    """What is asked of a journal to push its events."""

    def head(self) -> int:
        """The sequence number of the newest event."""
        ...

    def follow(self, after: int) -> AsyncIterator[Envelope]:
        """Every event after ``after``, without a gap, and then as they come."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subscription: globs on the kind, any of them; none means every event."""

    topics: tuple[str, ...]
    since: int

    def includes(self, kind: str) -> bool:
        """Whether an event of that kind was asked for."""
        return not self.topics or any(fnmatchcase(kind, topic) for topic in self.topics)


def read_wanted(params: Mapping[str, Any], head: int) -> Wanted:
    """The subscription that parameters describe; without ``since``, only what comes from now.

    Raises:
        Invalid: an unknown parameter, or one of the wrong type.
        Refused: ``SEQUENCE_UNKNOWN`` for a number that this journal has not reached.
    """
    for name in params:
        if name not in ("topics", "since"):
            raise Invalid(name, f"event.subscribe: {name}: unknown.", recovery="topics, since.")
    since = params.get("since")
    if since is None:
        since = head
    if isinstance(since, bool) or not isinstance(since, int) or since < 0:
        raise Invalid("since", "since is a sequence number, 0 or more.", recovery="Give one.")
    if since > head:
        raise Refused(
            "SEQUENCE_UNKNOWN",
            f"The journal is at {head}; it has no event {since} to go on from.",
            recovery="Read the state anew and follow from its sequence number.",
            data={"head": head, "since": since},
        )
    return Wanted(read_topics(params.get("topics")), since)


def read_topics(found: object) -> tuple[str, ...]:
    """The globs of a subscription.

    Raises:
        Invalid: not a short list of short texts.
    """
    if found is None:
        return ()
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) > _MOST_TOPICS:
        raise Invalid(
            "topics",
            f"topics is a list of at most {_MOST_TOPICS} globs.",
            recovery='Write ["mission.*"].',
        )
    if any(not isinstance(topic, str) or len(topic) > _LONGEST_TOPIC for topic in found):
        raise Invalid(
            "topics",
            f"A topic is a text of at most {_LONGEST_TOPIC} characters.",
            recovery='Write ["mission.*"].',
        )
    return tuple(found)


def told(envelope: Envelope) -> dict[str, Any]:
    """What a follower is told of an event (automation.md §4)."""
    return {
        "seq": envelope.seq,
        "stream": envelope.stream,
        "kind": envelope.kind,
        "at": envelope.at.isoformat(),
        "actor": envelope.actor,
        "payload": envelope.event.model_dump(mode="json"),
    }
