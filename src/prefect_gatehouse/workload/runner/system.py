"""The calls into the C library that a cell is made with (prctl(2), capset(2), syscall(2)); each tells its failure."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from typing import Any

_PR_SET_PDEATHSIG, _PR_GET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 21, 24, 38, 47
_PR_SET_THP_DISABLE = 41
_CLEAR_ALL, _SIGKILL = 4, 9
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_CAPABILITY_VERSION, _CAPABILITIES = 0x20080522, 64


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, *arguments: Any) -> int:
    words = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc().prctl(option, *words), "prctl")


def call(number: int, *arguments: Any) -> int:
    """A system call by its number.

    Raises:
        OSError: The kernel refused.
    """
    libc = _libc()
    libc.syscall.restype = ctypes.c_long
    return _checked(libc.syscall(ctypes.c_long(number), *arguments), "syscall")


def has_seccomp() -> bool:
    """Whether the kernel has filters; asking changes nothing."""
    try:
        return _prctl(_PR_GET_SECCOMP) >= 0
    except (OSError, AttributeError):
        return False


def set_filter(number: int, program: Any) -> None:
    """Sets a seccomp filter for all threads of this process; none of them can gain a right any more.

    Args:
        number: That of the system call ``seccomp``.
        program: The filter.

    Raises:
        OSError: The kernel does not take it, or for one of the threads not.
    """
    if call(number, ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_ALL_THREADS), program):
        raise OSError(errno.ESRCH, "seccomp: a thread does not take the filter")


def die_with_parent(parent: int) -> None:
    """Ends this process as soon as the one that started it ends; at once if it has already.

    Raises:
        OSError: The kernel refused.
    """
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def huge_pages(*, used: bool) -> None:
    """Whether memory that this process takes from now on may come in pages of 2 MB; where the kernel has none, nothing changes."""
    with contextlib.suppress(OSError):
        _prctl(_PR_SET_THP_DISABLE, 0 if used else 1)


def no_new_privileges() -> None:
    """Nothing that this process starts gains a right.

    Raises:
        OSError: The kernel refused.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Leaves every capability, also those that could be gained: root without them owns its files and nothing more.

    Raises:
        OSError: The kernel refused.
    """
    for number in range(_CAPABILITIES):
        try:
            _prctl(_PR_CAPBSET_DROP, number)
        except OSError:  # beyond the kernel's last, or not ours to drop: then it could not be gained either
            break
    _prctl(_PR_CAP_AMBIENT, _CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _checked(_libc().capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())), "capset")
