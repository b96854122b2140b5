"""The fixed facts inside every sandbox: users, names, environment, what /proc says, limits.

Part of the sandbox epoch (`kiln.interpreter.derivation.SANDBOX_EPOCH`): whatever changes here changes what a builder
can observe, and raises the epoch, from the first release on. What a builder can learn of its machine in spite of
them is declared in docs/spec/sandbox.md.
"""

from __future__ import annotations

UID, GID = 1000, 100
NOBODY = 65534
HOST, DOMAIN = "localhost", "localdomain"
MEMORY = 8 << 30
"""What /proc/meminfo and sysinfo claim; bytes."""
PROCESSORS = 4
"""What /proc/cpuinfo, /proc/stat and sched_getaffinity claim, and KILN_JOBS (docs/adr/0011)."""

BUILD, TMP, STORE, SECRETS = "build", "tmp", "kiln/store", "run/secrets"
"""Places relative to the root."""

ENVIRONMENT = {
    "PATH": "/bin:/usr/bin",
    "HOME": "/homeless",
    "TMPDIR": "/tmp",
    "TMP": "/tmp",
    "TEMP": "/tmp",
    "TZ": "UTC0",
    "LC_ALL": "C",
    "SOURCE_DATE_EPOCH": "315532800",
    "KILN_JOBS": str(PROCESSORS),
}
"""What a builder finds unless its derivation sets it. /homeless does not exist, so that a build that reads a user's
settings fails where it does. 315532800 is 1980-01-01, the first time that a zip file can hold. `UTC0` needs no time
zone database."""

ETC = {
    "passwd": (
        "root:x:0:0:root:/:/noshell\n"
        f"build:x:{UID}:{GID}:Kiln's builder:/build:/noshell\n"
        f"nobody:x:{NOBODY}:{NOBODY}:nobody:/:/noshell\n"
    ),
    "group": f"root:x:0:\nbuild:x:{GID}:\nnogroup:x:{NOBODY}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
}

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}

RELEASE = "5.12.0"
VERSION = "#1 SMP PREEMPT"
MACHINE = "x86_64"

PROC_KEEP = ("self", "thread-self", "mounts", "net")
"""Entries of /proc beside the processes that stay as they are: links into a process's own folder."""


def proc_fakes() -> tuple[tuple[str, str], ...]:
    """Paths below /proc and what they say. `sys` is a folder made of these; every other entry is empty."""
    processors = "".join(
        f"processor\t: {core}\nvendor_id\t: Kiln\nmodel name\t: x86_64\nphysical id\t: 0\n"
        f"core id\t\t: {core}\ncpu cores\t: {PROCESSORS}\n\n"
        for core in range(PROCESSORS)
    )
    ticks = "0 0 0 0 0 0 0 0 0 0"
    cpus = "".join(f"cpu{core} {ticks}\n" for core in range(PROCESSORS))
    kilobytes = MEMORY >> 10
    return (
        ("cmdline", "\n"),
        ("cpuinfo", processors),
        ("devices", "Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n\nBlock devices:\n"),
        ("filesystems", "nodev\tproc\nnodev\ttmpfs\nnodev\tdevpts\n\text4\n"),
        ("loadavg", "0.00 0.00 0.00 1/1 1\n"),
        ("meminfo", _meminfo(kilobytes)),
        ("stat", f"cpu  {ticks}\n{cpus}intr 0\nctxt 0\nbtime 0\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n"),
        ("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
        ("uptime", "1.00 1.00\n"),
        ("version", f"Linux version {RELEASE} (kiln) {VERSION}\n"),
        ("sys/fs/file-max", "1048576\n"),
        ("sys/fs/nr_open", "1048576\n"),
        ("sys/fs/pipe-max-size", "1048576\n"),
        ("sys/kernel/cap_last_cap", "40\n"),
        ("sys/kernel/domainname", f"{DOMAIN}\n"),
        ("sys/kernel/hostname", f"{HOST}\n"),
        ("sys/kernel/ngroups_max", "65536\n"),
        ("sys/kernel/osrelease", f"{RELEASE}\n"),
        ("sys/kernel/ostype", "Linux\n"),
        ("sys/kernel/overflowgid", f"{NOBODY}\n"),
        ("sys/kernel/overflowuid", f"{NOBODY}\n"),
        ("sys/kernel/pid_max", "4194304\n"),
        ("sys/kernel/random/boot_id", "00000000-0000-4000-8000-000000000000\n"),
        ("sys/kernel/randomize_va_space", "0\n"),
        ("sys/kernel/threads-max", "4096\n"),
        ("sys/kernel/version", f"{VERSION}\n"),
        ("sys/net/core/somaxconn", "4096\n"),
        ("sys/vm/max_map_count", "65530\n"),
        ("sys/vm/overcommit_memory", "0\n"),
    )


def _meminfo(kilobytes: int) -> str:
    rows = {"MemTotal": kilobytes, "MemFree": kilobytes, "MemAvailable": kilobytes}
    rows |= dict.fromkeys(("Buffers", "Cached", "SwapCached", "SwapTotal", "SwapFree"), 0)
    return "".join(f"{name + ':':<16}{value:>8} kB\n" for name, value in rows.items())


# Numbers of <asm-generic/resource.h>; -1 is no limit.
_CPU, _FSIZE, _DATA, _STACK, _CORE, _RSS, _NPROC, _NOFILE = range(8)
_MEMLOCK, _AS, _LOCKS, _SIGPENDING, _MSGQUEUE, _NICE, _RTPRIO, _RTTIME = range(8, 16)

PROCESSES = 4096
RLIMITS = (
    (_CPU, -1, -1),
    (_FSIZE, -1, -1),
    (_DATA, -1, -1),
    (_STACK, 8 << 20, -1),
    (_CORE, 0, 0),
    (_RSS, -1, -1),
    # Counted for each user namespace on its own (Linux 5.14), so that builds don't use up each other's.
    (_NPROC, PROCESSES, PROCESSES),
    # The kernel's own ceiling for an ordinary user (INR_OPEN_MAX), which few machines lower.
    (_NOFILE, 4096, 4096),
    (_MEMLOCK, 64 << 10, 64 << 10),
    (_AS, -1, -1),
    (_LOCKS, -1, -1),
    (_SIGPENDING, 4096, 4096),
    (_MSGQUEUE, 819200, 819200),
    (_NICE, 0, 0),
    (_RTPRIO, 0, 0),
    (_RTTIME, -1, -1),
)
OUT_OF_MEMORY = 1000
"""A build is the first thing that the kernel sacrifices, and every user may raise this as far."""
PERSONALITY = 0x0040000
"""ADDR_NO_RANDOMIZE."""
UMASK = 0o022

ROOT_SIZE, ROOT_INODES = 64 << 20, 65536
TMP_SIZE, TMP_INODES = 4 << 30, 1 << 20
SHM_SIZE, SHM_INODES = 1 << 30, 65536
