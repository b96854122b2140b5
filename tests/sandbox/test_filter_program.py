"""The system call filter as a program: run by a small interpreter and compared with its table of rules."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiln.interpreter.sandbox import seccomp
from kiln.interpreter.sandbox.seccomp import Allow, AllowWhen, Among, Ask, Bits, Refuse, RefuseWhen

X32 = 0x40000000
PROGRAMS = {ask: seccomp.build_filter(ask=ask) for ask in (False, True)}


def run(program: bytes, number: int, args: tuple[int, ...] = (0,) * 6, arch: int = seccomp.AUDIT_ARCH_X86_64) -> int:
    """Interpret a filter as the kernel does (bpf(4), classic): every jump must land inside it."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *args)
    steps = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    at, accumulator = 0, 0
    while True:
        code, jt, jf, k = steps[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == 0x05:
            at += k
        elif code == 0x06:
            return k
        else:
            holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[code]
            at += jt if holds else jf


def expected(number: int, args: tuple[int, ...], ask: bool) -> int:
    """What the table says, without any assembling."""
    if ask and number in seccomp.ASKED:
        return seccomp.RET_USER_NOTIF
    if number >= seccomp.FIRST_UNKNOWN:
        return seccomp.RET_ERRNO | errno.ENOSYS
    match seccomp.RULES.get(number, Allow()):
        case Allow():
            return seccomp.RET_ALLOW
        case Ask():
            return seccomp.RET_USER_NOTIF
        case Refuse(error):
            return seccomp.RET_ERRNO | error
        case RefuseWhen(tests, error):
            return seccomp.RET_ERRNO | error if all(holds(test, args) for test in tests) else seccomp.RET_ALLOW
        case AllowWhen(alternatives, error):
            allowed = any(all(holds(test, args) for test in tests) for tests in alternatives)
            return seccomp.RET_ALLOW if allowed else seccomp.RET_ERRNO | error


def holds(test, args):
    match test:
        case Bits(arg, bits):
            return bool(args[arg] & 0xFFFFFFFF & bits)
        case Among(arg, values):
            return args[arg] & 0xFFFFFFFF in values


interesting = st.sampled_from([0, 1, 2, 3, 10, 16, 40, 0o100, 0o644, 0o4755, 0o2755, 0o20200002, 0x40000, 0xFFFFFFFF])
arguments = st.tuples(*[interesting | st.integers(0, 2**64 - 1)] * 6)


@settings(deadline=None)
@given(number=st.integers(0, 600) | st.sampled_from(sorted(seccomp.RULES)), args=arguments, ask=st.booleans())
def test_the_program_decides_as_its_table(number, args, ask):
    assert run(PROGRAMS[ask], number, args) == expected(number, args, ask)


@pytest.mark.parametrize("ask", [False, True])
def test_every_number_is_decided_as_its_table_says(ask):
    for number in range(1024):
        assert run(PROGRAMS[ask], number) == expected(number, (0,) * 6, ask), number


@pytest.mark.parametrize("arch", [0x40000003, 0xC00000B7, 0], ids=["i386", "aarch64", "none"])
def test_other_architectures_have_no_calls(arch):
    assert run(PROGRAMS[True], 39, arch=arch) == seccomp.RET_ERRNO | errno.ENOSYS


@pytest.mark.parametrize("number", [0, 39, 101, 442, 512, 547])
def test_x32_has_no_calls(number):
    assert run(PROGRAMS[True], X32 + number) == seccomp.RET_ERRNO | errno.ENOSYS


@settings(deadline=None)
@given(
    rules=st.dictionaries(
        st.integers(0, 99),
        st.builds(Refuse, st.integers(1, 133))
        | st.builds(
            RefuseWhen, st.tuples(st.builds(Bits, st.integers(0, 5), st.integers(1, 2**32 - 1))), st.integers(1, 133)
        ),
    )
)
def test_any_table_assembles_to_a_program_that_decides_alike(rules):
    program = seccomp.encode(seccomp.assemble(rules, first_unknown=100))
    for number in range(110):
        verdict = run(program, number)
        if number >= 100:
            assert verdict == seccomp.RET_ERRNO | errno.ENOSYS
        elif number not in rules or isinstance(rules[number], RefuseWhen):
            assert verdict == seccomp.RET_ALLOW
        else:
            assert verdict == seccomp.RET_ERRNO | rules[number].error


def test_the_program_is_within_the_kernels_limit():
    assert all(len(program) // 8 <= 4096 for program in PROGRAMS.values())
