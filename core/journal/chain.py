"""The hash chain: the canonical form of an event and its digest (domain.md §2)."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

GENESIS = "0" * 64
_FIELDS = (
    "seq",
    "id",
    "stream",
    "version",
    "kind",
    "payload_version",
    "at",
    "actor",
    "causation_id",
    "correlation_id",
    "idempotency_key",
)


@dataclass(frozen=True, slots=True)
class Damage:
    """The first place where the chain does not hold."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a verification found. ``damage`` is None when every event is as it was written."""

    events: int
    head: int
    damage: Damage | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was edited, removed, added or re-ordered."""
        return self.damage is None


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the same bytes for the same value, always."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(row: Mapping[Any, Any], payload: bytes, prev_hash: str) -> str:
    """The hash of an event: over its fields, its stored payload and the hash before it."""
    fields = canonical([row[name] for name in _FIELDS])
    return hashlib.sha256(b"\n".join((fields, payload, prev_hash.encode()))).hexdigest()


def verify(rows: Iterable[Mapping[Any, Any]], head: tuple[int, str] | None) -> ChainReport:
    """Walk the whole chain.

    Args:
        rows: stored events in the order of ``seq``.
        head: sequence number and hash that the journal remembers as its last.
    """
    seq, before = 0, GENESIS
    versions: dict[str, int] = {}
    for row in rows:
        found = _damage(row, seq, before, versions)
        if found is not None:
            return ChainReport(seq, head[0] if head else 0, Damage(seq + 1, found))
        seq, before = row["seq"], row["hash"]
        versions[row["stream"]] = row["version"]
    if (head or (0, GENESIS)) != (seq, before):
        what = "missing at the end" if head and head[0] > seq else "not the remembered end"
        return ChainReport(seq, head[0] if head else 0, Damage(seq + 1, what))
    return ChainReport(seq, seq)


def _damage(
    row: Mapping[Any, Any], seq: int, before: str, versions: Mapping[str, int]
) -> str | None:
    if row["seq"] != seq + 1:
        return "missing"
    if row["prev_hash"] != before:
        return "not chained to the event before it"
    if row["hash"] != digest(row, row["payload"].encode(), before):
        return "edited"
    if row["version"] != versions.get(row["stream"], 0) + 1:
        return "out of order in its stream"
    return None
