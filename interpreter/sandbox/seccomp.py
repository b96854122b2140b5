"""The system call filter: a table of rules, assembled into a BPF program.

A filter is a program of at most 4096 instructions of 8 bytes (`code:u16 jt:u8 jf:u8 k:u32`, little-endian; see
linux/filter.h and seccomp(2)) over `struct seccomp_data`: the call's number at 0, the architecture at 4, the six
arguments at 16, 8 bytes each.

    ld [4]; jeq AUDIT_ARCH_X86_64, 1, 0; ret ENOSYS      i386 has other numbers, so all of it is refused
    ld [0]; a binary search over the numbers; at each leaf `ret`, or tests of arguments and `ret`

The rules allow by default and take away what reaches beyond a build: other processes' memory, the kernel's keys,
programs and modules, mounts and namespaces, setuid files, extended attributes, exotic sockets. All calls that came
after Linux 5.12 do not exist (ENOSYS), so that a builder sees one kernel interface whatever the host runs; this also
covers x32, whose numbers begin at 2**30. `uname`, `sysinfo` and `sched_getaffinity` tell of the host and are answered
by the sandbox's init (see `answers.py`).

Arguments are tested in their low 32 bits, which is all that the kernel reads of the ones tested here.
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple, TypeAlias

from kiln.interpreter.sandbox.answers import GETAFFINITY, SYSINFO, UNAME

AUDIT_ARCH_X86_64 = 0xC000003E
RET_ALLOW = 0x7FFF0000
RET_ERRNO = 0x00050000
RET_USER_NOTIF = 0x7FC00000

_LD_ABS, _JA, _JEQ, _JGE, _JSET, _RET = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
_NR_OFFSET, _ARCH_OFFSET, _ARGS_OFFSET = 0, 4, 16

FIRST_UNKNOWN = 443
"""One above mount_setattr, the newest call of Linux 5.12."""


class Bits(NamedTuple):
    """True when any of `bits` is set in the argument."""

    arg: int
    bits: int


class Among(NamedTuple):
    """True when the argument is one of `values`."""

    arg: int
    values: tuple[int, ...]


Test: TypeAlias = Bits | Among


class Allow(NamedTuple):
    """The kernel's own answer."""


class Refuse(NamedTuple):
    """This error number, whatever the arguments; 0 makes the call return 0 and do nothing."""

    error: int


class RefuseWhen(NamedTuple):
    """This error number when every test holds."""

    tests: tuple[Test, ...]
    error: int


class AllowWhen(NamedTuple):
    """Allowed when every test of one alternative holds, else this error number."""

    alternatives: tuple[tuple[Test, ...], ...]
    error: int


class Ask(NamedTuple):
    """Answered by the process that listens to this filter."""


Rule: TypeAlias = Allow | Refuse | RefuseWhen | AllowWhen | Ask


class Instruction(NamedTuple):
    """One BPF instruction; jumps are relative to the next one."""

    code: int
    jt: int
    jf: int
    k: int


_ALLOW = Allow()
_NAMESPACES = 0x7E020080
"""Every CLONE_NEW… flag."""
_SETID = 0o6000
_CREATES = 0o100 | 0o20000000
"""O_CREAT and the bit of O_TMPFILE: open looks at its mode with these alone."""
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_NETLINK_ROUTE = 0
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_MISSING = Refuse(errno.ENOSYS)
_DENIED = Refuse(errno.EPERM)
_NO_ATTRIBUTES = Refuse(errno.EOPNOTSUPP)


def _setid(arg: int) -> Rule:
    return RefuseWhen((Bits(arg, _SETID),), errno.EPERM)


RULES: dict[int, Rule] = {
    # Other processes' memory and descriptors. The processes of one build share a user id.
    101: _DENIED,  # ptrace
    310: _DENIED,  # process_vm_readv
    311: _DENIED,  # process_vm_writev
    312: _DENIED,  # kcmp
    438: _DENIED,  # pidfd_getfd
    # Keyrings are not part of any namespace: a session keyring is the user's own.
    248: _MISSING,  # add_key
    249: _MISSING,  # request_key
    250: _MISSING,  # keyctl
    # Kernel programs, counters, page faults, asynchronous calls that this filter would not see.
    298: _MISSING,  # perf_event_open
    321: _MISSING,  # bpf
    323: _MISSING,  # userfaultfd
    425: _MISSING,  # io_uring_setup
    426: _MISSING,  # io_uring_enter
    427: _MISSING,  # io_uring_register
    # Mounts and roots.
    155: _DENIED,  # pivot_root
    161: _DENIED,  # chroot
    165: _DENIED,  # mount
    166: _DENIED,  # umount2
    428: _DENIED,  # open_tree
    429: _DENIED,  # move_mount
    430: _DENIED,  # fsopen
    431: _DENIED,  # fsconfig
    432: _DENIED,  # fsmount
    433: _DENIED,  # fspick
    442: _DENIED,  # mount_setattr
    # Namespaces: a nested one would give back every capability. clone3 has its flags behind a pointer, which a
    # filter cannot follow; libraries fall back to clone.
    56: RefuseWhen((Bits(0, _NAMESPACES),), errno.EPERM),  # clone
    272: _DENIED,  # unshare
    308: _DENIED,  # setns
    435: _MISSING,  # clone3
    # The machine itself.
    103: _DENIED,  # syslog: the kernel's log
    139: _MISSING,  # sysfs
    156: _MISSING,  # _sysctl
    163: _DENIED,  # acct
    164: _DENIED,  # settimeofday
    167: _DENIED,  # swapon
    168: _DENIED,  # swapoff
    169: _DENIED,  # reboot
    172: _DENIED,  # iopl
    173: _DENIED,  # ioperm
    174: _MISSING,  # create_module
    175: _DENIED,  # init_module
    176: _DENIED,  # delete_module
    177: _MISSING,  # get_kernel_syms
    178: _MISSING,  # query_module
    179: _DENIED,  # quotactl
    180: _MISSING,  # nfsservctl
    212: _MISSING,  # lookup_dcookie
    227: _DENIED,  # clock_settime
    246: _DENIED,  # kexec_load
    300: _DENIED,  # fanotify_init
    303: _NO_ATTRIBUTES,  # name_to_handle_at
    304: _DENIED,  # open_by_handle_at
    305: _DENIED,  # clock_adjtime
    313: _DENIED,  # finit_module
    320: _DENIED,  # kexec_file_load
    153: _DENIED,  # vhangup
    154: _MISSING,  # modify_ldt: 16-bit code, and a source of kernel bugs
    # The layout of the machine's memory nodes.
    237: _MISSING,  # mbind
    238: _MISSING,  # set_mempolicy
    239: _MISSING,  # get_mempolicy
    256: _MISSING,  # migrate_pages
    279: _MISSING,  # move_pages
    # Files that would give their caller another identity. openat2 has its mode behind a pointer.
    2: RefuseWhen((Bits(1, _CREATES), Bits(2, _SETID)), errno.EPERM),  # open
    85: _setid(1),  # creat
    90: _setid(1),  # chmod
    91: _setid(1),  # fchmod
    133: _setid(1),  # mknod
    257: RefuseWhen((Bits(2, _CREATES), Bits(3, _SETID)), errno.EPERM),  # openat
    259: _setid(2),  # mknodat
    268: _setid(2),  # fchmodat
    437: _MISSING,  # openat2
    # Extended attributes: no object has any, and a host's security labels must not be seen.
    **dict.fromkeys(range(188, 200), _NO_ATTRIBUTES),
    # A user's supplementary groups can't be dropped without privilege; 0 is "none".
    115: Refuse(0),  # getgroups
    # Which processors it runs on is the host's matter: what is asked for may not exist here.
    203: Refuse(0),  # sched_setaffinity
    # Address randomisation stays off, and the other personalities away.
    135: AllowWhen(((Among(0, (0xFFFFFFFF, 0x0040000)),),), errno.EPERM),  # personality
    # Sockets that a network namespace does not hold (AF_VSOCK, AF_ALG), or that nobody needs.
    41: AllowWhen(
        (
            (Among(0, (_AF_UNIX, _AF_INET, _AF_INET6)),),
            (Among(0, (_AF_NETLINK,)), Among(2, (_NETLINK_ROUTE,))),
        ),
        errno.EAFNOSUPPORT,
    ),
    # Typing into another's terminal.
    16: RefuseWhen((Among(1, (_TIOCSTI, _TIOCLINUX)),), errno.EPERM),  # ioctl
}

ASKED = (UNAME, SYSINFO, GETAFFINITY)


def assemble(rules: dict[int, Rule], first_unknown: int = FIRST_UNKNOWN) -> tuple[Instruction, ...]:
    """The program for `rules`; a number without a rule is allowed below `first_unknown`, and ENOSYS from there."""
    numbered = ((number, rules.get(number, _ALLOW)) for number in range(first_unknown))
    leaves = _merge([*numbered, (first_unknown, _MISSING)])
    head = (
        Instruction(_LD_ABS, 0, 0, _ARCH_OFFSET),
        Instruction(_JEQ, 1, 0, AUDIT_ARCH_X86_64),
        Instruction(_RET, 0, 0, RET_ERRNO | errno.ENOSYS),
        Instruction(_LD_ABS, 0, 0, _NR_OFFSET),
    )
    return head + tuple(_search(leaves))


def encode(program: tuple[Instruction, ...]) -> bytes:
    """The bytes that the kernel reads."""
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def build_filter(*, ask: bool) -> bytes:
    """The sandbox's filter; `ask` leaves the calls of `ASKED` to the filter's listener."""
    rules = RULES | (dict.fromkeys(ASKED, Ask()) if ask else {})
    return encode(assemble(rules))


def _merge(leaves: list[tuple[int, Rule]]) -> list[tuple[int, Rule]]:
    """(first number, rule) for each stretch of numbers with one rule."""
    merged: list[tuple[int, Rule]] = []
    for leaf in leaves:
        # Named tuples of two types are equal when their fields are.
        if not merged or (type(merged[-1][1]), merged[-1][1]) != (type(leaf[1]), leaf[1]):
            merged.append(leaf)
    return merged


def _search(leaves: list[tuple[int, Rule]]) -> list[Instruction]:
    """A binary search for the last leaf that begins at or below the number in the accumulator."""
    if len(leaves) == 1:
        return _rule(leaves[0][1])
    half = len(leaves) // 2
    below, above = _search(leaves[:half]), _search(leaves[half:])
    pivot = leaves[half][0]
    if len(below) <= 255:
        return [Instruction(_JGE, len(below), 0, pivot), *below, *above]
    # A conditional jump reaches 255 instructions, an unconditional one any number.
    return [Instruction(_JGE, 0, 1, pivot), Instruction(_JA, 0, 0, len(below)), *below, *above]


def _rule(rule: Rule) -> list[Instruction]:
    match rule:
        case Allow():
            return [_ret(RET_ALLOW)]
        case Refuse(error):
            return [_ret(RET_ERRNO | error)]
        case Ask():
            return [_ret(RET_USER_NOTIF)]
        case RefuseWhen(tests, error):
            return [*_when(tests, _ret(RET_ERRNO | error)), _ret(RET_ALLOW)]
        case AllowWhen(alternatives, error):
            allowed = [step for tests in alternatives for step in _when(tests, _ret(RET_ALLOW))]
            return [*allowed, _ret(RET_ERRNO | error)]


def _when(tests: tuple[Test, ...], verdict: Instruction) -> list[Instruction]:
    """`verdict` when every test holds; else falls through behind it."""
    code = [verdict]
    for test in reversed(tests):
        code = _test(test, skip=len(code)) + code
    return code


def _test(test: Test, skip: int) -> list[Instruction]:
    """Fall through when the test holds, else jump over `skip` instructions."""
    load = Instruction(_LD_ABS, 0, 0, _ARGS_OFFSET + 8 * test.arg)
    match test:
        case Bits(_, bits):
            return [load, Instruction(_JSET, 0, skip, bits)]
        case Among(_, values):
            last = len(values) - 1
            return [load] + [
                Instruction(_JEQ, last - place, skip if place == last else 0, value)
                for place, value in enumerate(values)
            ]


def _ret(value: int) -> Instruction:
    return Instruction(_RET, 0, 0, value)
