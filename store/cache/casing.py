"""Names that some file systems take for one: what has them is not shared, since one file would replace the other."""

from __future__ import annotations

import os
import unicodedata

from kiln.store.cache.errors import CacheError
from kiln.store.ingest import show_path
from kiln.store.manifest import decode_directory
from kiln.store.meta import ObjectMeta


class CaseClash(CacheError):
    """An object with two names in one folder that some file systems take for one."""

    code = "K0675"


def check_names(meta: ObjectMeta) -> None:
    """Raise CaseClash where a folder of another system could not hold the object's names."""
    for directory in meta.manifest.directories:
        names = [name for name, _ in decode_directory(directory)]
        if len({name.lower() for name in names}) == len(names) and all(map(bytes.isascii, names)):
            continue
        folded: dict[str, bytes] = {}
        for name in names:
            other = folded.setdefault(unicodedata.normalize("NFC", os.fsdecode(name).casefold()), name)
            if other != name:
                raise CaseClash(
                    "an object cannot be shared: two names in one folder differ by case alone",
                    found=f"{show_path(other)} and {show_path(name)} in {meta.info.path}",
                    help="rename one of them in the build",
                )
