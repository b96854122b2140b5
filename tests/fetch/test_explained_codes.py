"""Every error that this folder raises is explained."""

from __future__ import annotations

from kiln.interpreter.fetch import errors
from kiln.interpreter.fetch.codes import CODES


def below(kind):
    return {kind, *(deeper for child in kind.__subclasses__() for deeper in below(child))}


def test_every_code_is_explained_once_and_no_other():
    kinds = below(errors.FetchError)
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes))
    assert sorted(codes) == sorted(CODES)
    assert all(title and text for title, text in CODES.values())
