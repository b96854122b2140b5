"""Answering what a builder asks about the machine: the kernel's release, its memory, its uptime, its processors.

A filter can refuse a call, not change its result. But it may leave a call to whoever holds its listener
(seccomp_unotify(2)): process 1 receives the call, writes a fixed structure to where the caller wants it, and lets the
call return. Only `uname`, `sysinfo` and `sched_getaffinity` come this way; a program calls them once, if at all.

The caller sleeps until the answer is sent, and nothing of the answer depends on memory that it could change
meanwhile, so that there is nothing to race for. Structures are those of x86_64 (linux/seccomp.h, linux/utsname.h,
linux/sysinfo.h). Stand-alone.
"""

from __future__ import annotations

import errno
import fcntl
import struct

from kiln.interpreter.sandbox import syscalls, world

UNAME, SYSINFO, GETAFFINITY = 63, 99, 204

_RECEIVE, _SEND, _VALID = 0xC0502100, 0xC0182101, 0x40082102
_NOTICE = struct.Struct("<QIIiIQ6Q")
"""id, pid, flags, then seccomp_data: number, architecture, instruction, arguments."""
_RESPONSE = struct.Struct("<QqiI")
"""id, value, negative error, flags."""

_FIELDS = ("Linux", world.HOST, world.RELEASE, world.VERSION, world.MACHINE, world.DOMAIN)
_UTSNAME = b"".join(field.encode().ljust(65, b"\0") for field in _FIELDS)
_SYSINFO = struct.pack(
    "<q3Q6QHHI2QII", 1, 0, 0, 0, world.MEMORY, world.MEMORY, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0
)  # fmt: skip
_ANSWERS = {UNAME: _UTSNAME, SYSINFO: _SYSINFO}
_PROCESSORS = struct.pack("<Q", (1 << world.PROCESSORS) - 1)
"""The set that a kernel for 64 processors gives (sched_getaffinity(2)): one word, whose length is returned."""


def answer(listener: int) -> None:
    """Take one call from a filter's listener that is ready, and answer it."""
    notice = bytearray(_NOTICE.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, notice, True)
        call, process, _, number, _, _, *given = _NOTICE.unpack(notice)
        if number == GETAFFINITY:
            value, error = (
                len(_PROCESSORS),
                _give_processors(listener, call, process, given[1] & 0xFFFFFFFF, given[2]),
            )
        else:
            value, error = 0, _give(listener, call, process, given[0], _ANSWERS[number])
        fcntl.ioctl(listener, _SEND, _RESPONSE.pack(call, 0 if error else value, -error, 0))
    except OSError as trouble:
        # The caller was killed, or a signal has taken it out of its call: then it asks again.
        if trouble.errno not in (errno.ENOENT, errno.EINTR):
            raise


def _give_processors(listener: int, call: int, process: int, room: int, address: int) -> int:
    """As `_give`, into `room` bytes, of which the kernel takes whole words alone."""
    if room < len(_PROCESSORS) or room % len(_PROCESSORS):
        return errno.EINVAL
    return _give(listener, call, process, address, _PROCESSORS)


def _give(listener: int, call: int, process: int, address: int, data: bytes) -> int:
    """Write `data` into the caller's memory; 0, or the error number that the call returns."""
    # The process id was the caller's when the call came; as long as the call is pending, it still is.
    fcntl.ioctl(listener, _VALID, struct.pack("<Q", call))
    try:
        syscalls.write_memory(process, address, data)
    except OSError as trouble:
        return trouble.errno or errno.EFAULT
    return 0
