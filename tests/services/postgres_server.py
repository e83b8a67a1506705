"""A real PostgreSQL: a cluster of its own in a temporary folder, on a free port of 127.0.0.1, with password sign-in."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services import clean_environment, free_port, unavailable, wait_until

BINARIES = Path("/usr/lib/postgresql")
USER = "gatehouse_owner"
_STOP_SECONDS = 20.0


def postgres_binaries() -> Path:
    """The folder of the newest ``initdb`` and ``postgres``; Debian keeps one folder a version, outside the path."""
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0)
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        unavailable("no PostgreSQL server")
    return Path(on_path).parent


@dataclass(frozen=True)
class PostgresServer:
    """A running cluster."""

    port: int
    password: str

    def url(self, database: str = "postgres", *, user: str = USER, password: str | None = None) -> str:
        """An SQLAlchemy URL."""
        return f"postgresql+psycopg://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> Any:
        """A connection of psycopg that commits each statement."""
        import psycopg

        text = f"host=127.0.0.1 port={self.port} user={USER} password={self.password} dbname={database} connect_timeout=3"
        return psycopg.connect(text, autocommit=True)

    def new_database(self, like: str = "template1") -> str:
        """Makes an empty database, or a copy of one, and gives its name."""
        name = f"clinic_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {like}")
        return name


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Starts and stops a cluster with nothing in it."""
    binaries = postgres_binaries()
    port, password = free_port(), secrets.token_hex(16)
    # PostgreSQL refuses to run as root, and another user can't enter pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="gatehouse-postgres-"))
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = _account()
        os.chown(folder, account.pw_uid, account.pw_gid)
        owner = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    environment = {**clean_environment(), "HOME": str(folder), "LC_ALL": "C"}
    try:
        secret = folder / "password"
        secret.write_text(password)
        if owner:
            os.chown(secret, owner["user"], owner["group"])
        make = ["initdb", "-D", str(folder / "data"), "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
        made = subprocess.run([str(binaries / make[0]), *make[1:]], capture_output=True, text=True, cwd=folder, env=environment, check=False, **owner)
        if made.returncode:
            unavailable(f"PostgreSQL's initdb failed: {made.stderr[-300:]}")
        with (folder / "log").open("w") as log:
            start = [str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder), "-F"]
            process = subprocess.Popen(start, stdout=log, stderr=log, cwd=folder, env=environment, **owner)
        server = PostgresServer(port, password)
        try:
            wait_until(lambda: _up(server), "PostgreSQL")
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # "fast": ends every session, then itself
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> pwd.struct_passwd:
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    found = accounts.get("postgres") or accounts.get("nobody")
    if found is None:
        unavailable("no user to run PostgreSQL as")
    return found


def _up(server: PostgresServer) -> bool:
    import psycopg

    try:
        server.connect().close()
    except psycopg.OperationalError:
        return False
    return True
