"""Content by its digest: durable, checked when read, never followed through a link."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Broken, Invalid, Refused
from core.journal.blobs import Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def _file(tmp_path: Path, digest: str) -> Path:
    return tmp_path / "blobs" / digest[:2] / digest


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=4096))
def test_what_was_put_is_read(blobs: Blobs, content: bytes) -> None:
    digest = blobs.put(content)
    assert digest == hashlib.sha256(content).hexdigest()
    assert blobs.put(content) == digest
    assert blobs.read(digest) == content


def test_nobody_else_may_read_them(blobs: Blobs, tmp_path: Path) -> None:
    file = _file(tmp_path, blobs.put(b"a secret"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.parent.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("content", [b"", b"an evil spec", b"a spec and more"])
def test_a_changed_file_is_never_given_out(blobs: Blobs, tmp_path: Path, content: bytes) -> None:
    digest = blobs.put(b"a spec")
    _file(tmp_path, digest).write_bytes(content)
    with pytest.raises(Broken, match=digest):
        blobs.read(digest)


def test_a_link_is_not_followed(blobs: Blobs, tmp_path: Path) -> None:
    digest = blobs.put(b"a spec")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"a spec")
    _file(tmp_path, digest).unlink()
    _file(tmp_path, digest).symlink_to(elsewhere)
    with pytest.raises(Invalid) as refused:
        blobs.read(digest)
    assert refused.value.data["field"] == "digest"


@pytest.mark.parametrize(
    "digest",
    ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "../" * 21 + "a", "a" * 32 + "/" + "a" * 31,
     "\x00" * 64, "é" * 64, "٣" * 64, "f" * 64],
)  # fmt: skip
def test_what_is_no_digest_of_ours_is_refused(blobs: Blobs, digest: str) -> None:
    with pytest.raises(Invalid) as refused:
        blobs.read(digest)
    assert refused.value.data["field"] == "digest"


def test_content_that_was_damaged_can_be_put_again(blobs: Blobs, tmp_path: Path) -> None:
    digest = blobs.put(b"a spec")
    _file(tmp_path, digest).write_bytes(b"half a sp")
    assert blobs.put(b"a spec") == digest
    assert blobs.read(digest) == b"a spec"


def test_a_fifo_in_its_place_does_not_hang_the_reader(blobs: Blobs, tmp_path: Path) -> None:
    digest = blobs.put(b"a spec")
    _file(tmp_path, digest).unlink()
    os.mkfifo(_file(tmp_path, digest))
    with pytest.raises((Invalid, Broken)):
        blobs.read(digest)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, (1 << 20) + 1])
def test_a_file_is_stored_as_its_bytes_would_be(blobs: Blobs, tmp_path: Path, size: int) -> None:
    source = tmp_path / "log"
    source.write_bytes(os.urandom(size))
    digest = blobs.put(source)
    assert digest == blobs.put(source.read_bytes()) == blobs.put(source)
    with blobs.open(digest) as file:
        assert file.read() == source.read_bytes()
    assert _file(tmp_path, digest).stat().st_mode & 0o777 == 0o600
    assert [each.name for each in (tmp_path / "blobs").iterdir()] == [digest[:2]]


def test_a_damaged_copy_is_replaced_by_the_file_again(blobs: Blobs, tmp_path: Path) -> None:
    source = tmp_path / "log"
    source.write_bytes(b"a log")
    digest = blobs.put(source)
    _file(tmp_path, digest).write_bytes(b"a lie")
    with pytest.raises(Broken, match=digest):
        blobs.open(digest)
    blobs.put(source)
    assert blobs.read(digest) == b"a log"


def test_only_a_regular_file_can_be_put(blobs: Blobs, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_bytes(b"x")
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "blobs", "nowhere", "nul\0"):
        with pytest.raises(Invalid) as refused:
            blobs.put(tmp_path / name)
        assert refused.value.data["field"] == "content"
    assert list((tmp_path / "blobs").iterdir()) == []


def test_a_copy_that_fails_leaves_nothing_behind(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "log"
    source.write_bytes(b"a log")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Refused, match="No space left"):
        blobs.put(source)
    assert list((tmp_path / "blobs").iterdir()) == []
