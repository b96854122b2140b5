"""Does a sandbox start here? The answer that `kiln doctor` gives, by starting one.

The program in it is the smallest that there is: 132 bytes of ELF (System V ABI, chapter 4) whose code calls
exit_group(0).
"""

from __future__ import annotations

import os
import shutil
import struct

from kiln.interpreter.derivation import Limits
from kiln.interpreter.sandbox.result import SandboxResult
from kiln.interpreter.sandbox.run import run_sandbox
from kiln.interpreter.sandbox.spec import Identity, SandboxSpec
from kiln.store.paths import ALPHABET, HASH_CHARS, StorePath

_BASE, _HEADERS = 0x400000, 64 + 56
# xor edi, edi; mov eax, 231; syscall
_CODE = b"\x31\xff\xb8\xe7\x00\x00\x00\x0f\x05" + bytes(3)
_NAME = StorePath(ALPHABET[0] * HASH_CHARS, "trial")


def try_sandbox(folder: str, identity: Identity) -> SandboxResult:
    """Run a program that does nothing, in folders made in `folder` and removed again.

    `folder` lies where the store lies. The result tells what was in force. Raises SandboxError with the reason and
    the remedy.
    """
    room = os.path.join(folder, f"trial-{os.getpid()}")
    os.mkdir(room, 0o755)
    try:
        for name in ("store", "build", "out"):
            os.mkdir(os.path.join(room, name), 0o755)
        program = os.path.join(room, "store", _NAME.base)
        _write_program(program)
        spec = SandboxSpec(
            inputs=((program, _NAME),),
            outputs=(),
            build_dir=os.path.join(room, "build"),
            out_dir=os.path.join(room, "out"),
            argv=(str(_NAME),),
            limits=Limits(time=60, silence=60, log=1 << 16),
        )
        return run_sandbox(spec, identity, log=lambda data: None)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _write_program(path: str) -> None:
    size = _HEADERS + len(_CODE)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o555)
    with os.fdopen(descriptor, "wb") as file:
        file.write(header + segment + _CODE)
