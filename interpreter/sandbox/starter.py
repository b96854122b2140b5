"""A program of 329 bytes that starts a builder where no launcher of ours is process 1 (see `bubbledriver.py`).

bubblewrap executes it as the last thing it does, so that the driver can look at a process in which everything is in
force before the builder's own program begins. Then it gives the builder's streams their form, closes what was passed
on, and becomes the builder's program; the error number, if it can't, goes to the driver.

    mov edi,200; mov rsi,rsp; mov edx,1; mov eax,edx; syscall            write(200, …, 1): here
    xor edi,edi; lea rsi,[rsp-8]; mov edx,1; xor eax,eax; syscall        read(0, …, 1): wait for the driver
    xor edi,edi; mov eax,3; syscall                                      close(0)
    lea rdi,[null]; xor esi,esi; mov eax,2; syscall                      open("/dev/null", O_RDONLY), which is 0
    mov edi,1; mov esi,2; mov eax,33; syscall                            dup2(1, 2)
    mov edi,200; mov esi,2; mov edx,1; mov eax,72; syscall               fcntl(200, F_SETFD, FD_CLOEXEC)
    mov edi,3; mov esi,199; xor edx,edx; mov eax,436; syscall            close_range(3, 199, 0)
    mov edi,201; mov esi,-1; xor edx,edx; mov eax,436; syscall           close_range(201, ~0, 0)
    mov rcx,[rsp]; lea rdx,[rsp+rcx*8+16]; lea rsi,[rsp+16]; mov rdi,[rsi]
    mov eax,59; syscall                                                  execve(argv[1], argv + 1, environment)
    neg eax; mov [rsp-8],eax
    mov edi,200; lea rsi,[rsp-8]; mov edx,4; mov eax,1; syscall          write(200, error number, 4)
    mov edi,127; mov eax,231; syscall                                    exit_group(127)
    null: "/dev/null"

Calls and registers are those of the System V ABI for x86_64. Stand-alone.
"""

from __future__ import annotations

import struct

STATUS = 200
"""The descriptor on which it reports: one byte when it is there, four of an error number if it could not execute."""

_BASE, _HEADERS = 0x400000, 64 + 56
_CODE = bytes.fromhex(
    "bfc80000004889e6ba0100000089d00f0531ff488d7424f8ba0100000031c00f0531ffb8030000000f05488d3d9600000031f6b802000000"
    "0f05bf01000000be02000000b8210000000f05bfc8000000be02000000ba01000000b8480000000f05bf03000000bec700000031d2b8b401"
    "00000f05bfc9000000beffffffff31d2b8b40100000f05488b0c24488d54cc10488d742410488b3eb83b0000000f05f7d8894424f8bfc800"
    "0000488d7424f8ba04000000b8010000000f05bf7f000000b8e70000000f052f6465762f6e756c6c00"
)


def starter() -> bytes:
    """The program as a file's bytes."""
    size = _HEADERS + len(_CODE)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000) + _CODE
