"""A disk that is full ends in a clear error, and in a store that works once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from store_samples import child_environment, run_python

LIMITED = """
import os, resource, sys
from store_samples import add, built
from kiln.store.errors import NoSpace
from kiln.store.store import Store
place, limit, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
store = Store.open(f"{place}/store")
before = add(store, place, "before", b"b")
os.mkdir(f"{place}/tree")
with open(f"{place}/tree/big", "wb") as file:
    file.write(os.urandom(3 << 20))
output = built(store, "p", "out", {"big": b"x" * (3 << 20)})
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    if what == "source":
        store.add_object(f"{place}/tree", "big", move=False)
    else:
        for n in range(2000):
            store.put_envelope(b"{%d}" % n)
            claim = n
            store._index.update(lambda txn: txn.put(store_table, b"%d" % n, os.urandom(1000)))
    print("no error")
except NoSpace as error:
    print("NoSpace:", error.message)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(store.info(before.id) == before)
print(store.add_object(f"{place}/tree", "big", move=False).name)
print(store.add_outputs([output], []).keys())
print(store.check(contents=True))
store.close()
with Store.open(f"{place}/store") as store:
    print(store.check(contents=True), os.listdir(f"{place}/store/.tmp"))
""".replace("try:\n", "from kiln.store.index import Table\nstore_table = Table(b'z', 'test')\ntry:\n", 1)


@pytest.mark.parametrize("what,limit", [("source", 1 << 20), ("index", 1 << 18)])
def test_a_limit_on_file_sizes(place: str, what: str, limit: int) -> None:
    answer = run_python(LIMITED, place, str(limit), what)
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("NoSpace: no space left while"), (lines, answer.stderr)
    assert lines[1:] == ["True", "big", "dict_keys(['out'])", "[]", "[] []"], answer.stderr


FULL = """
import os, sys
from store_samples import add, make
from kiln.store.errors import NoSpace
from kiln.store.store import Store
place = sys.argv[1]
small = f"{place}/small"
store = Store.open(f"{small}/store")
before = add(store, place, "before", b"b")
failed = 0
for size in (4 << 20, 1 << 20, 300_000, 60_000, 9_000, 4_000, 100):
    for n in range(60):
        try:
            add(store, place, f"fill-{size}-{n}", {"f": os.urandom(size)})
        except NoSpace as error:
            failed += 1
            break
print("failed at", failed, "sizes")
print(store.info(before.id) == before, store.check(contents=True))
store.close()
import shutil
for name in os.listdir(place):
    if name.startswith("source-"):
        os.system(f"rm -rf {place}/{name}")
os.unlink(f"{small}/ballast")
with Store.open(f"{small}/store") as store:
    print(store.check(contents=True), os.listdir(f"{small}/store/.tmp"))
    print(add(store, place, "after", {"f": os.urandom(200_000)}).name, store.check(contents=True))
"""


@pytest.mark.parametrize("options", ["size=6m", "size=40m,nr_inodes=120"])
def test_a_small_file_system(place: str, options: str) -> None:
    """On a tmpfs of our own, in a namespace of our own: blocks run out, or inodes."""
    mount = (
        f"mkdir -p {place}/small && mount -t tmpfs -o {options} tmpfs {place}/small && "
        f'head -c 1m /dev/zero > {place}/small/ballast && exec "$@"'
    )
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here; the limit on file sizes is tested instead")
    import sys

    answer = subprocess.run(
        [*unshare, "sh", "-c", mount, "sh", sys.executable, "-c", FULL, place],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = answer.stdout.splitlines()
    assert len(lines) == 4, (lines, answer.stderr[-3000:])
    assert lines[0].startswith("failed at") and int(lines[0].split()[2]) > 0
    assert lines[1:] == ["True []", "[] []", "after []"], answer.stderr
