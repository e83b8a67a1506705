"""A real Vault: built once from the upstream module, kept in the cache, run in development mode on a free port.

Vault is under BUSL 1.1: it is built and run here for the tests, and is no part of what Gatehouse ships.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services import cache, free_port, unavailable, wait_until

if TYPE_CHECKING:
    import hvac

SOURCES = Path(__file__).parent / "vault"
# Cold on two cores it takes just under four minutes, and a module proxy can be slow.
BUILD_SECONDS = 1200


def vault_binary() -> Path:
    """The server's binary, built if the cache holds none of these sources."""
    go = shutil.which("go")
    digest = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))).hexdigest()[:16]
    binary = cache() / f"vault-{digest}"
    with (cache() / "vault.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes: one builds, the other waits
        if binary.exists():
            return binary
        if go is None:
            unavailable("no go to build Vault with")
        partial = binary.with_suffix(".partial")
        command = [go, "build", "-tags", "minimal", "-trimpath", "-ldflags", "-s -w", "-o", str(partial), "."]
        # Go's own caches go when the build is done: they are thirty times the binary.
        workspace = cache() / "go"
        environment = {**os.environ, "GOFLAGS": "-modcacherw", "GOPATH": str(workspace), "GOCACHE": str(workspace / "build")}
        try:
            built = subprocess.run(command, cwd=SOURCES, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            unavailable("Vault's build took too long")
        finally:
            shutil.rmtree(workspace, ignore_errors=True)
        if built.returncode:
            unavailable(f"Vault can't be built: {built.stderr[-400:]}")
        partial.rename(binary)
    return binary


@dataclass(frozen=True)
class VaultServer:
    """A running development server."""

    url: str
    root_token: str

    def client(self, token: str | None = None) -> hvac.Client:
        """A client with the root token, or another."""
        import hvac

        return hvac.Client(url=self.url, token=token or self.root_token)

    def with_approles(self) -> hvac.Client:
        """As root, where roles of applications are enabled: by the first of the test files that share the server."""
        root = self.client()
        if "approle/" not in root.sys.list_auth_methods()["data"]:
            root.sys.enable_auth_method("approle")
        return root


@contextmanager
def vault_server(folder: Path) -> Iterator[VaultServer]:
    """Starts and stops a server with nothing in it."""
    import httpx

    binary, port, token = vault_binary(), free_port(), secrets.token_hex(16)
    command = [str(binary), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={token}", f"-dev-listen-address=127.0.0.1:{port}"]
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        try:
            return httpx.get(f"{url}/v1/sys/health", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    with (folder / "vault.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": str(folder), "PATH": os.environ["PATH"]})
        try:
            wait_until(up, "Vault")
            yield VaultServer(url, token)
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    print(vault_binary())
