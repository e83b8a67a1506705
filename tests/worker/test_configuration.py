"""What a worker is told at its start: from its environment, or from a file that its user can't write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.worker.configuration import CONFIG, DEPLOYMENTS, FOLDERS, OWN_DEPLOYMENTS, QUERY, load_configuration


def test_the_environment_names_folders_and_deployments(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    found = load_configuration({FOLDERS: f"{first}{os.pathsep}{second}", DEPLOYMENTS: "governed-pipeline/x, clean-up/y", QUERY: "1.5"})
    assert found.folders == (first, second)
    assert found.deployments == ("governed-pipeline/x", "clean-up/y")
    assert found.query_seconds == 1.5
    assert load_configuration({FOLDERS: str(first)}).deployments == OWN_DEPLOYMENTS


def test_a_worker_without_a_folder_does_not_start() -> None:
    with pytest.raises(InputError) as told:
        load_configuration({})
    assert "no folder" in told.value.message and "--folder" in told.value.advice


@pytest.mark.parametrize("changed", [{FOLDERS: "/no/such/folder"}, {QUERY: "often"}, {QUERY: "0"}])
def test_what_is_not_understood_is_named(tmp_path: Path, changed: dict[str, str]) -> None:
    with pytest.raises(InputError) as told:
        load_configuration({FOLDERS: str(tmp_path), **changed})
    assert "not understood: " + ("folders" if FOLDERS in changed else "query_seconds") in told.value.message


def test_only_manifests_below_a_folder_are_taken(tmp_path: Path) -> None:
    found = load_configuration({FOLDERS: str(tmp_path)})
    assert found.admits(tmp_path / "project" / "gatehouse.yaml")
    assert not found.admits(tmp_path.with_name(tmp_path.name + "-2") / "gatehouse.yaml")


def test_a_file_is_read_and_its_settings_are_gatehouses_own(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    file = folder / "worker.toml"
    file.write_text(f'folders = ["{tmp_path}"]\nquery_seconds = 2.0\n[settings]\nGATEHOUSE_ENVIRONMENT = "production"\n')
    file.chmod(0o644)
    if os.geteuid():  # its own user may change it: this test runs as somebody
        with pytest.raises(InputError, match="may be changed by the worker's own user"):
            load_configuration({CONFIG: str(file)})
        return
    found = load_configuration({CONFIG: str(file), FOLDERS: "/ignored"})
    assert (found.folders, found.settings) == ((tmp_path,), {"GATEHOUSE_ENVIRONMENT": "production"})
    file.write_text(f'folders = ["{tmp_path}"]\n[settings]\nLD_PRELOAD = "/tmp/evil.so"\n')
    with pytest.raises(InputError, match="not understood: settings"):
        load_configuration({CONFIG: str(file)})


@pytest.mark.parametrize("what", ["file", "folder", "a folder above", "the folder of a link"])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, what: str) -> None:
    """Or exchange: by another folder in the place of one on the way, or by a link that leads elsewhere from tomorrow on."""
    folder, links = tmp_path / "above" / "etc", tmp_path / "links"
    folder.mkdir(mode=0o755, parents=True)
    links.mkdir(mode=0o755)
    file = folder / "worker.toml"
    file.write_text(f'folders = ["{tmp_path}"]\n')
    file.chmod(0o644)
    (links / "worker.toml").symlink_to(file)
    place = {"file": file, "folder": folder, "a folder above": folder.parent, "the folder of a link": links}[what]
    if not os.geteuid():
        assert load_configuration({CONFIG: str(links / "worker.toml")}).folders == (tmp_path,)
    place.chmod(0o666 if what == "file" else 0o777)
    with pytest.raises(InputError, match="may be changed") as caught:
        load_configuration({CONFIG: str(links / "worker.toml")})
    if not os.geteuid():
        assert caught.value.where == str(place)
