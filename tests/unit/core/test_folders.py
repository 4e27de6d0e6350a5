"""Folders of a profile: where they lie, who may own them, how long a socket's path is."""

import os
import stat
from pathlib import Path

import pytest

from core.errors import Invalid, Refused
from core.folders import (
    SOCKET_PATH_LIMIT,
    check_profile,
    find_folders,
    folder_digest,
    temporary_folders,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_home_overrides_every_place(tmp_path: Path) -> None:
    folders = find_folders("default", {"COCKPIT_HOME": str(tmp_path / "h")}).make()
    for folder in (folders.data, folders.config, folders.logs, folders.blobs, folders.evidence):
        assert folder.is_relative_to(tmp_path / "h")
        assert mode(folder) == 0o700
    assert mode(folders.runtime) == 0o700


def test_profiles_share_nothing(tmp_path: Path) -> None:
    home = {"COCKPIT_HOME": str(tmp_path)}
    one, other = find_folders("default", home), find_folders("work", home)
    assert one.data != other.data
    assert one.config != other.config
    assert one.socket != other.socket


def test_without_home_the_places_of_the_system_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/x/data")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x/config")
    folders = find_folders("work", {"XDG_RUNTIME_DIR": "/x/run"})
    assert folders.runtime == Path("/x/run/operator-cockpit")
    assert "operator-cockpit" in folders.data.parts
    assert folders.data.name == folders.config.name == "work"


def test_socket_is_named_by_the_data_folder(tmp_path: Path) -> None:
    folders = find_folders("default", {"COCKPIT_HOME": str(tmp_path)})
    assert folders.socket.name == f"cockpit-{folder_digest(folders.data)}.sock"
    assert len(folder_digest(folders.data)) == 8


def test_a_deep_home_still_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("中" * 40)
    folders = find_folders("default", {"COCKPIT_HOME": str(deep)})
    assert len(os.fsencode(folders.socket)) <= SOCKET_PATH_LIMIT
    assert str(os.getuid()) in folders.runtime.name


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "h"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(Refused, match="written by other users") as caught:
        find_folders("default", {"COCKPIT_HOME": str(home)}).make()
    assert caught.value.code == "FOLDER_NOT_PRIVATE"
    assert list(home.iterdir()) == []


def test_a_planted_link_is_refused(tmp_path: Path) -> None:
    folders = find_folders("default", {"COCKPIT_HOME": str(tmp_path / "h")}).make()
    folders.blobs.rmdir()
    folders.blobs.symlink_to(tmp_path)
    with pytest.raises(Refused, match="symbolic link"):
        folders.make()


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "h"
    home.write_text("")
    with pytest.raises(Refused, match="not a folder"):
        find_folders("default", {"COCKPIT_HOME": str(home)}).make()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folders = find_folders("default", {"COCKPIT_HOME": str(tmp_path / "h")}).make()
    os.chown(folders.data, 65534, 65534)
    with pytest.raises(Refused, match="another user"):
        folders.make()


def test_a_readable_folder_is_closed(tmp_path: Path) -> None:
    folders = find_folders("default", {"COCKPIT_HOME": str(tmp_path / "h")}).make()
    folders.data.chmod(0o755)
    folders.make()
    assert mode(folders.data) == 0o700


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "x" * 33, "-a", "a\n", "ü", "a b"])
def test_profile_names_are_checked(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_profile(name)
    assert caught.value.data["field"] == "profile"


@pytest.mark.parametrize("home", ["", "relative", "~/x", "/a\0b"])
def test_home_must_be_absolute(home: str) -> None:
    with pytest.raises(Invalid, match="absolute"):
        find_folders("default", {"COCKPIT_HOME": home})


def test_temp_is_made_and_removed() -> None:
    with temporary_folders() as folders:
        assert folders.temporary
        assert folders.data.is_dir()
        (folders.data / "x").write_text("x")
        root = folders.data.parent
    assert not root.exists()


def test_temp_has_no_lasting_folders() -> None:
    with pytest.raises(Invalid, match="temp"):
        find_folders("temp", {})


def test_without_a_runtime_folder_the_socket_lies_in_one_of_this_user() -> None:
    folders = find_folders("default", {})
    assert folders.runtime.name == f"cockpit-{os.getuid()}"
    assert len(os.fsencode(folders.socket)) <= SOCKET_PATH_LIMIT
