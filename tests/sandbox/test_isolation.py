"""What a builder cannot reach: the network, the host's files, sockets, descriptors and processes; its inputs."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct

import pytest
import static_elf
from sandbox_room import path_of

pytestmark = pytest.mark.needs_namespaces


def test_there_is_no_address_but_loopback(shell):
    ran = shell("ip -o addr | grep -o 'inet[0-9a-f:./ ]*'; ip route")
    assert ran.text.splitlines() in (["inet 127.0.0.1/8 ", "inet6 ::1/128 "], ["inet 127.0.0.1/8 "])


# An address of RFC 5737 and one of RFC 3849, which are nobody's, port 80.
_ADDRESS4 = struct.pack("<H", socket.AF_INET) + b"\0\x50\xc0\0\x02\x01" + bytes(8)
_ADDRESS6 = (
    struct.pack("<H", socket.AF_INET6) + b"\0\x50" + bytes(4) + b"\x20\x01\x0d\xb8" + bytes(11) + b"\1" + bytes(4)
)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagram"])
@pytest.mark.parametrize("address", [_ADDRESS4, _ADDRESS6], ids=["IPv4", "IPv6"])
def test_no_other_machine_can_be_reached(room, kind, address):
    program = room.add_file(
        "program",
        static_elf.calls(
            static_elf.Call(41, (int.from_bytes(address[:2], "little"), kind, 0)),
            static_elf.Call(42, (3, address, len(address))),
        ),
    )
    assert static_elf.results(room.run(str(program)).log) == [3, -errno.ENETUNREACH]


def test_loopback_works(shell):
    ran = shell("(echo hello | nc -l -p 7777 &) ; sleep 0.3; nc -w 1 127.0.0.1 7777 </dev/null")
    assert ran.text == "hello\n"


def test_the_hosts_loopback_is_another(shell):
    with socket.create_server(("127.0.0.1", 0)) as server:
        ran = shell(f"nc -w 2 127.0.0.1 {server.getsockname()[1]} 2>&1 || true")
    assert "Connection refused" in ran.text


def test_an_abstract_socket_of_the_host_is_out_of_reach(room):
    name = b"\0kiln-test-%d" % os.getpid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(name)
        server.listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(name)
        address = (socket.AF_UNIX).to_bytes(2, "little") + name
        program = room.add_file(
            "program",
            static_elf.calls(
                static_elf.Call(41, (socket.AF_UNIX, socket.SOCK_STREAM, 0)),
                static_elf.Call(42, (3, address, len(address))),
            ),
        )
        assert static_elf.results(room.run(str(program)).log) == [3, -errno.ECONNREFUSED]


def test_files_of_the_host_are_not_there(room, shell, tmp_path):
    (tmp_path / "secret").write_text("secret")
    tmp_path.joinpath("secret").chmod(0o644)
    ran = shell(
        f'for path in {tmp_path} /home /usr /root /sys /var /etc/shadow /.dockerenv; do [ ! -e "$path" ]; done; ls /'
    )
    assert ran.result.status == "ok", ran
    assert ran.text.split() == ["build", "dev", "etc", "kiln", "proc", "run", "tmp"]


def test_only_the_declared_inputs_are_in_the_store(room, shell):
    room.add_tree("declared", {"file": b"1"})
    room.add_tree("undeclared", {"file": b"1"})
    room.inputs.pop()
    ran = shell("ls /kiln/store")
    assert ran.text.split() == sorted(path.base for path in room.inputs)
    assert len(room.inputs) == 2


WRITES = {
    "into a file": "echo x >> {input}/file",
    "a new file": "echo > {input}/new",
    "away with a file": "rm -f {input}/file",
    "its mode": "chmod 777 {input}/file",
    "its time": "touch {input}/file",
    "the file input": "echo x >> {file}",
    "away with the input": "rm -rf {input}",
    "to another name": "mv {input} /kiln/store/other",
    "the root": "echo > /new",
    "a user": "echo >> /etc/passwd",
    "a device": "rm -f /dev/null",
    "a kernel setting": "echo 1 > /proc/sys/kernel/randomize_va_space",
}


@pytest.mark.parametrize("script", WRITES.values(), ids=WRITES)
def test_what_is_given_cannot_be_changed(room, shell, script):
    tree = room.add_tree("input", {"file": b"1"}, mode=0o644)
    file = room.add_file("single", b"1", mode=0o644)
    ran = shell(script.format(input=tree, file=file) + " 2>&1")
    assert ran.result.status == "exit"
    assert any(
        reason in ran.text for reason in ("Read-only file system", "Device or resource busy", "Permission denied")
    )
    with open(f"{room.physical(tree)}/file", "rb") as kept, open(room.physical(file), "rb") as single:
        assert kept.read() == single.read() == b"1"


def test_no_descriptor_is_passed_on(room, shell):
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        ran = shell("ls /proc/self/fd; readlink /proc/self/fd/0")
    finally:
        os.close(reading)
        os.close(writing)
    # 3 is the folder that ls reads.
    assert ran.text.split() == ["0", "1", "2", "3", "/dev/null"]


def test_other_processes_of_the_host_are_not_seen(shell):
    ran = shell("ps -o pid,comm; ls -d /proc/1 2>&1 || true; kill -9 -1 2>&1 || true")
    assert "init" not in ran.text and "python" not in ran.text
    assert "ls: /proc/1: No such file or directory" in ran.text
    assert ran.text.endswith("can't kill pid -1: No such process\n")


LEFTOVERS = {
    "in the background": "sleep 1000 &",
    "in a session of its own": "setsid sleep 1000 &",
    "forked twice": "(setsid sh -c '(sleep 1000 &)' &);",
    "deaf to signals": "(trap '' TERM HUP INT; sleep 1000) &",
    "with its output elsewhere": "sleep 1000 </dev/null >/dev/null 2>&1 &",
    "that writes": "(while true; do echo late >> {out}/file; done) &",
}


@pytest.mark.parametrize("script", LEFTOVERS.values(), ids=LEFTOVERS)
def test_what_a_builder_leaves_running_is_dead_before_its_outputs_are_read(shell, script):
    out = path_of("result")
    ran = shell(f"mkdir {out}; readlink /proc/self/ns/pid; {script.format(out=out)} echo gone")
    assert ran.result.ok
    namespace, gone = ran.text.split()
    assert gone == "gone" and _processes_in(namespace) == []


def _processes_in(namespace: str) -> list[str]:
    """Processes of this machine, as far as this user may see them, that live in a process namespace."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                found.append(entry)
    return found


def test_the_search_for_leftovers_finds_processes():
    assert str(os.getpid()) in _processes_in(os.readlink("/proc/self/ns/pid"))


def test_a_secret_is_a_file_and_no_variable(room, shell):
    ran = shell(
        "cat /run/secrets/token; env | grep -c hidden || true; stat -c %a /run/secrets/token",
        secrets=(("token", "hidden"),),
    )
    assert ran.text == "hidden0\n400\n"


def test_a_link_of_the_toolchain(room, shell):
    busybox = f"{path_of('busybox')}/bin/busybox"
    ran = shell(
        "/bin/sh -c 'readlink /bin/sh'; /usr/bin/env | grep -c PATH",
        links=(("/bin/sh", busybox), ("/usr/bin/env", busybox)),
    )
    assert ran.text == f"{busybox}\n1\n"
