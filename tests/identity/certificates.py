"""A certificate authority as sshd's operators have one: ``ssh-keygen -s``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.identity.ssh_signatures import keygen

from prefect_gatehouse.identity.keys import fingerprint, generate_key


class Authority:
    """An authority with a key of its own, in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.line = generate_key(folder / name, name)
        self.fingerprint = fingerprint(self.line)
        self._key = folder / name

    def certify(self, key: Path, principals: str, *more: str, valid: str = "-5m:+1h", serial: int = 7) -> Path:
        """Makes ``KEY-cert.pub`` for a private key, and gives that file."""
        names = ("-n", principals) if principals else ()
        made = keygen("-q", "-s", str(self._key), "-I", "test", *names, "-V", valid, "-z", str(serial), *more, f"{key}.pub")
        assert made.returncode == 0, made.stderr
        return key.with_name(f"{key.name}-cert.pub")


def span(start: timedelta, end: timedelta) -> str:
    """A validity around now, as ``-V`` takes it in any zone."""
    now = datetime.now(UTC)
    return f"{now + start:%Y%m%d%H%M%SZ}:{now + end:%Y%m%d%H%M%SZ}"


def ssh_sign(certificate: Path, message: bytes, folder: Path) -> str:
    """The signature that ``ssh-keygen -Y sign`` makes with a certificate and the key beside it."""
    path = folder / "message"
    path.write_bytes(message)
    path.with_suffix(".sig").unlink(missing_ok=True)
    made = keygen("-Y", "sign", "-n", "gatehouse", "-f", str(certificate), str(path))
    assert made.returncode == 0, made.stderr
    return path.with_suffix(".sig").read_text()


def ssh_verifies(signature: str, message: bytes, person: str, registry: Path, folder: Path) -> bool:
    """What ``ssh-keygen -Y verify`` says of a signature, by the registry's own file."""
    (folder / "sig").write_text(signature)
    words = ["-Y", "verify", "-f", str(registry / "allowed_signers"), "-I", person, "-n", "gatehouse", "-s", str(folder / "sig")]
    return keygen(*words, data=message).returncode == 0
