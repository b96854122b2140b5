"""What a builder may not do, asked of the kernel: each call made in a real sandbox, its error number compared."""

from __future__ import annotations

import errno
import socket

import pytest
import static_elf
from static_elf import Call

from kiln.interpreter.sandbox import syscalls

pytestmark = pytest.mark.needs_namespaces

_O_CREAT, _O_WRONLY, _AT_FDCWD = 0o100, 1, 2**64 - 100
_TIOCSTI = 0x5412
_SIGCHLD = 17

# name → (call, error number; 0 is success, None is any success)
CALLS: dict[str, tuple[Call, int | None]] = {
    "ptrace: let oneself be traced": (Call(101, (0, 0, 0, 0)), errno.EPERM),
    "ptrace: attach to process 1": (Call(101, (16, 1, 0, 0)), errno.EPERM),
    "process_vm_readv": (Call(310, (1, 0, 0, 0, 0, 0)), errno.EPERM),
    "process_vm_writev": (Call(311, (1, 0, 0, 0, 0, 0)), errno.EPERM),
    "pidfd_getfd": (Call(438, (0, 0, 0)), errno.EPERM),
    "add_key": (Call(248, (b"user", b"x", b"x", 1, 2**64 - 4)), errno.ENOSYS),
    "keyctl": (Call(250, (0, 2**64 - 3, 1)), errno.ENOSYS),
    "bpf": (Call(321, (0, 0, 0)), errno.ENOSYS),
    "userfaultfd": (Call(323, (0,)), errno.ENOSYS),
    "perf_event_open": (Call(298, (0, 0, 0, 0, 0)), errno.ENOSYS),
    "io_uring_setup": (Call(425, (1, 0)), errno.ENOSYS),
    "unshare a user namespace": (Call(272, (syscalls.CLONE_NEWUSER,)), errno.EPERM),
    "clone into a user namespace": (Call(56, (syscalls.CLONE_NEWUSER | _SIGCHLD, 0, 0, 0, 0)), errno.EPERM),
    "clone into a mount namespace": (Call(56, (syscalls.CLONE_NEWNS | _SIGCHLD, 0, 0, 0, 0)), errno.EPERM),
    "clone3": (Call(435, (0, 0)), errno.ENOSYS),
    "setns": (Call(308, (0, 0)), errno.EPERM),
    "mount": (Call(165, (b"none", b"/tmp", b"tmpfs", 0, 0)), errno.EPERM),
    "umount2": (Call(166, (b"/tmp", 2)), errno.EPERM),
    "move_mount": (Call(429, (0, b"", 0, b"/tmp", 4)), errno.EPERM),
    "open_tree": (Call(428, (_AT_FDCWD, b"/", 1)), errno.EPERM),
    "fsopen": (Call(430, (b"tmpfs", 0)), errno.EPERM),
    "pivot_root": (Call(155, (b"/", b"/tmp")), errno.EPERM),
    "chroot": (Call(161, (b"/tmp",)), errno.EPERM),
    "init_module": (Call(175, (0, 0, b"")), errno.EPERM),
    "finit_module": (Call(313, (0, b"", 0)), errno.EPERM),
    "kexec_load": (Call(246, (0, 0, 0, 0)), errno.EPERM),
    "the kernel's log": (Call(103, (10, 0, 0)), errno.EPERM),
    "setuid": (Call(105, (0,)), errno.EINVAL),
    "setgroups": (Call(116, (0, 0)), errno.EPERM),
    "sethostname": (Call(170, (b"x", 1)), errno.EPERM),
    "mknod of a device": (Call(133, (b"/build/device", 0o020600, 0x103)), errno.EPERM),
    "creat with setuid": (Call(85, (b"/build/a", 0o4755)), errno.EPERM),
    "open with setuid": (Call(2, (b"/build/b", _O_CREAT | _O_WRONLY, 0o4755)), errno.EPERM),
    "openat with setgid": (Call(257, (_AT_FDCWD, b"/build/c", _O_CREAT | _O_WRONLY, 0o2755)), errno.EPERM),
    "openat2": (Call(437, (_AT_FDCWD, b"/build/d", 0, 24)), errno.ENOSYS),
    "a file": (Call(85, (b"/build/file", 0o755)), None),
    "open whose unused mode has those bits": (Call(2, (b"/build/file", 0, 0o4755)), None),
    "chmod to setuid": (Call(90, (b"/build/file", 0o4755)), errno.EPERM),
    "chmod to setgid": (Call(90, (b"/build/file", 0o2755)), errno.EPERM),
    "fchmodat to setuid": (Call(268, (_AT_FDCWD, b"/build/file", 0o4755)), errno.EPERM),
    "chmod to sticky": (Call(90, (b"/build/file", 0o1755)), 0),
    "fchmodat2, newer than the interface": (Call(452, (_AT_FDCWD, b"/build/file", 0o4755, 0)), errno.ENOSYS),
    "setxattr": (Call(188, (b"/build/file", b"user.x", b"1", 1, 0)), errno.EOPNOTSUPP),
    "getxattr": (Call(191, (b"/build/file", b"user.x", 0, 0)), errno.EOPNOTSUPP),
    "listxattr": (Call(194, (b"/build/file", 0, 0)), errno.EOPNOTSUPP),
    "personality with randomised addresses": (Call(135, (0,)), errno.EPERM),
    "personality of 32 bits": (Call(135, (8,)), errno.EPERM),
    "personality as it is": (Call(135, (0xFFFFFFFF,)), None),
    "a vsock": (Call(41, (socket.AF_VSOCK, 1, 0)), errno.EAFNOSUPPORT),
    "the kernel's ciphers": (Call(41, (socket.AF_ALG, 5, 0)), errno.EAFNOSUPPORT),
    "packets": (Call(41, (socket.AF_PACKET, 3, 0)), errno.EAFNOSUPPORT),
    "kernel events": (Call(41, (socket.AF_NETLINK, 2, 15)), errno.EAFNOSUPPORT),
    "raw internet packets": (Call(41, (socket.AF_INET, 3, 1)), errno.EPERM),
    "a unix socket": (Call(41, (socket.AF_UNIX, 1, 0)), None),
    "an internet socket": (Call(41, (socket.AF_INET, 1, 0)), None),
    "routes by netlink": (Call(41, (socket.AF_NETLINK, 3, 0)), None),
    "typing into a terminal": (Call(16, (0, _TIOCSTI, b"x")), errno.EPERM),
    "a pseudo-terminal": (Call(2, (b"/dev/ptmx", 2)), None),
    "supplementary groups": (Call(115, (0, 0)), 0),
    "getpid the i386 way": (Call(20, old=True), errno.ENOSYS),
    "getpid the x32 way": (Call(0x40000000 + 39), errno.ENOSYS),
    "a mount point removed": (Call(84, (b"/kiln/store",)), errno.EROFS),
    "a folder in the root": (Call(83, (b"/new", 0o755)), errno.EROFS),
    "process 1 killed": (Call(62, (1, 9)), 0),
    "the builder's own id": (Call(39), 2),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The result of every call, all made by one program in one sandbox."""
    import os

    from sandbox_room import BUILD_ID, Room

    room = Room(str(tmp_path_factory.mktemp("calls")), BUILD_ID if os.geteuid() == 0 else None)
    program = room.add_file("program", static_elf.calls(*(call for call, _ in CALLS.values())))
    ran = room.run(str(program))
    assert ran.result.status == "ok", ran
    return dict(zip(CALLS, static_elf.results(ran.log), strict=True))


@pytest.mark.parametrize("name", CALLS)
def test_the_call_ends_as_it_must(answers, name):
    wanted, found = CALLS[name][1], answers[name]
    if wanted is None:
        assert found >= 0, errno.errorcode.get(-found)
    elif name == "the builder's own id":
        assert found == wanted
    else:
        assert found == -wanted, errno.errorcode.get(-found, found)


def test_where_no_listener_is_to_be_had_the_result_says_so(room):
    """A process has at most one listening filter above it, and a container's may be that one."""
    import json
    import os

    from kiln.interpreter.sandbox.helper import Launcher
    from kiln.interpreter.sandbox.seccomp import RET_ALLOW, Instruction, encode

    program = room.add_file("program", static_elf.exits(0))
    spec = room.spec((str(program),))
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
            allow = encode((Instruction(6, 0, 0, RET_ALLOW),))
            syscalls.install_filter(allow, syscalls.SECCOMP_FILTER_FLAG_NEW_LISTENER)
            with Launcher() as room._launcher:
                result = room.run_spec(spec).result
            os.write(writing, json.dumps([result.status, result.enforced, result.degraded]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        status, enforced, degraded = json.load(file)
    os.waitpid(pid, 0)
    assert status == "ok" and degraded == [
        "the kernel's release, the memory's size and the number of processors are the host's"
    ]
    assert [name for name, holds in enforced.items() if not holds] == ["host_hidden"]
