"""Walls around a process, raised by itself once it holds all it needs; after that there is no way back.

Three kinds, each where the system grants it, and the process says which stand:

- namespaces (Linux): no network, and for a root directory an empty read-only one, so that no file of the machine exists;
- seccomp (Linux, x86-64 and AArch64): an allow-list of calls for computing and answering; the rest get EPERM;
- limits (any Unix): memory, CPU time, no new files, no core dumps; and no super-user.

Numbers and structures are those of the Linux user-space headers (linux/seccomp.h, linux/audit.h, asm/unistd.h).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys

NOBODY = 65534
MIB = 1024 * 1024

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x40000000,
)  # fmt: skip
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 0x4000, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL = 2, 0x7FFF0000, 0x00050000, 0x80000000
BPF_LOAD_WORD, BPF_JUMP_EQUAL, BPF_RETURN = 0x20, 0x15, 0x06
CAPABILITY_VERSION_3 = 0x20080522

# machine: audit architecture, pivot_root, and by name the calls that computing and answering over open pipes take
SYSTEM_CALLS: dict[str, tuple[int, int, dict[str, int]]] = {
    "x86_64": (0xC000003E, 155, {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
        "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "select": 23, "sched_yield": 24,
        "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "exit": 60, "getrusage": 98, "times": 100,
        "sigaltstack": 131, "gettid": 186, "futex": 202, "sched_getaffinity": 204, "restart_syscall": 219,
        "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "tgkill": 234,
        "pselect6": 270, "ppoll": 271, "getrandom": 318, "membarrier": 324, "rseq": 334,
    }),
    "aarch64": (0xC00000B7, 41, {
        "read": 63, "write": 64, "close": 57, "fstat": 80, "lseek": 62, "mmap": 222, "mprotect": 226, "munmap": 215,
        "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "sched_yield": 124,
        "mremap": 216, "madvise": 233, "nanosleep": 101, "getpid": 172, "exit": 93, "getrusage": 165, "times": 153,
        "sigaltstack": 132, "gettid": 178, "futex": 98, "sched_getaffinity": 123, "restart_syscall": 128,
        "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "exit_group": 94, "tgkill": 131,
        "pselect6": 72, "ppoll": 73, "getrandom": 278, "membarrier": 283, "rseq": 293,
    }),
}  # fmt: skip


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel end this process when its parent ends; end now if that has happened already."""
    if sys.platform == "linux":
        _libc().prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def raise_walls(*, memory_mib: int, cpu_s: float, address_space_mib: int) -> list[str]:
    """Raise every wall that the system grants; the caller must have imported all it will ever need.

    Args:
        memory_mib: writable private memory in all (RLIMIT_DATA).
        cpu_s: CPU time after which the kernel ends the process.
        address_space_mib: address space, reservations included (RLIMIT_AS).

    Returns:
        The names of the walls that stand.
    """
    walls = []
    if sys.platform == "linux":
        if _enter_namespaces():
            walls += ["namespaces", "empty root"]
        elif os.getuid() == 0:
            _become_nobody()
    elif os.getuid() == 0:
        _become_nobody()
    _limit(memory_mib=memory_mib, cpu_s=cpu_s, address_space_mib=address_space_mib)
    walls.append("limits")
    if sys.platform == "linux" and _filter_system_calls():
        walls.append("seccomp")
    return walls


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _enter_namespaces() -> bool:
    """Leave network and files behind: with the rights of root, else as root of a user namespace of one's own."""
    libc = _libc()
    apart = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    if os.getuid() == 0:
        if libc.unshare(apart) == 0:
            emptied = _empty_root(libc)
            _become_nobody()
            return emptied
        _become_nobody()
    uid, gid = os.getuid(), os.getgid()
    # after changing user a process may not write its own maps until it is dumpable again
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    if libc.unshare(apart | CLONE_NEWUSER) != 0:
        return False
    try:
        for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
    except OSError:
        return False
    emptied = _empty_root(libc)
    _drop_capabilities(libc)
    return emptied


def _empty_root(libc: ctypes.CDLL) -> bool:
    """Make an empty, read-only file system the root of this process alone."""
    pivot_root = SYSTEM_CALLS.get(platform.machine(), (0, 0, {}))[1]
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    if not pivot_root or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return False
    if libc.mount(b"none", b"/tmp", b"tmpfs", flags, b"size=4k,mode=555") != 0:
        return False
    os.chdir("/tmp")
    if libc.syscall(pivot_root, b".", b".") != 0 or libc.umount2(b".", MNT_DETACH) != 0:
        return False
    os.chdir("/")
    libc.mount(b"none", b"/", None, flags | MS_REMOUNT | MS_RDONLY, None)
    return True


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    libc.capset(header, none)


def _limit(*, memory_mib: int, cpu_s: float, address_space_mib: int) -> None:
    cpu = max(1, int(cpu_s) + 1)
    wanted = {
        # the first sends SIGXCPU, which says what happened; the second kills
        "RLIMIT_CPU": (cpu, cpu + 5),
        "RLIMIT_DATA": (memory_mib * MIB, memory_mib * MIB),
        "RLIMIT_AS": (address_space_mib * MIB, address_space_mib * MIB),
        "RLIMIT_FSIZE": (0, 0),
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_NOFILE": (3, 3),
        "RLIMIT_NPROC": (0, 0),
    }
    for name, values in wanted.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            # a stricter limit from outside stays; a limit that the system does not know is no reason to stop
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, values)


def _filter_system_calls() -> bool:
    if platform.machine() not in SYSTEM_CALLS:
        return False
    architecture, _, calls = SYSTEM_CALLS[platform.machine()]
    lines = [
        (BPF_LOAD_WORD, 0, 0, 4),  # offset of `arch` in struct seccomp_data
        (BPF_JUMP_EQUAL, 1, 0, architecture),
        (BPF_RETURN, 0, 0, SECCOMP_RET_KILL),
        (BPF_LOAD_WORD, 0, 0, 0),  # offset of `nr`
    ]
    numbers = sorted(calls.values())
    lines += [(BPF_JUMP_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    lines += [(BPF_RETURN, 0, 0, SECCOMP_RET_ERRNO | 1), (BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    program = struct.pack("@HP", len(lines), ctypes.addressof(code))
    libc = _libc()
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) == 0)
