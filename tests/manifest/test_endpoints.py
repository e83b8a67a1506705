"""An address is compared with the declared system without user, password and driver, and nothing in it can lead elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.endpoints import declared_endpoint, endpoint_of, parse


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("sqlite:////srv/data/clinic.sqlite", "sqlite:////srv/data/clinic.sqlite"),
        ("sqlite+pysqlite:////srv/data/../clinic.sqlite", "sqlite:////srv/clinic.sqlite"),
        ("postgresql://writer:pw@db.example.org/clinic", "postgresql://db.example.org/clinic"),
        ("postgresql+psycopg://writer:pw@db.example.org:5432/clinic", "postgresql://db.example.org:5432/clinic"),
        ("postgresql+psycopg://writer@db.example.org/clinic?sslmode=verify-full", "postgresql://db.example.org/clinic"),
        ("postgresql://[2001:db8::1]:5432/clinic", "postgresql://[2001:db8::1]:5432/clinic"),
        ("postgresql:///clinic", "postgresql:///clinic"),
    ],
)
def test_endpoint(url: str, endpoint: str) -> None:
    """User, password, driver and how the connection is secured do not matter; host, port and database do, and of a file its whole path."""
    assert endpoint_of(url) == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://writer:pw@db.example.org/clinic?host=elsewhere.example.org",
        "postgresql+psycopg://writer:pw@db.example.org/clinic?host=db.example.org:1&host=elsewhere.example.org:2",
        "postgresql+psycopg://writer:pw@db.example.org/clinic?hostaddr=192.0.2.7",
        "postgresql+psycopg://writer:pw@db.example.org/clinic?port=6000",
        "postgresql+psycopg://writer:pw@db.example.org/clinic?dbname=other",
        "postgresql+psycopg://writer:pw@db.example.org/clinic?service=other",
        "postgresql+psycopg://writer:pw@db.example.org/clinic?options=-csearch_path%3Dother",
        "mysql+pymysql://writer:pw@db.example.org/clinic?unix_socket=/run/other.sock",
        "mysql+pymysql://writer:pw@db.example.org/clinic?read_default_file=/etc/other.cnf",
        "sqlite:///file:/elsewhere/clinic.sqlite?uri=true",
        "sqlite:///clinic.sqlite?uri=true",
        "sqlite:///file:clinic.sqlite",
        "sqlite:///clinic.sqlite",
        "sqlite:///../clinic.sqlite",
    ],
)
def test_an_option_that_leads_elsewhere_is_refused(url: str) -> None:
    """The declared host in front does not hide another one in the options; the refusal names no part of the address."""
    with pytest.raises(InputError) as refused:
        endpoint_of(url)
    assert not any(word in str(refused.value) for word in ("pw", "writer", "example.org", "192.0.2.7", "clinic"))


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_database_that_ends_with_the_process_is_refused(url: str) -> None:
    """Rows written to memory would be receipted and lost."""
    with pytest.raises(InputError):
        endpoint_of(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        "://",
        "postgresql://writer:canary-pw@host:notaport/db",
        "postgresql://writer:canary-pw@[::1/db",
        "postgresql://writer:canary-pw@host/db\n",
        "postgres://writer:canary-pw@host/db",
        "postgresql://writer:canary-pw@host:99999/db",
        "sqlite:////a\tb",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    """A mistyped address, password and all, is not echoed."""
    with pytest.raises(InputError) as refused:
        endpoint_of(url)
    assert "canary-pw" not in str(refused.value)
    assert refused.value.advice


def test_the_same_name_in_another_folder_is_another_database(tmp_path: Path) -> None:
    """A declared file is looked for from the manifest's folder, and links are followed: what people approve is one file."""
    zone, elsewhere = tmp_path / "zone", tmp_path / "elsewhere"
    for folder in (zone, elsewhere):
        folder.mkdir()
        (folder / "results.sqlite").touch()
    declared = declared_endpoint("sqlite:///results.sqlite", zone)
    assert declared == endpoint_of(f"sqlite:///{zone}/results.sqlite") == endpoint_of(f"sqlite:///{elsewhere}/../zone/results.sqlite")
    assert declared != endpoint_of(f"sqlite:///{elsewhere}/results.sqlite")
    assert declared_endpoint("sqlite:///../elsewhere/results.sqlite", zone) == endpoint_of(f"sqlite:///{elsewhere}/results.sqlite")
    (tmp_path / "link").symlink_to(elsewhere)
    assert endpoint_of(f"sqlite:///{tmp_path}/link/results.sqlite") == endpoint_of(f"sqlite:///{elsewhere}/results.sqlite")


def test_an_endpoint_that_names_no_file(tmp_path: Path) -> None:
    """It is refused; other databases are compared as they are declared."""
    for endpoint in ("sqlite://", "sqlite:///"):
        with pytest.raises(InputError, match="names no SQLite file"):
            declared_endpoint(endpoint, tmp_path)
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="can't be followed"):
        declared_endpoint("sqlite:///a/x.sqlite", tmp_path)
    assert declared_endpoint("postgresql://db.example.org/clinic", tmp_path) == "postgresql://db.example.org/clinic"


def test_a_plain_postgresql_address_has_the_driver_of_the_extra() -> None:
    """Whatever SQLAlchemy would choose; a driver that is named stays."""
    assert parse("postgresql://w@h/d").drivername == "postgresql+psycopg"
    assert parse("postgresql+pg8000://w@h/d").drivername == "postgresql+pg8000"
