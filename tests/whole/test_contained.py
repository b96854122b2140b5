"""What a build must not do: each fails, or stays without effect, as a whole `kiln realise`."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile

import pytest

from tests.support.processes import with_word

HEAD = """\
import "std/c" as c;
import "std/fetch" as fetch;

pub type Made = c.Package({ input: Out(File) }, {}, { out: File });

let input: Out(File) = write_file("input", "as it was\\n");
"""


def realise(home, script, code=0):
    """Realise a build with this script, and an input to read."""
    body = "".join(f"    {line}\n" for line in script.splitlines())
    text = f"""{HEAD}
pub let default: Made = c.package({{
  name = "made", version = "1", tc = c.shell, deps = {{ input }}, opts = {{}}, outputs = {{ out = File }},
  script = fn(b) => sh\"""
{body}    \""",
}});
"""
    home.write("main.kiln", text)
    return home.kiln("realise", "main.kiln").expect(code)


def result(home):
    with open(os.path.join(home.work, "result"), encoding="utf-8") as file:
        return file.read()


@pytest.fixture
def listener():
    """A server of this host that counts who comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def visitors(server):
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return 0
    return 1


def test_a_build_that_needs_the_network_fails(builder, listener):
    port = listener.getsockname()[1]
    done = realise(builder, f"wget -O %{{b.out}} http://127.0.0.1:{port}/", 4)
    assert "error[K0450]" in done.err
    assert visitors(listener) == 0


def test_a_build_sees_its_own_loopback_and_no_other_interface(builder):
    realise(builder, "ifconfig -a | grep -c Link > %{b.out}")
    assert result(builder) == "1\n"


def test_a_name_resolves_to_nothing(builder):
    realise(builder, "if nslookup packages.example.org; then exit 1; fi; echo none > %{b.out}")
    assert result(builder) == "none\n"


def test_a_file_of_the_host_is_not_there(builder, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("of the host")
    done = realise(builder, f"cat {secret} > %{{b.out}}", 4)
    assert "No such file" in done.err
    assert "of the host" not in done.err


@pytest.mark.parametrize(
    "path", ("/usr/lib", "/opt", "/root", "/home", "/sys/class", "/var/lib", "/kiln/store/.links")
)
def test_a_folder_of_the_host_is_not_there(builder, path):
    realise(
        builder,
        f'if [ -e {path} ] && [ -n "$(ls -A {path})" ]; then ls -A {path}; exit 1; fi; echo none > %{{b.out}}',
    )
    assert result(builder) == "none\n"


def test_users_and_programs_are_the_sandbox_s_own(builder):
    realise(builder, "{ cut -d: -f1 /etc/passwd; ls /bin /usr/bin; } > %{b.out}")
    assert result(builder).split() == ["root", "build", "nobody", "/bin:", "sh", "/usr/bin:", "env"]


def test_the_store_shows_inputs_alone(builder):
    builder.write("other.kiln", 'pub let default: Out(File) = write_file("unrelated", "nobody asked for it");')
    builder.kiln("realise", "other.kiln", "--no-link").expect()
    assert any(name.endswith("-unrelated") for name in os.listdir(builder.objects))
    realise(builder, 'shown=$(ls /kiln/store)\necho "$shown" %{b.deps.input} > %{b.out}')
    names = {os.path.basename(word).partition("-")[2] for word in result(builder).split()}
    assert names == {"busybox-1.35.0", "input"}


def test_an_input_can_not_be_written(builder):
    done = realise(builder, "chmod u+w %{b.deps.input} || true\necho changed > %{b.deps.input}", 4)
    assert "Read-only file system" in done.err
    path = next(name for name in os.listdir(builder.objects) if name.endswith("-input"))
    with open(os.path.join(builder.objects, path), encoding="utf-8") as file:
        assert file.read() == "as it was\n"
    builder.kiln("doctor", "--contents").expect()


def test_an_input_can_not_be_removed_or_replaced(builder):
    script = "if rm -f %{b.deps.input} || mv /build %{b.deps.input}; then exit 1; fi\ncat %{b.deps.input} > %{b.out}"
    realise(builder, script)
    assert result(builder) == "as it was\n"


def test_a_process_left_behind_is_gone_before_outputs_are_read(builder):
    word = f"left-behind-{os.getpid()}"
    script = f"""\
echo first > %{{b.out}}
for way in setsid nohup; do
  $way sh -c 'while :; do echo {word} >> %{{b.out}}; sleep 0.01; done' > /dev/null 2>&1 &
done
(trap '' TERM HUP INT; sleep 1000; : {word}) &
exec true"""
    realise(builder, script)
    assert set(result(builder).split()) <= {"first", word}
    assert with_word(word) == set()
    builder.kiln("verify", "main.kiln").expect()


def test_the_clock_and_the_machine_are_not_in_the_environment(builder):
    builder.extra["KILN_LEAK"] = "from outside"
    realise(builder, "env | sort > %{b.out}")
    shown = result(builder)
    assert "from outside" not in shown and builder.folder not in shown
    assert "SOURCE_DATE_EPOCH=" in shown


def test_a_build_runs_without_rights(builder):
    realise(builder, "{ id -u; id -g; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; } > %{b.out}")
    assert result(builder).split() == ["1000", "100", "CapEff:", "0000000000000000", "NoNewPrivs:", "1"]


def archive(*members):
    """A tar of (name, bytes or the target of a symlink)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
    return out.getvalue()


ESCAPES = {
    "a name that climbs": archive(("good", b"x"), ("../../escaped", b"x")),
    "an absolute name": archive(("/tmp/escaped-from-an-archive", b"x")),
    "a file through a link": archive(("link", "/tmp"), ("link/escaped-from-an-archive", b"x")),
    "a link that climbs": archive(("folder/link", "../../../escaped")),
}


@pytest.mark.parametrize("data", ESCAPES.values(), ids=ESCAPES)
def test_an_archive_that_escapes(home, data, tmp_path):
    path = tmp_path / "archive.tar"
    path.write_bytes(data)
    pin = hashlib.sha256(data).hexdigest()
    text = f'pub let default: Out(Tree) = fetch.tarball("file://{path}", hash = "sha256:{pin}", strip = 0);'
    home.write("main.kiln", f'import "std/fetch" as fetch;\n{text}\n')
    done = home.kiln("realise", "main.kiln").expect(4)
    assert "error[K0512]" in done.err and done.out == ""
    assert not os.path.lexists(os.path.join(home.work, "result"))
    assert [name.partition("-")[2] for name in os.listdir(home.objects)] == ["archive.tar"]
    assert not any(name.startswith("escaped") for name in os.listdir("/tmp"))
    home.kiln("doctor", "--contents").expect()


def test_a_download_with_a_wrong_digest(home, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"other bytes")
    pin = hashlib.sha256(b"what was pinned").hexdigest()
    text = f'pub let default: Out(File) = fetch.file("file://{path}", hash = "sha256:{pin}");'
    home.write("main.kiln", f'import "std/fetch" as fetch;\n{text}\n')
    done = home.kiln("realise", "main.kiln", "--json").expect(5)
    assert done.document["error"]["code"] == "K0501"
    assert os.listdir(home.objects) == []
    home.kiln("doctor", "--contents").expect()
