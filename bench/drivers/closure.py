"""`STORE NAME`: the store paths of an object's closure, one a line. NAME is the last part of the object's path."""

from __future__ import annotations

import sys

from kiln.store.paths import StorePath
from kiln.store.store import Store


def main(root: str, name: str) -> None:
    with Store.open(root, create=False) as store:
        info = store.by_path(StorePath.parse(name))
        assert info is not None, name
        sys.stdout.writelines(f"{member.path}\n" for member in store.closure([info.id]))


if __name__ == "__main__":
    main(*sys.argv[1:])
