"""What an installation sets: ``GATEHOUSE_*`` in the environment, state below ``GATEHOUSE_HOME``."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from prefect_gatehouse.errors import InputError, StorageError

_PACKAGE = Path(__file__).resolve().parent
_TENANTS = r"^([a-z0-9][a-z0-9-]*(, ?[a-z0-9][a-z0-9-]*)*)?$"
_BLOCKS = r"^([a-z0-9-]+/[a-z0-9-]+(, ?[a-z0-9-]+/[a-z0-9-]+)*)?$"
SHIPPED_PRICES = _PACKAGE / "deployments" / "prices.yaml"


class Settings(BaseSettings):
    """The settings of one installation; every field is ``GATEHOUSE_<NAME>`` in the environment."""

    model_config = SettingsConfigDict(env_prefix="GATEHOUSE_", frozen=True, hide_input_in_errors=True)

    home: Path = Field(default_factory=lambda: Path.home() / ".gatehouse", description="Where Gatehouse keeps its state.")
    environment: str = Field("local", description="The environment this process runs in; a manifest must name the same.")
    tenants: str = Field(
        "", pattern=_TENANTS, description="Tenants whose runs this installation drives, with commas between them; every tenant's unless set."
    )
    ledger_url: str = Field("", description="SQLAlchemy URL of the ledger; SQLite below the home unless set.")
    policies: Path = Field(_PACKAGE / "deployments" / "policies", description="Folder of the Cedar schema and policies.")
    tiers: Path = Field(_PACKAGE / "deployments" / "tiers.yaml", description="File of the tiers.")
    classes: Path = Field(_PACKAGE / "deployments" / "classes.yaml", description="File of the data classes: readers, retention, write-back.")
    prices: Path = Field(SHIPPED_PRICES, description="File of the prices of providers' devices, each with source and date.")
    people: Path | None = Field(None, description="Folder of the registry of people; below the home unless set.")
    bundle: Path | None = Field(None, description="File that makes policies, tiers, classes and people one bundle; below the home unless set.")
    tickets: Path | None = Field(None, description="File of the tickets, or of the system that has them; tickets.yaml below the home unless set.")
    lock: Path | None = Field(None, description="The lock file whose digest enters the plan; found beside the project unless set.")
    image_digest: str = Field("", description="Digest of the image that this process runs in, sha256:..., set by the deployment.")
    image_statements: Path | None = Field(None, description="Folder of what is signed about that image; image below the home unless set.")
    dask_address: str = Field("", description="Dask scheduler for the data engine dask; a cluster of its own on this machine unless set.")
    identity: Path | None = Field(None, description="The caller's own signing key; below the home unless set.")
    worker_key: Path | None = Field(None, description="Key by which a `gatehouse` worker proves itself to its runs; below the home unless set.")
    lineage: Literal["file", "openlineage", "none"] = Field(
        "file", description="Where OpenLineage events go: a file below the home, what OpenLineage's own configuration names, or nowhere."
    )
    token_tier: Literal["auto", "numpy", "fused"] = Field(
        "auto", description="What makes tokens: numpy and OpenSSL, functions that numba compiled, or whichever pays."
    )

    linger_seconds: int = Field(
        60, ge=0, le=3600, description="How long a run's process stays after it has asked for approval, to go on at once when the answer comes."
    )

    notify: str = Field(
        "", pattern=_BLOCKS, description="Prefect's notification blocks, with commas between them, that remind of a waiting approval."
    )
    escalate: str = Field("", pattern=_BLOCKS, description="The second group's, reminded too where an approval waits for longer.")
    remind_minutes: int = Field(240, ge=1, le=43_200, description="How long an approval waits before each reminder.")
    escalate_minutes: int = Field(1440, ge=1, le=43_200, description="How long it waits before the second group is reminded as well.")

    cell: Literal["auto", "none", "landlock", "bubblewrap"] = Field(
        "auto", description="Where workloads run: the strongest cell that works here, or this one; a tier may ask for a stronger one."
    )
    cell_cpu_seconds: int = Field(3600, ge=1, description="Processor time of a workload, all its steps together.")
    cell_wall_seconds: int = Field(3600, ge=1, description="Time of one step of a workload.")
    cell_memory_mb: int = Field(4096, ge=512, description="Address space of a workload's process.")
    cell_file_mb: int = Field(64, ge=1, description="Temporary files of a workload, where it may have any.")

    def ledger(self) -> str:
        """The SQLAlchemy URL of the ledger."""
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.sqlite'}"

    def served_tenants(self) -> frozenset[str]:
        """The tenants whose runs this installation drives; empty where it drives every tenant's."""
        return frozenset(name.strip() for name in self.tenants.split(",") if name.strip())

    def people_folder(self) -> Path:
        """The folder that holds ``allowed_signers`` and ``people.json``."""
        return self.people or self.home / "people"

    def bundle_file(self) -> Path:
        """The manifest of the bundle of policies: its version, and which roles sign it."""
        return self.bundle or self.home / "bundle.yaml"

    def image_folder(self) -> Path:
        """The folder that holds ``signatures.json`` and ``attestations.json`` about the image."""
        return self.image_statements or self.home / "image"

    def tickets_file(self) -> Path:
        """The file that says where tickets are looked up."""
        return self.tickets or self.home / "tickets.yaml"

    def identity_key(self) -> Path:
        """The caller's own private signing key (OpenSSH format, 0600)."""
        return self.identity or self.home / "identity" / "id_ed25519"

    def signing_key(self) -> Path | None:
        """The caller's own private key where there is one; None where there is none, and none is named.

        Raises:
            InputError: One is named and not there: whoever names a key does not mean to go without.
        """
        path = self.identity_key()
        if path.exists():
            return path
        if self.identity is not None:
            advice = "correct the path, or take GATEHOUSE_IDENTITY out of the environment to use the key in GATEHOUSE_HOME"
            raise InputError("the signing key that is named is not there", where=f"GATEHOUSE_IDENTITY={path}", advice=advice)
        return None

    def worker_key_file(self) -> Path:
        """The private key of the installation's `gatehouse` workers (OpenSSH format, 0600), with its ``.pub`` beside it."""
        return self.worker_key or self.home / "worker" / "id_ed25519"

    def folder(self, name: str) -> Path:
        """A folder below the home, made with mode 0700 when it is missing.

        Raises:
            StorageError: The folder can't be made or is open to others.
        """
        path = self.home / name if name else self.home
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
                path.chmod(0o700)
        except OSError as error:
            raise StorageError(
                f"the folder can't be used: {error.strerror}", where=str(path), advice="set GATEHOUSE_HOME to a writable folder"
            ) from None
        return path


def load_settings() -> Settings:
    """The settings as the environment gives them now.

    Raises:
        InputError: A variable holds what its setting does not allow.
    """
    try:
        return Settings()
    except ValidationError as error:
        names = sorted({f"GATEHOUSE_{part['loc'][0]}".upper() for part in error.errors(include_input=False, include_url=False)})
        raise InputError(
            "the setting is none of those allowed", where=", ".join(names), advice="correct it or remove it from the environment"
        ) from None
