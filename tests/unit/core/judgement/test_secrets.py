"""Secrets in what was added: found whatever the text says, shown to nobody.

No sample stands here in one piece, so that this file is none itself.
"""

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.judgement.changes import AddedLine
from core.judgement.secrets import MAX_FINDINGS, redact, scan, scan_line, scan_name

MIXED = "A1b2C3d4E5f6G7h8I9j0" * 6
HEX = "0a1b2c3d4e5f" * 8
DIGITS = "1234567890"

SAMPLES = {
    "anthropic_key": "sk-" + "ant-api03-" + MIXED[:90],
    "anthropic_oauth": "sk-" + "ant-oat01-" + MIXED[:90],
    "openai_project": "sk-" + "proj-" + MIXED[:60],
    "openai_old": "sk-" + MIXED[:48],
    "openai_mark": MIXED[:20] + "T3Blbk" + "FJ" + MIXED[:20],
    "google_api_key": "AI" + "za" + MIXED[:35],
    "google_oauth": "GOC" + "SPX-" + MIXED[:28],
    "github_classic": "gh" + "p_" + MIXED[:36],
    "github_server": "gh" + "s_" + MIXED[:36],
    "github_fine": "github" + "_pat_" + MIXED[:22] + "_" + MIXED[:59],
    "gitlab": "gl" + "pat-" + MIXED[:20],
    "slack_bot": "xox" + "b-" + "123456789012-123456789012-" + MIXED[:24],
    "slack_app": "xap" + "p-1-A0123456789-1234567890-" + HEX[:40],
    "slack_hook": "https://hooks.slack.com" + "/services/T0AAAAAAA/B0AAAAAAA/" + MIXED[:24],
    "aws_id": "AK" + "IA" + "IOSFODNN7ABCDEFG",
    "telegram": DIGITS + ":" + "AA" + MIXED[:33],
    "jwt": ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (b'{"alg":"HS256"}', b'{"sub":"harbor"}', b"0123456789abcdef")
    ),
    "stripe": "sk" + "_live_" + MIXED[:24],
    "sendgrid": "S" + "G." + MIXED[:22] + "." + MIXED[:43],
    "twilio": "S" + "K" + HEX[:32],
    "npm": "npm" + "_" + MIXED[:36],
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + MIXED[:80],
    "huggingface": "hf" + "_" + MIXED[:34],
    "mailchimp": HEX[:32] + "-us" + "12",
    "discord": "M" + MIXED[:23] + "." + MIXED[:6] + "." + MIXED[:27],
    "square": "sq0" + "csp-" + MIXED[:43],
    "azure": "Account" + "Key=" + MIXED[:86] + "==",
    "age": "AGE-SECRET" + "-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" * 2,
}
ASSIGNED = {
    "aws_secret": ('aws_secret_key = "', MIXED[:40], '"'),
    "basic_auth": ("https://harbor:", "hunter" + "22", "@db.example/x"),
    "npmrc": ("//registry.example/:_auth" + "Token=", HEX[:36], ""),
    "softlayer": ('softlayer_api_key = "', HEX[:64], '"'),
    "ibm_cos": ("cos_secret_access_key=", HEX[:48], ""),
}
BLOCKS = [
    "RSA PRIVATE KEY",
    "PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "PGP PRIVATE KEY BLOCK",
    "FOO BAR",
]
COMMENTS = ["", "  # pragma: allowlist secret", "  // pragma: whitelist secret", "  # nosec"]


@pytest.mark.parametrize("name", list(SAMPLES))
@pytest.mark.parametrize("comment", COMMENTS)
def test_a_secret_is_found_whatever_stands_beside(name: str, comment: str) -> None:
    secret = SAMPLES[name]
    for text in (secret, f'key = "{secret}"{comment}', f"x:{secret},{comment}"):
        found = scan_line("src/a.py", 7, text)
        assert found
        assert {(each.path, each.line) for each in found} == {("src/a.py", 7)}
        assert secret not in repr(found)
        assert secret not in redact(text)
        assert MIXED[5:25] not in redact(text)


@pytest.mark.parametrize("name", list(ASSIGNED))
def test_a_secret_is_found_by_what_it_is_assigned_to(name: str) -> None:
    before, secret, after = ASSIGNED[name]
    assert scan_line("a", 1, before + secret + after)
    clean = redact(before + secret + after)
    assert secret not in clean
    assert clean.startswith(before[:8])


@pytest.mark.parametrize("label", BLOCKS)
def test_a_key_block_is_found_and_wholly_removed(label: str) -> None:
    begin, end = f"-----BEGIN {label}-----", f"-----END {label}-----"
    assert scan_line("id_rsa", 1, begin)
    body = "\n".join(MIXED[:64] for _ in range(20))
    clean = redact(f"before\n{begin}\n{body}\n{end}\nafter")
    assert clean == "before\n[redacted:private_key]\nafter"
    assert redact(f"before\n{begin}\n{body}") == "before\n[redacted:private_key]"


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PGP SIGNATURE-----",
        "the task-sk-list",
        "sk-learn and sk-ant",
        "8.8.8.8",
        "version = '1.2.3.4'",
        "https://user@example.com/a:b",
        "https://${USER}:${TOKEN}@example.com",
        "f'https://{user}:{token}@example.com'",
        "//registry.example/:_authToken=${NPM_TOKEN}",
        "password = os.environ['PASSWORD']",
        "eyJ is how many tokens begin",
        "sha256:" + HEX[:64],
        "integrity sha512-" + MIXED[:86] + "==",
        "2024-01-01T12:00:00",
        "0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f",
        "class SKILL: ACCOUNT = 'APPLE'",
        "中文没有秘密",
        "",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert scan_line("a", 1, text) == ()
    assert redact(text) == text


def test_file_names_are_scanned_and_shown_redacted() -> None:
    secret = SAMPLES["github_classic"]
    (found,) = scan_name(f"backup/{secret}.txt")
    assert (found.line, found.kind) == (0, "github_token")
    assert found.path == "backup/[redacted:github_token].txt"
    assert scan([], names=["src/a.py", f"{secret}"]) != ()


def test_a_finding_tells_its_kind_and_no_more() -> None:
    secret = SAMPLES["anthropic_key"]
    (found,) = scan_line("a", 1, secret)
    assert found.preview == f"sk-ant-…({len(secret)})"
    assert len(found.fingerprint) == 6
    assert found == scan_line("a", 1, secret)[0]
    (keyed,) = scan_line("a", 1, secret, key=b"k" * 40)
    assert keyed.fingerprint != found.fingerprint


def test_each_value_is_told_once_a_line() -> None:
    secret = SAMPLES["github_classic"]
    assert len(scan_line("a", 1, f"{secret} {secret}")) == 1
    assert len(scan([AddedLine("a", 1, secret), AddedLine("a", 2, secret)])) == 2


def test_findings_are_bounded() -> None:
    line = AddedLine("a", 1, SAMPLES["github_classic"])
    assert len(scan(line for _ in range(3 * MAX_FINDINGS))) == MAX_FINDINGS


def test_known_secrets_are_found_and_removed_in_the_usual_encodings() -> None:
    secret = 'correct "horse"/battery ß'
    forms = [
        secret,
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        quote(secret, safe=""),
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(b"user:" + secret.encode()).decode(),
        base64.b64encode(b"ab:" + secret.encode() + b"!!").decode(),
        base64.urlsafe_b64encode(b"abcd" + secret.encode()).decode(),
    ]
    for form in forms:
        assert "[redacted:known_secret]" in redact(f"log: {form}.", [secret]), form
        assert [each.kind for each in scan_line("a", 1, form, known=[secret])][:1] == [
            "known_secret"
        ]


def test_short_known_values_do_not_eat_the_text() -> None:
    assert redact("a cat sat", ["a", "", "cat"]) == "a cat sat"


def test_a_longer_known_value_goes_before_its_part() -> None:
    assert redact("swordfish-2", ["swordfish", "swordfish-2"]) == "[redacted:known_secret]"


def test_blanks_do_not_hide_a_secret_or_take_time() -> None:
    assert scan_line("a", 1, "softlayer_api_key" + " " * 5000 + "=" + " " * 5000 + HEX[:64])


@pytest.mark.parametrize("name", ["github_classic", "twilio", "telegram", "jwt"])
@pytest.mark.parametrize("at", [0, 16_000, 16_370, 16_384, 32_000, 40_000])
def test_a_secret_anywhere_in_a_long_line_is_found(name: str, at: int) -> None:
    text = "-" * at + " " + SAMPLES[name] + " " + "-" * (40_000 - at)
    assert scan_line("a", 1, text)
    assert SAMPLES[name] not in redact(text)


SLOW = ["a", "sk-", "eyJ", "gl", "glagent-", "key ", "key = ", "://a:", "BEGIN ", "aws key '", "AC",
        "1234567890:", "xoxb-1-", "cl_key=", "http://cl-", "-----BEGIN A ", "M", "AKC"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("piece", SLOW)
def test_a_hostile_line_takes_time_in_proportion(piece: str) -> None:
    line = piece * (1_000_000 // len(piece))
    started = time.process_time()
    scan_line("a", 1, line)
    redact(line)
    assert time.process_time() - started < 5


@pytest.mark.slow
def test_many_different_secrets_take_time_in_proportion() -> None:
    line = " ".join(f"AC{number:032d}   " for number in range(20_000))
    started = time.process_time()
    assert MAX_FINDINGS * 0.9 < len(scan_line("a", 1, line)) <= MAX_FINDINGS
    assert redact(line).count("[redacted:twilio_key]") == 20_000
    assert time.process_time() - started < 5


@pytest.mark.parametrize("gap", [0, 1, 2, 3, 4, 9, 600, 40_000])
def test_gaps_do_not_shift_what_is_removed(gap: int) -> None:
    blank = " " * gap
    text = f"a{blank}b {SAMPLES['twilio']}{blank},{blank}{SAMPLES['aws_id']}{blank}z"
    marks = ("[redacted:twilio_key]", "[redacted:aws_key]")
    assert redact(text) == f"a{blank}b {marks[0]}{blank},{blank}{marks[1]}{blank}z"


@settings(max_examples=60)
@given(
    around=st.text(max_size=20),
    name=st.sampled_from(list(SAMPLES)),
    after=st.text(max_size=20),
)
def test_what_is_redacted_stays_so(around: str, name: str, after: str) -> None:
    clean = redact(f"{around} {SAMPLES[name]} {after}")
    assert SAMPLES[name] not in clean
    assert redact(clean) == clean


@settings(max_examples=100)
@given(text=st.text() | st.text("sk-ant eyJghp_:/@-BEGIN \n=", max_size=200))
def test_any_text_can_be_scanned(text: str) -> None:
    findings = scan_line("a", 1, text)
    assert len(text) < 6 or redact(text, [text, "\ud800" * 9]) == "[redacted:known_secret]"
    assert bool(findings) == (redact(text) != text)
