"""The sample repository: complete, its tests pass without any installation, never over others."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import Invalid
from runner.rehearsal.sample import SAMPLE_MARKER, is_sample, write_sample


def test_it_is_written_with_its_marker_and_without_git(tmp_path: Path) -> None:
    write_sample(tmp_path / "new" / "folder")
    root = tmp_path / "new" / "folder"
    assert is_sample((root / SAMPLE_MARKER).read_bytes())
    assert {"README.md", "harbor", "tests", "pyproject.toml"} <= {p.name for p in root.iterdir()}
    assert not (root / ".git").exists()
    assert not list(root.rglob("__pycache__"))


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    write_sample(tmp_path)
    assert (tmp_path / "harbor" / "fees.py").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(Invalid):
        write_sample(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Invalid):
        write_sample(tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"something else", b"operator-cockpit-sample"])
def test_another_marker_is_not_the_sample(content: bytes) -> None:
    assert not is_sample(content)


@pytest.mark.slow
def test_its_own_tests_pass_from_its_root(tmp_path: Path) -> None:
    write_sample(tmp_path / "sample")
    ran = subprocess.run(
        [
            sys.executable,
            "-I",
            "-B",
            "-c",
            "import sys; sys.path.insert(0, '.'); import unittest; unittest.main(module=None)",
        ],
        cwd=tmp_path / "sample",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Ran 16 tests" in ran.stderr
