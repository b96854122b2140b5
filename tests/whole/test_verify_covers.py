"""`kiln verify` believes the index nothing: the envelope has to be about the target."""

from __future__ import annotations

import json
import os

from kiln.store.paths import OutputName, StorePath
from kiln.store.provenance.keyfile import open_keys
from kiln.store.records import make_claim, sign_witness
from kiln.store.store import Store

FILE = 'pub let default: Out(File) = write_file("made.txt", "text");\n'


def test_an_envelope_about_something_else_is_not_evidence(home):
    home.write("main.kiln", FILE)
    made = home.kiln("realise", "main.kiln").expect().lines[0]
    forged = home.write("forged.txt", "other text")
    with Store.open(home.store) as store:
        true = store.by_path(StorePath.parse(os.path.basename(made)))
        ((claim, witness, *_),) = store.producers(true.id)
        info = store.add_object(forged, "made.txt", move=False)
        lie = make_claim(claim.resolved, OutputName("out"), info.id, info.root, info.size, ())
        signer = open_keys(os.path.join(home.folder, "config/kiln/keys/builder.key")).signer()
        store.put_witness(lie, sign_witness(signer, lie, witness.envelope, started=1, finished=2))
    home.kiln("verify", made).expect()
    refused = home.kiln("verify", str(info.path)).expect(6)
    assert "error[K0609]" in refused.err and "about something else" in refused.err


def test_what_was_not_looked_at_is_said(home):
    home.write("main.kiln", FILE)
    home.kiln("realise", "main.kiln").expect()
    data = home.kiln("verify", "main.kiln", "--json").expect().document["data"]
    assert (data["absent"], data["unsigned"], data["envelopes"]) == (0, [], 1)
    home.write("src/a.txt", "")
    home.write("own.kiln", "pub let default: Out(Tree) = source(`./src`);\n")
    home.kiln("realise", "own.kiln", "--no-link").expect()
    done = home.kiln("verify", "own.kiln", "--json", "-q").expect()
    assert len(done.document["data"]["unsigned"]) == 1 and "no provenance" in done.err


def test_the_commit_is_told_again_for_each(home):
    """What another command evaluated is not kept from being recorded."""
    home.write("main.kiln", FILE)
    home.kiln("show", "main.kiln").expect()
    home.kiln("realise", "main.kiln").expect()
    home.write("main.kiln", "# a remark\n" + FILE)
    home.kiln("show", "main.kiln").expect()
    first = home.kiln("show", "main.kiln", "--resolution").expect().out
    home.kiln("realise", "main.kiln").expect()
    second = home.kiln("show", "main.kiln", "--resolution").expect().out
    assert json.loads(first)["payload"] != json.loads(second)["payload"]


def test_what_lies_below_a_result_is_named_by_it(home):
    home.write("src/folder/a.txt", "")
    home.write("own.kiln", "pub let default: Out(Tree) = source(`./src`);\n")
    home.kiln("realise", "own.kiln").expect()
    assert "-src" in home.kiln("show", "result/folder/a.txt").expect().out
    home.kiln("show", "own.kiln/x").expect(2)


def test_odd_surroundings(home):
    home.write("main.kiln", FILE)
    home.kiln("run", "main.kiln", "-j", "-1").expect(2)
    home.kiln("reproduce", "main.kiln", "-j", "0").expect(2)
    home.extra["PYTHONIOENCODING"] = "ascii"
    home.kiln("doctor").expect()
    del home.extra["PYTHONIOENCODING"]
    home.store, home.extra["KILN_STORE"] = os.path.join(home.work, "mine"), "mine"
    made = home.kiln("realise", "main.kiln").expect().lines[0]
    assert made == os.path.realpath(os.path.join(home.work, "result")) and os.path.isfile(made)


def test_a_trusted_key_is_kept_whatever_the_umask(home):
    key = home.kiln("key", "show").expect().out.strip()
    other = Store and "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    home.run(["sh", "-c", f"umask 002; $KILN trust add ci {other}"]).expect()
    assert "ci" in home.kiln("trust", "list").expect().out
    home.kiln("trust", "add", "two words", key).expect(6)
    home.kiln("trust", "add", f"x\n{'0' * 64} {key} y", key).expect(6)
