"""On a full disk the store's own tools work: a collection frees room, a plan that builds nothing is made."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from store_samples import add, child_environment

from kiln.store.reserve import COUNT, fill, make_room, spend
from kiln.store.store import Store

FULL = """
import os, sys
from store_samples import add
from kiln.store.collect import Policy
from kiln.store.errors import NoSpace
from kiln.store.store import Store
place, exhaust = sys.argv[1], sys.argv[2]
small = f"{place}/small"
with Store.open(f"{small}/store") as store:
    held = add(store, place, "held", {"f": b"held"})
    store.add_root(f"{place}/result", held.id)
    for number in range(20):
        add(store, place, f"dead{number}", {"f": os.urandom(20_000)})
number = 0
try:
    while True:
        with open(f"{small}/ballast-{number}", "wb", buffering=0) as file:
            number += 1
            while exhaust == "blocks":
                file.write(bytes(4096))
except OSError as error:
    print(error.strerror)
with Store.open(f"{small}/store") as store:
    print(len(store.pin([held.id])), "pinned")
with Store.open(f"{small}/store") as store:
    try:
        add(store, place, "more", {"f": os.urandom(400_000), "g": b"1", "h": b"2"})
        print("no error")
    except NoSpace as error:
        print("NoSpace")
print(Store.rebuild_index(f"{small}/store").objects, "in the new index")
with Store.open(f"{small}/store") as store:
    print(len(store.repair().mended), "mended")
with Store.open(f"{small}/store") as store:
    print(len(store.collect(Policy()).objects), "collected")
    store.sweep_rest()
with Store.open(f"{small}/store") as store:
    print(add(store, place, "after", {"f": os.urandom(100_000), "g": b"1"}).name, store.check(contents=True))
print(len(os.listdir(f"{small}/store/reserve")), "in reserve")
"""


@pytest.mark.parametrize("exhaust,options", [("blocks", "size=6m"), ("inodes", "size=40m,nr_inodes=300")])
def test_a_full_disk(place: str, exhaust: str, options: str) -> None:
    mount = f'mkdir -p {place}/small && mount -t tmpfs -o {options} tmpfs {place}/small && exec "$@"'
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    answer = subprocess.run(
        [*unshare, "sh", "-c", mount, "sh", sys.executable, "-c", FULL, place, exhaust],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout.splitlines() == [
        "No space left on device",
        "1 pinned",
        "NoSpace",
        "21 in the new index",
        "0 mended",
        "20 collected",
        "after []",
        f"{COUNT} in reserve",
    ], (answer.stdout, answer.stderr[-3000:])


def test_it_is_kept_and_made_again(place: str) -> None:
    with Store.open(f"{place}/store") as store:
        layout = store.layout
        add(store, place, "thing", b"1")
    folder = f"{place}/store/reserve"
    assert len(os.listdir(folder)) == COUNT
    assert not make_room(layout), "this disk is not full"
    assert spend(layout, 1) == 1 and len(os.listdir(folder)) == COUNT - 1
    fill(layout)
    assert len(os.listdir(folder)) == COUNT
    assert spend(layout) == COUNT and spend(layout) == 0
    Store.open(f"{place}/store").close()
    assert os.listdir(folder) == [], "who only reads writes nothing"
