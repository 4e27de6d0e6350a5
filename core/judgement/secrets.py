"""Finding secrets in what was added, and taking them out of what people and models read.

No comment in the text silences a finding: the repo is hostile. A secret found is never kept.
"""

import base64
import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s
from itertools import islice
from urllib.parse import quote

from core.judgement.changes import AddedLine, shown_path
from core.judgement.secret_patterns import (
    Found,
    key_blocks,
    library_secrets,
    may_hold_secret,
    own_secrets,
)

MAX_FINDINGS = 1000
SHORTEST_KNOWN = 6
_KNOWN = "known_secret"
_SHORTEST_ENCODED = 8
_SHOWN_PREFIX = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a secret stands, and of which kind; never the secret.

    Attributes:
        path: itself redacted. ``line`` is 0 for a file name.
        preview: the part that tells the kind, and the length.
        fingerprint: six hex digits of a keyed hash, to tell two findings apart.
    """

    path: str
    line: int
    kind: str
    preview: str
    fingerprint: str


def scan(
    lines: Iterable[AddedLine],
    *,
    names: Iterable[str] = (),
    key: bytes = b"",
    known: Collection[str] = (),
) -> tuple[Finding, ...]:
    """Secrets in added lines and in file names, at most ``MAX_FINDINGS``."""
    found: list[Finding] = []
    for name in names:
        found += scan_name(name, key=key, known=known)
    for path, number, text in lines:
        if len(found) >= MAX_FINDINGS:
            break
        found += scan_line(path, number, text, key=key, known=known)
    return tuple(found[:MAX_FINDINGS])


def scan_line(
    path: str, number: int, text: str, *, key: bytes = b"", known: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Secrets in one added line, each value once.

    Args:
        key: for the fingerprints, at most 32 bytes; keep it out of the evidence.
        known: values that the operator keeps as secrets, whatever they look like.
    """
    found: dict[str, Found] = {}
    for each in islice(_secrets(text, known), MAX_FINDINGS):
        found.setdefault(text[each.start : each.end], each)
    if not found:
        return ()
    shown = redact(shown_path(path), known)
    return tuple(_finding(shown, number, each, value, key) for value, each in found.items())


def scan_name(path: str, *, key: bytes = b"", known: Collection[str] = ()) -> tuple[Finding, ...]:
    """Secrets in a file's name."""
    return scan_line(path, 0, path, key=key, known=known)


def redact(text: str, known: Collection[str] = ()) -> str:
    """``text`` without secrets: each becomes ``[redacted:kind]``.

    Args:
        known: secret values, also taken out where they are quoted for a URL, escaped for JSON or
            encoded in base64. Those below six characters are left, or no text would be.
    """
    pieces, at = [], 0
    for each in _merged([*key_blocks(text), *_secrets(text, known)]):
        pieces += [text[at : each.start], f"[redacted:{each.kind}]"]
        at = each.end
    return "".join((*pieces, text[at:])) if pieces else text


def _secrets(text: str, known: Collection[str]) -> Iterator[Found]:
    pattern = _known_pattern(frozenset(known))
    if pattern is not None:
        yield from (Found(*hit.span(), _KNOWN) for hit in pattern.finditer(text))
    if may_hold_secret(text):
        yield from own_secrets(text)
        yield from library_secrets(text)


def _merged(found: list[Found]) -> list[Found]:
    """In order and without overlap; the first of those that overlap gives the kind."""
    merged: list[Found] = []
    for each in sorted(found, key=lambda one: (one.start, -one.end)):
        if merged and each.start < merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, each.end))
        else:
            merged.append(each)
    return merged


def _finding(path: str, number: int, found: Found, value: str, key: bytes) -> Finding:
    prefix = found.prefix if value.startswith(found.prefix) else ""
    preview = f"{prefix[:_SHOWN_PREFIX]}…({len(value)})"
    return Finding(path, number, found.kind, preview, _fingerprint(value, key))


def _fingerprint(value: str, key: bytes) -> str:
    # Short on purpose: it tells findings apart and proves no guess of a weak secret.
    return blake2s(value.encode("utf-8", "surrogatepass"), key=key[:32], digest_size=3).hexdigest()


@lru_cache(maxsize=8)
def _known_pattern(known: frozenset[str]) -> re.Pattern[str] | None:
    forms = {form for value in known if len(value) >= SHORTEST_KNOWN for form in _forms(value)}
    if not forms:
        return None
    return re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))))


def _forms(value: str) -> Iterator[str]:
    """A value as it stands, and as it looks after the usual encodings."""
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    raw = value.encode("utf-8", "surrogatepass")
    yield quote(raw, safe="")
    for skipped, cut in ((0, 0), (1, 2), (2, 3)):
        # What stands before shifts the encoding; the ends depend on the neighbours and are left.
        padded = bytes(skipped) + raw
        whole = padded[: len(padded) // 3 * 3]
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(whole).decode("ascii")[cut:]
            if len(encoded) >= _SHORTEST_ENCODED:
                yield encoded
