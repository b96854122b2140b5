"""Static x86_64 programs, assembled here by hand: a sandbox holds nothing of the host, so neither a libc.

A program is a list of system calls. After each, its result is written to descriptor 1 as eight bytes; at the end it
exits with 0. Bytes among the arguments stand for their address.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

BASE = 0x400000
_HEADERS = 64 + 56
_LOADS = (b"\x48\xb8", b"\x48\xbf", b"\x48\xbe", b"\x48\xba", b"\x49\xba", b"\x49\xb8", b"\x49\xb9")
"""mov rax, rdi, rsi, rdx, r10, r8, r9 with 64 bits."""
_SYSCALL, _INT80 = b"\x0f\x05", b"\xcd\x80"
_SPIN = b"\xeb\xfe"


_FORK, _PAUSE = 57, 34


class Call(NamedTuple):
    """A system call: its number and up to six arguments; `old` makes it the i386 way."""

    number: int
    args: tuple[int | bytes, ...] = ()
    old: bool = False


def calls(*table: Call) -> bytes:
    """A program that makes these calls, writes their results, and exits with 0."""
    return _elf(lambda data: b"".join(_call(call, data) + _report(data) for call in table) + _exit(0))


def exits(code: int) -> bytes:
    return _elf(lambda data: _exit(code))


def spins() -> bytes:
    return _elf(lambda data: _SPIN)


def repeats(call: Call) -> bytes:
    """A program that makes one call for ever."""

    def code(data: _Data) -> bytes:
        body = _call(call, data)
        return body + b"\xe9" + struct.pack("<i", -len(body) - 5)

    return _elf(code)


def fills_up() -> bytes:
    """A program that forks processes which stay, until the kernel refuses; it writes that result and stays too."""

    def code(data: _Data) -> bytes:
        pause = _call(Call(_PAUSE), data)
        fork = _call(Call(_FORK), data)
        # test rax, rax; jg: back to fork in the parent; js: over the pause where the kernel refused
        back = -(len(fork) + 3 + 2)
        return (
            fork
            + b"\x48\x85\xc0"
            + b"\x7f"
            + struct.pack("<b", back)
            + b"\x78"
            + bytes([len(pause)])
            + pause
            + (_report(data) + pause)
        )

    return _elf(code)


def results(log: bytes) -> list[int]:
    """What `calls` wrote."""
    assert len(log) % 8 == 0, log
    return list(struct.unpack(f"<{len(log) // 8}q", log))


class _Data:
    """Bytes behind the code; `at` is where they begin."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.content = bytearray(8)

    def place(self, data: bytes) -> int:
        self.content += data + b"\0"
        return self.at + len(self.content) - len(data) - 1


def _call(call: Call, data: _Data) -> bytes:
    values = [call.number, *(data.place(arg) if isinstance(arg, bytes) else arg for arg in call.args)]
    if call.old:
        # eax is the number; ebx, ecx and edx hold what they hold.
        return _LOADS[0] + struct.pack("<Q", call.number) + _INT80
    loads = b"".join(
        load + struct.pack("<Q", value & (1 << 64) - 1) for load, value in zip(_LOADS, values, strict=False)
    )
    return loads + _SYSCALL


def _report(data: _Data) -> bytes:
    """mov [data], rax; write(1, data, 8)"""
    return b"\x48\xa3" + struct.pack("<Q", data.at) + _call(Call(1, (1, data.at, 8)), data)


def _exit(code: int) -> bytes:
    return _call(Call(231, (code,)), _Data(0))


def _elf(code) -> bytes:
    length = len(code(_Data(0)))
    data = _Data(BASE + _HEADERS + length)
    body = code(data) + bytes(data.content)
    size = _HEADERS + len(body)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 7, 0, BASE, BASE, size, size, 0x1000)
    return header + segment + body
