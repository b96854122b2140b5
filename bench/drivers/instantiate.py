"""`STORE CACHE FILE`: the derivation that a build file's default comes to, by evaluation or from the answer kept.

What every command of Kiln does before it plans anything, and no more: load, check, evaluate, hash every derivation,
keep the answer; or find that nothing changed.
"""

from __future__ import annotations

import gc
import sys

from kiln.context import make_store
from kiln.interpreter.answers import Target, recall
from kiln.interpreter.derivation import DrvOutput


def main(store_root: str, cache: str, file: str) -> None:
    answer = recall(cache, file, "")
    for target in answer.targets if answer is not None else _evaluated(store_root, cache, file):
        assert isinstance(target.item, DrvOutput)
        print(target.item.drv.hex())
    gc.freeze()  # as the command line does at its end


def _evaluated(store_root: str, cache: str, file: str) -> list[Target]:
    from kiln.interpreter.asking import Request, ask, keep_answers

    with make_store(store_root) as store:
        asked = ask([Request(file)], store)
        keep_answers([Request(file)], asked, cache)
        return asked.wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
