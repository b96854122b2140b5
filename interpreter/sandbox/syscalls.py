"""The system calls that a sandbox needs and Python has no names for, through ctypes.

Numbers are x86_64's (linux/arch/x86/entry/syscalls/syscall_64.tbl), constants those of the kernel's own
include/uapi headers. Every wrapper raises OSError with the call and its subject, so that a failed step can be
named. Stand-alone: the launcher runs it under `python -I -S`.
"""

from __future__ import annotations

import ctypes
import errno
import os

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND = 1 << 12
MS_PRIVATE = 1 << 18
MS_REC = 1 << 14
MNT_DETACH = 2

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
CLOSE_RANGE_CLOEXEC = 4

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

ADDR_NO_RANDOMIZE = 0x0040000
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 1 << 2
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3

_NR_RT_SIGACTION = 13
_NR_SHMCTL = 31
_NR_SYSINFO = 99
_NR_PIVOT_ROOT = 155
_NR_SECCOMP = 317
_NR_OPEN_TREE = 428
_NR_MOVE_MOUNT = 429
_NR_CLOSE_RANGE = 436
_NR_MOUNT_SETATTR = 442

CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE = 2, 19
_SHM_INFO, _PAGE = 14, 4096
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x41

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_libc.process_vm_writev.restype = ctypes.c_ssize_t


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


class _SockFprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _IfReq(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 16), ("flags", ctypes.c_short), ("padding", ctypes.c_char * 22)]


def _check(result: int, call: str, subject: str = "") -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}", subject or None)
    return result


def _path(path: str) -> bytes:
    return os.fsencode(path)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare", hex(flags))


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2): a new file system, a bind or a change of propagation."""
    result = _libc.mount(
        _path(source),
        _path(target),
        _path(kind) if kind else None,
        ctypes.c_ulong(flags),
        _path(data) if data else None,
    )
    _check(result, "mount", target)


def umount(target: str, flags: int) -> None:
    """umount2(2)."""
    _check(_libc.umount2(_path(target), ctypes.c_int(flags)), "umount2", target)


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2)."""
    _check(_syscall(_NR_PIVOT_ROOT, _path(new), _path(old)), "pivot_root", new)


def open_tree(path: str, *, recursive: bool, dir_fd: int = AT_FDCWD) -> int:
    """A detached copy of the mount at `path`, as a descriptor; a symlink is never followed."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | (AT_RECURSIVE if recursive else 0)
    return int(
        _check(
            _syscall(_NR_OPEN_TREE, ctypes.c_int(dir_fd), _path(path), ctypes.c_uint(flags)),
            "open_tree",
            path,
        )
    )


def move_mount(tree: int, target: str, dir_fd: int = AT_FDCWD) -> None:
    """Attach a detached mount at `target`."""
    result = _syscall(
        _NR_MOVE_MOUNT,
        ctypes.c_int(tree),
        b"",
        ctypes.c_int(dir_fd),
        _path(target),
        ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH),
    )
    _check(result, "move_mount", target)


def mount_setattr(tree: int, *, set: int, recursive: bool) -> None:
    """Set attributes of the mount behind a descriptor, and cut it off from other mounts' changes."""
    _mount_setattr(tree, "", AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0), _MountAttr(set, 0, MS_PRIVATE, 0))


def set_attributes(path: str, attributes: int) -> None:
    """Set attributes of the one mount at `path`."""
    _mount_setattr(AT_FDCWD, path, 0, _MountAttr(attributes, 0, 0, 0))


def _mount_setattr(dir_fd: int, path: str, flags: int, attr: _MountAttr) -> None:
    result = _syscall(
        _NR_MOUNT_SETATTR,
        ctypes.c_int(dir_fd),
        _path(path),
        ctypes.c_uint(flags),
        ctypes.byref(attr),
        ctypes.c_size_t(ctypes.sizeof(attr)),
    )
    _check(result, "mount_setattr", path or f"descriptor {dir_fd}")


def prctl(option: int, value: int = 0, third: int = 0) -> int:
    """prctl(2), with its last two arguments zero as the kernel demands."""
    zero = ctypes.c_ulong(0)
    return int(
        _check(
            _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), ctypes.c_ulong(third), zero, zero),
            "prctl",
            str(option),
        )
    )


def set_name(name: str) -> None:
    """The name that ps shows, at most 15 bytes."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _check(_libc.prctl(ctypes.c_int(PR_SET_NAME), buffer, 0, 0, 0), "prctl", name)


def personality(value: int) -> None:
    """personality(2)."""
    _check(_libc.personality(ctypes.c_ulong(value)), "personality", hex(value))


def sethostname(name: str, domain: str) -> None:
    """sethostname(2) and setdomainname(2)."""
    _check(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname", name)
    _check(_libc.setdomainname(domain.encode(), ctypes.c_size_t(len(domain))), "setdomainname", domain)


def close_on_exec_from(first: int) -> None:
    """Mark every descriptor from `first` on to be closed by execve (close_range(2), Linux 5.11)."""
    _check(
        _syscall(
            _NR_CLOSE_RANGE,
            ctypes.c_uint(first),
            ctypes.c_uint(0xFFFFFFFF),
            ctypes.c_uint(CLOSE_RANGE_CLOEXEC),
        ),
        "close_range",
    )


def set_capabilities(mask: int) -> None:
    """Make `mask` the permitted and effective set of this thread; nothing inheritable, nothing ambient."""
    header = _CapHeader(_LINUX_CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = (_CapData * 2)(_CapData(low, low, 0), _CapData(high, high, 0))
    _check(_libc.capset(ctypes.byref(header), ctypes.byref(data)), "capset", hex(mask))


def empty_bounding_set() -> None:
    """Take every capability that this kernel knows out of the bounding set, and all out of the ambient set."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    zero = ctypes.c_ulong(0)
    for capability in range(64):
        # EINVAL: one above the last that this kernel knows.
        if _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), zero, zero, zero) < 0:
            if ctypes.get_errno() != errno.EINVAL:
                _check(-1, "prctl", f"PR_CAPBSET_DROP {capability}")
            return


def reset_signals() -> None:
    """Give every signal its default action, also 32 and 33, which glibc keeps to itself and posix_spawn ignores."""
    default = bytes(32)
    for number in range(1, 65):
        if number not in (9, 19):
            _check(
                _syscall(_NR_RT_SIGACTION, ctypes.c_int(number), default, None, ctypes.c_size_t(8)), "rt_sigaction"
            )


def install_filter(program: bytes, flags: int) -> int:
    """seccomp(2): install a program of 8-byte BPF instructions; with a listener flag, the listener's descriptor."""
    fprog = _SockFprog(len(program) // 8, program)
    return int(
        _check(
            _syscall(
                _NR_SECCOMP,
                ctypes.c_uint(SECCOMP_SET_MODE_FILTER),
                ctypes.c_uint(flags),
                ctypes.byref(fprog),
            ),
            "seccomp",
        )
    )


def write_memory(process: int, address: int, data: bytes) -> None:
    """process_vm_writev(2): write into another process where it may write itself."""
    buffer = ctypes.create_string_buffer(data, len(data))
    local = _Vector(ctypes.addressof(buffer), len(data))
    remote = _Vector(address, len(data))
    one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
    written = _libc.process_vm_writev(
        ctypes.c_int(process), ctypes.byref(local), one, ctypes.byref(remote), one, none
    )
    if _check(written, "process_vm_writev", str(process)) != len(data):
        raise OSError(errno.EFAULT, "process_vm_writev: only a part was written", str(process))


def raise_loopback(socket_fd: int) -> None:
    """Bring `lo` up in this network namespace; `socket_fd` is any AF_INET socket in it."""
    request = _IfReq(b"lo", _IFF_UP_RUNNING, b"")
    _check(
        _libc.ioctl(ctypes.c_int(socket_fd), ctypes.c_ulong(_SIOCSIFFLAGS), ctypes.byref(request)),
        "ioctl",
        "SIOCSIFFLAGS lo",
    )


def shared_memory() -> int:
    """Bytes of the whole machine's shared memory and tmpfs, as sysinfo(2) gives them."""
    facts = ctypes.create_string_buffer(112)
    _check(_syscall(_NR_SYSINFO, facts), "sysinfo")
    # struct sysinfo: uptime, three loads, total, free, shared (8 bytes each) …, the unit at 104.
    return int.from_bytes(facts.raw[48:56], "little") * int.from_bytes(facts.raw[104:108], "little")


def system_v_memory() -> int:
    """Bytes of System V segments in this namespace, in memory and swapped out (SHM_INFO of shmctl(2))."""
    facts = ctypes.create_string_buffer(48)
    _check(_syscall(_NR_SHMCTL, ctypes.c_int(0), ctypes.c_int(_SHM_INFO), facts), "shmctl")
    # struct shm_info: int ids, then pages in all, resident, swapped.
    return sum(int.from_bytes(facts.raw[at : at + 8], "little") for at in (16, 24)) * _PAGE
