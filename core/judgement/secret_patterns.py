"""What secrets look like: own patterns, and the fixed formats of detect-secrets.

Every own pattern is linear in the text: a fixed prefix and a run of at least so many characters,
or a start that can stand only once in a run. The library's slower ones are replaced by own ones,
the rest sees the text in windows. Nothing here opens a file or asks a server.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

WINDOW = 16_384
OVERLAP = 512
_SHORTEST = 8

_GAP = "  "
_GAPS = re.compile(r"[ \t]{3,}")
_PUBLIC = (
    r"(?:(?:NEW |TRUSTED |X509 )?CERTIFICATE(?: REQUEST)?|PKCS7|CMS|X509 CRL|(?:RSA |DSA |SSH2 )?"
    r"PUBLIC KEY|(?:DH|EC|DSA) PARAMETERS|PGP (?:PUBLIC KEY BLOCK|SIGNATURE|MESSAGE"
    r"|SIGNED MESSAGE)|SSH SIGNATURE)"
)
_LABEL = r"[A-Z0-9][A-Z0-9 ]{0,59}"


class Found(NamedTuple):
    """Where a secret stands. ``prefix`` is the part of it that tells nothing but its kind."""

    start: int
    end: int
    kind: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One own pattern. ``hints``: lower-case texts of which one must occur for it to match."""

    kind: str
    hints: tuple[str, ...]
    regex: re.Pattern[str]
    prefix: str = ""


def _pattern(kind: str, regex: str, *hints: str, prefix: str = "") -> Pattern:
    return Pattern(kind, hints or (prefix.lower(),), re.compile(regex), prefix)


OWN: tuple[Pattern, ...] = (
    _pattern("anthropic_key", r"sk-ant-[A-Za-z0-9_\-]{16,}", prefix="sk-ant-"),
    _pattern(
        "openai_key",
        r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_\-]{16,}"
        r"|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"
        r"|(?<![A-Za-z0-9_\-])sk-[A-Za-z0-9]{32,}",
        "sk-",
        "t3blbkfj",
    ),
    _pattern("google_api_key", r"AIza[0-9A-Za-z_\-]{35}", prefix="AIza"),
    _pattern(
        "google_oauth", r"ya29\.[0-9A-Za-z_\-]{20,}|GOCSPX-[0-9A-Za-z_\-]{20,}", "ya29.", "gocspx-"
    ),
    _pattern("github_token", r"gh[pousr]_[A-Za-z0-9]{36,}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _pattern("github_token", r"github_pat_[A-Za-z0-9_]{22,}", prefix="github_pat_"),
    _pattern(
        "gitlab_token",
        r"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-[A-Za-z0-9_\-]{20,}"
        r"|GR1348941[A-Za-z0-9_\-]{20,}",
        "gl",
        "gr1348941",
    ),
    _pattern(
        "slack_token", r"xox[abeoprs]-[A-Za-z0-9\-]{10,}|xapp-[A-Za-z0-9\-]{20,}", "xox", "xapp-"
    ),
    _pattern("huggingface_token", r"hf_[A-Za-z0-9]{34,}", prefix="hf_"),
    _pattern("npm_token", r"npm_[A-Za-z0-9]{36,}", prefix="npm_"),
    _pattern(
        "npm_token", r":_authToken\s{0,8}=\s{0,8}(?P<secret>[^\s$\"'{}\[\]]{8,})", ":_authtoken"
    ),
    _pattern("age_key", r"AGE-SECRET-KEY-1[0-9A-Z]{50,}", prefix="AGE-SECRET-KEY-1"),
    _pattern(
        "jwt",
        r"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{8,}+"
        r"(?:\.[A-Za-z0-9_\-]*+){1,3}",
        "eyj",
    ),
    _pattern(
        "basic_auth",
        r"://[^\s/@:?#\[\]{}<>$%*'\"]{0,200}:(?P<secret>[^\s/@:?#\[\]{}<>$%*'\"]{3,200})@",
        "://",
    ),
    _pattern(
        "private_key",
        r"BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?|PuTTY-User-Key-File-[0-9]",
        "private key",
        "putty-user-key-file",
    ),
    _pattern("pem_block", rf"-----BEGIN (?!{_PUBLIC}-----){_LABEL}-----", "-----begin "),
)

_BLOCK_START = re.compile(rf"-----BEGIN (?!{_PUBLIC}-----){_LABEL}-----|PuTTY-User-Key-File-[0-9]")
_BLOCK_END = re.compile(rf"-----END {_LABEL}-----|Private-MAC: [0-9a-f]{{1,64}}")


def key_blocks(text: str) -> Iterator[Found]:
    """Key blocks from their first line to their last, or to the end of the text."""
    at = 0
    while start := _BLOCK_START.search(text, at):
        end = _BLOCK_END.search(text, start.end())
        at = end.end() if end else len(text)
        yield Found(start.start(), at, "private_key")


def own_secrets(text: str) -> Iterator[Found]:
    """Secrets that an own pattern finds."""
    lowered = text.lower()
    for pattern in OWN:
        if any(hint in lowered for hint in pattern.hints):
            for found in pattern.regex.finditer(text):
                start, end = found.span(found.lastgroup or 0)
                yield Found(start, end, pattern.kind, pattern.prefix)


def may_hold_secret(text: str) -> bool:
    """Whether any pattern's hint occurs: one search rules out most lines of a large diff."""
    return _any_hint().search(text.lower()) is not None


@lru_cache(maxsize=1)
def _any_hint() -> re.Pattern[str]:
    hints = {h for pattern in OWN for h in pattern.hints}
    hints |= {h for format_ in _formats() for h in format_.hints}
    return re.compile("|".join(re.escape(hint) for hint in sorted(hints, key=len)))


def library_secrets(text: str) -> Iterator[Found]:
    """Secrets in one of the library's formats; one in two windows may come twice."""
    flat, origin = _flattened(text)
    for offset in range(0, max(1, len(flat) - OVERLAP), WINDOW - OVERLAP):
        window = flat[offset : offset + WINDOW]
        lowered = window.lower()
        for format_ in _formats():
            if any(hint in lowered for hint in format_.hints):
                for start, end in format_.spans(window):
                    yield Found(origin(offset + start), origin(offset + end - 1) + 1, format_.kind)


def _flattened(text: str) -> tuple[str, Callable[[int], int]]:
    """``text`` with long gaps made short, and the way back from a position in it.

    The library's assignments are quadratic in a run of blanks.
    """
    gaps = list(_GAPS.finditer(text))
    if not gaps:
        return text, lambda position: position
    places: list[int] = []
    removed: list[int] = []
    for gap in gaps:
        before = removed[-1] if removed else 0
        places.append(gap.start() - before + len(_GAP))
        removed.append(before + len(gap.group()) - len(_GAP))

    def origin(position: int) -> int:
        index = bisect_right(places, position)
        return position + (removed[index - 1] if index else 0)

    return _GAPS.sub(_GAP, text), origin


@dataclass(frozen=True, slots=True)
class _Format:
    kind: str
    hints: tuple[str, ...]
    regexes: tuple[re.Pattern[str], ...]

    def spans(self, window: str) -> Iterator[tuple[int, int]]:
        for regex in self.regexes:
            for match in regex.finditer(window):
                start, end = match.span(1) if regex.groups else match.span()
                yield (start, end) if end - start >= _SHORTEST else match.span()


@lru_cache(maxsize=1)
def _formats() -> tuple[_Format, ...]:
    """The library's detectors of fixed formats, read by their patterns alone.

    Entropy and keyword detectors are left out (they guess), public addresses too (no secret),
    and those that an own pattern covers. ``analyze_line`` is not used: it may verify a secret by
    sending it to its provider, and it heeds comments that a hostile repo writes.
    """
    from detect_secrets.plugins import (
        artifactory,
        aws,
        azure_storage_key,
        cloudant,
        discord,
        ibm_cloud_iam,
        ibm_cos_hmac,
        mailchimp,
        pypi_token,
        sendgrid,
        slack,
        softlayer,
        square_oauth,
        stripe,
        telegram_token,
        twilio,
    )

    words = ("key", "pwd", "pw", "pass", "token")
    hinted = (
        ("artifactory_credential", artifactory.ArtifactoryDetector, ("akc", "ap")),
        ("aws_key", aws.AWSKeyDetector, ("a3t", "abia", "acca", "akia", "asia", "aws")),
        ("azure_storage_key", azure_storage_key.AzureStorageKeyDetector, ("accountkey=",)),
        ("cloudant_credential", cloudant.CloudantDetector, ("cl",)),
        ("discord_token", discord.DiscordBotTokenDetector, (".",)),
        ("ibm_cloud_key", ibm_cloud_iam.IbmCloudIamDetector, words),
        ("ibm_cos_key", ibm_cos_hmac.IbmCosHmacDetector, ("secret",)),
        ("mailchimp_key", mailchimp.MailchimpDetector, ("-us",)),
        ("pypi_token", pypi_token.PypiTokenDetector, ("pypi-age",)),
        ("sendgrid_key", sendgrid.SendGridDetector, ("sg.",)),
        ("slack_token", slack.SlackDetector, ("xox", "hooks.slack.com")),
        ("softlayer_key", softlayer.SoftlayerDetector, ("sl", "softlayer")),
        ("square_secret", square_oauth.SquareOAuthDetector, ("sq0csp-",)),
        ("stripe_key", stripe.StripeDetector, ("k_live_",)),
        ("telegram_token", telegram_token.TelegramBotTokenDetector, (":",)),
        ("twilio_key", twilio.TwilioKeyDetector, ("ac", "sk")),
    )
    return tuple(_Format(kind, hints, tuple(each.denylist)) for kind, each, hints in hinted)
