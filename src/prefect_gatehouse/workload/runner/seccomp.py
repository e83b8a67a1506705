"""A seccomp filter for a process that computes: no other process, no network, no keyring, no change of a file's owner or mode.

What is refused is refused with EPERM, so that an honest library that only tries goes on; a foreign architecture's call kills the process. Calls
that are younger than the table are not there (ENOSYS): a new kernel gives a workload nothing new. The filter is a classic BPF program (seccomp(2));
it is set by the process that it confines, before any of the workload's code is there, and can't be taken back.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from prefect_gatehouse.workload.runner import system

# x86_64 and aarch64 (asm/unistd_64.h, asm-generic/unistd.h); -1 where an architecture has no such call.
_NUMBERS: dict[str, tuple[int, int]] = {
    # other processes: made, become, seen, signalled, changed
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "tkill": (200, 130),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "migrate_pages": (256, 238), "move_pages": (279, 239), "setsid": (112, 157),
    "setpgid": (109, 154), "setrlimit": (160, 164),
    # the network, and memory that outlives or escapes the limits
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191),
    "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "mq_open": (240, 180),
    "mq_unlink": (241, 181), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # the kernel
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "syslog": (103, 116), "iopl": (172, -1), "ioperm": (173, -1), "modify_ldt": (154, -1), "vhangup": (153, 58), "personality": (135, 92),
    "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "uselib": (134, -1),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "move_mount": (429, 429), "open_tree": (428, 428),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    # what Landlock does not govern: modes, owners, times, attributes, watches
    "fanotify_init": (300, 262), "fanotify_mark": (301, 263), "inotify_init": (253, -1), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27),
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "chown": (92, -1), "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54),
    "utime": (132, -1), "utimes": (235, -1), "utimensat": (280, 88), "futimesat": (261, -1), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "truncate": (76, 45),
    "mknod": (133, -1), "mknodat": (259, 33),
    # who it is
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143), "setresuid": (117, 147), "setresgid": (119, 149),
    "setfsuid": (122, 151), "setfsgid": (123, 152), "setgroups": (116, 159), "capset": (126, 91),
}  # fmt: skip
_CLONE, _CLONE3, _KILL, _TGKILL, _SOCKETPAIR, _PRLIMIT, _PRCTL, _IOCTL, _FCNTL, _SECCOMP = (
    (56, 220), (435, 435), (62, 129), (234, 131), (53, 199), (302, 261), (157, 167), (16, 29), (72, 25), (317, 277),
)  # fmt: skip
_NEWEST = 450  # set_mempolicy_home_node; from here on both architectures number alike
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000

_LOAD, _EQUAL, _SET, _ABOVE, _AND, _RETURN = 0x20, 0x15, 0x45, 0x25, 0x54, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_NR, _ARCH, _FIRST = 0, 4, 16  # places in struct seccomp_data
# Who is signalled when a descriptor is ready, and with which signal: any process of the same user. Landlock stops that from its version 6 on.
_OWNERS = (8, 10, 15, 1024, 1026)  # F_SETOWN, F_SETSIG, F_SETOWN_EX; F_SETLEASE and F_NOTIFY hold up others, and see them
_IOCTLS = (0x5412, 0x541C, 0x8901, 0x8902)  # TIOCSTI, TIOCLINUX; FIOSETOWN and SIOCSPGRP are F_SETOWN of sockets
_CLONE_THREAD, _PR_SET_PDEATHSIG, _AF_UNIX, _SOCK_STREAM, _SOCK_TYPE = 0x10000, 1, 1, 1, 0xF


@dataclass(frozen=True)
class _Op:
    """One instruction: what it does, how many to skip if it holds and if it does not, and its constant."""

    code: int
    constant: int
    yes: int = 0
    no: int = 0

    def packed(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.yes, self.no, self.constant)


def program(machine: str, process: int) -> bytes:
    """The filter for one process, as the kernel takes it.

    Args:
        machine: The architecture, as ``uname -m`` names it.
        process: The identifier of the process that it is for, which may signal itself.

    Raises:
        KeyError: There is no table for this architecture.
    """
    column, audit = _ARCHITECTURES[machine]
    ops = [_Op(_LOAD, _ARCH), _Op(_EQUAL, audit, yes=1), _Op(_RETURN, _KILL_PROCESS), _Op(_LOAD, _NR)]
    if machine == "x86_64":
        ops += _if(_ABOVE, _X32 - 1, _KILL_PROCESS)
    ops += _if(_ABOVE, _NEWEST, _ERRNO | _ENOSYS)
    # The C library falls back to clone, whose flags a filter can see.
    ops += _if(_EQUAL, _CLONE3[column], _ERRNO | _ENOSYS)
    for numbers in _NUMBERS.values():
        if numbers[column] >= 0:
            ops += _if(_EQUAL, numbers[column], _ERRNO | _EPERM)
    ops += _call(_CLONE[column], [_word(0), _Op(_SET, _CLONE_THREAD, no=1), *_allow()])
    for number in (_KILL, _TGKILL):
        ops += _call(number[column], [_word(0), _Op(_EQUAL, process, no=1), *_allow()])
    # A pair of streams, connected to each other and to nothing else; a datagram could be sent to any path.
    stream = [_word(1), _Op(_AND, _SOCK_TYPE), _Op(_EQUAL, _SOCK_STREAM, no=1), *_allow()]
    ops += _call(_SOCKETPAIR[column], [_word(0), _Op(_EQUAL, _AF_UNIX, no=len(stream) - 1), *stream])
    ops += _call(_PRLIMIT[column], [_word(2), _Op(_EQUAL, 0, no=3), _word(2, high=True), _Op(_EQUAL, 0, no=1), *_allow()])
    ops += _call(_PRCTL[column], [_word(0), _Op(_EQUAL, _PR_SET_PDEATHSIG, yes=1), *_allow()])
    ops += _call(_IOCTL[column], _none_of(1, _IOCTLS))
    ops += _call(_FCNTL[column], _none_of(1, _OWNERS))
    ops.append(_Op(_RETURN, _ALLOW))
    return b"".join(op.packed() for op in ops)


def _if(code: int, constant: int, answer: int) -> list[_Op]:
    return [_Op(code, constant, no=1), _Op(_RETURN, answer)]


def _word(argument: int, *, high: bool = False) -> _Op:
    return _Op(_LOAD, _FIRST + 8 * argument + 4 * high)


def _allow() -> list[_Op]:
    """The end of a condition: allowed if it gets here, refused if it skips this."""
    return [_Op(_RETURN, _ALLOW), _Op(_RETURN, _ERRNO | _EPERM)]


def _none_of(argument: int, refused: Sequence[int]) -> list[_Op]:
    return [_word(argument), *(_Op(_EQUAL, each, yes=len(refused) - place) for place, each in enumerate(refused)), *_allow()]


def _call(number: int, body: Sequence[_Op]) -> list[_Op]:
    """What is asked of one call; each way through it ends with an answer."""
    return [_Op(_EQUAL, number, no=len(body)), *body]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def supported() -> bool:
    """Whether there is a table for this machine, and a kernel that takes filters."""
    return platform.machine() in _ARCHITECTURES and system.has_seccomp()


def confine() -> None:
    """Sets the filter for this process, with all its threads; there is no way back.

    Raises:
        OSError: The kernel does not take it.
    """
    machine = platform.machine()
    code = program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    system.set_filter(_SECCOMP[_ARCHITECTURES[machine][0]], ctypes.byref(_Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))))
