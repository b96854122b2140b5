"""Every code that a message can carry is explained, and every explanation says something."""

from __future__ import annotations

import os
import re

from tests.support.home import REPOSITORY

CODE = re.compile(r"""["'](K\d{4})["']""")


def explained():
    from kiln.commands.explain import all_codes

    return all_codes()


def used():
    """Each code in the source, and a file that names it."""
    found = {}
    for folder in ("kiln/commands", "lang", "store", "interpreter"):
        for place, _, names in os.walk(os.path.join(REPOSITORY, folder)):
            for name in names:
                if name.endswith(".py") and name != "codes.py":
                    path = os.path.join(place, name)
                    with open(path, encoding="utf-8") as file:
                        found.update(dict.fromkeys(CODE.findall(file.read()), os.path.relpath(path, REPOSITORY)))
    return found


def test_every_code_in_the_source_is_explained():
    codes = explained()
    assert {code: place for code, place in used().items() if code not in codes} == {}


def test_no_code_is_explained_in_two_folders():
    from importlib import import_module

    from kiln.commands.explain import _FOLDERS

    owners = {}
    for folder in _FOLDERS:
        for code in import_module(folder).CODES:
            owners.setdefault(code, []).append(folder)
    assert {code: folders for code, folders in owners.items() if len(folders) > 1} == {}


def test_every_file_of_codes_is_known_to_explain():
    from kiln.commands.explain import _FOLDERS

    found = set()
    for folder in ("lang", "store", "interpreter"):
        for place, _, names in os.walk(os.path.join(REPOSITORY, folder)):
            if "codes.py" in names:
                found.add("kiln." + os.path.relpath(place, REPOSITORY).replace("/", ".") + ".codes")
    assert found | {"kiln.codes", "kiln.serve.codes"} == set(_FOLDERS)


def test_titles_and_texts_are_fit_to_read():
    for code, (title, text) in explained().items():
        assert CODE.fullmatch(f'"{code}"'), code
        assert 3 < len(title) < 90 and "\n" not in title and not title.endswith("."), (code, title)
        assert len(text.split()) >= 5, (code, text)
        assert all(line.replace("\t", " ").isprintable() for line in text.splitlines()), code


def test_each_has_an_exit_code():
    from kiln.exits import Exit, exit_of

    wrong = [code for code in explained() if code != "K9999" and exit_of(code) is Exit.BUG]
    assert wrong == []


def test_the_command_lists_them_all_and_tells_each(home):
    listed = home.kiln("explain").expect().lines
    assert [line.partition("  ")[0] for line in listed] == sorted(explained())
    for code, (title, text) in list(explained().items())[::25]:
        shown = home.kiln("explain", code.lower()).expect().out
        assert shown == f"{code}: {title}\n\n{text.rstrip()}\n"
