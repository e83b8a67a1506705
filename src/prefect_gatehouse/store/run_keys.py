"""One random key per run; everything that a run keeps is encrypted under it, so that destroying it destroys the backups too."""

from __future__ import annotations

import base64
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from prefect_gatehouse.errors import StorageError, Tampered
from prefect_gatehouse.files import safe_name, sync_folder, write_new
from prefect_gatehouse.never_printed import NeverPrinted
from prefect_gatehouse.store.sealer import Sealer
from prefect_gatehouse.tokens.keys import derive_key

_BYTES = 32


class _FernetSealer:
    """Seals bytes as Fernet tokens (AES-128-CBC with HMAC-SHA-256)."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def seal(self, data: bytes) -> bytes:
        """Ciphertext of data."""
        return self._fernet.encrypt(data)

    def open(self, sealed: bytes) -> bytes:
        """Data of a ciphertext.

        Raises:
            Tampered: The ciphertext was changed or sealed under another run's key.
        """
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise Tampered("sealed data does not open under this run's key", where="run key") from None


class RunKey(NeverPrinted):
    """A run's key in memory; never printed, never pickled."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sealer(self) -> Sealer:
        """Encrypts what the journal and the providers' spool hold."""
        return _FernetSealer(derive_key(self._secret, 32, ("gatehouse run", "fernet")))

    def parquet_key(self) -> bytes:
        """32 bytes that the keys of the run's artifacts are derived from."""
        return derive_key(self._secret, 32, ("gatehouse run", "parquet"))

    def names_key(self) -> bytes:
        """32 bytes that pseudonyms of names are made with; of an installation's key, not a run's."""
        return derive_key(self._secret, 32, ("gatehouse run", "names"))

    def codes_key(self) -> bytes:
        """32 bytes that order the random codes of the run's columns; with the run's key, what they meant is gone."""
        return derive_key(self._secret, 32, ("gatehouse run", "codes"))


class RunKeys:
    """The keys of all runs, one file of mode 0600 each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def obtain(self, run_id: str) -> RunKey:
        """The run's key, made at the first call; of two callers at once both get the same one.

        The key is complete on disk before it gets its name (link(2) does not replace), so nobody ever reads half a key.

        Raises:
            InputError: The run id is not a plain name.
            StorageError: The key can't be written or read.
        """
        path = self._path(run_id)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                self._make(path)
        except OSError as error:
            raise _storage(error, run_id) from None
        return self.load(run_id)

    def load(self, run_id: str) -> RunKey:
        """The key of a run that has one.

        Raises:
            InputError: The run id is not a plain name.
            StorageError: The key is gone, not readable, open to others, or not 32 bytes.
        """
        try:
            descriptor = os.open(self._path(run_id), os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "rb") as stream:
                mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
                secret = stream.read(_BYTES + 1)
        except FileNotFoundError:
            raise _gone(run_id) from None
        except OSError as error:
            raise _storage(error, run_id) from None
        if mode & 0o077:
            raise StorageError("the run's key is open to other users", where=f"run {run_id}", advice="chmod 600 the key file")
        if len(secret) != _BYTES:
            raise StorageError("the run's key is damaged", where=f"run {run_id}", advice="abandon the run and start a new one")
        return RunKey(secret)

    def shred(self, run_id: str) -> bool:
        """Destroys the run's key: overwritten, synced, unlinked. True if there was one; a second call changes nothing.

        Overwriting reaches the file's own blocks; a journalling or copy-on-write file system may hold older copies of them.

        Raises:
            InputError: The run id is not a plain name.
            StorageError: The key can't be removed.
        """
        path = self._path(run_id)
        try:
            leftovers = list(self._folder.glob(f".{path.name}.*"))
            found = [item for item in (path, *leftovers) if _overwrite(item)]
            if found:
                sync_folder(self._folder)
        except OSError as error:
            raise _storage(error, run_id) from None
        return path in found

    def _make(self, path: Path) -> None:
        with suppress(FileExistsError):  # another process was first; its key counts
            write_new(path, secrets.token_bytes(_BYTES))

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{safe_name(run_id, 'the run id')}.key"


class RunKeysInMemory(RunKeys):
    """The keys of runs that end with this process: none is ever on a disk, so whatever kills the process destroys them."""

    def __init__(self) -> None:
        self._secrets: dict[str, bytes] = {}

    def obtain(self, run_id: str) -> RunKey:
        """The run's key, made at the first call."""
        return RunKey(self._secrets.setdefault(run_id, secrets.token_bytes(_BYTES)))

    def load(self, run_id: str) -> RunKey:
        """The key of a run that has one.

        Raises:
            StorageError: It has none.
        """
        if run_id not in self._secrets:
            raise _gone(run_id)
        return RunKey(self._secrets[run_id])

    def shred(self, run_id: str) -> bool:
        """Forgets the run's key; True if there was one."""
        return self._secrets.pop(run_id, None) is not None


def _overwrite(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(secrets.token_bytes(_BYTES))
        stream.flush()
        os.fsync(stream.fileno())
    path.unlink(missing_ok=True)
    return True


def _gone(run_id: str) -> StorageError:
    return StorageError("the run's key is gone, and with it everything the run kept", where=f"run {run_id}", advice="start a new run")


def _storage(error: OSError, run_id: str) -> StorageError:
    return StorageError(
        f"the run's key can't be used: {error.strerror or 'input/output error'}",
        where=f"run {run_id}",
        advice="check the disk and the permissions below GATEHOUSE_HOME, then resume the run",
    )
