"""`kiln cache use|list|remove|status` and `kiln challenge`, as users meet them: nothing is trusted unasked."""

from __future__ import annotations

import json
import os
import pty
import shutil
from pathlib import Path

import pytest
from cache_samples import identity, upstream

from kiln.store.cache.backend import open_backend
from kiln.store.cache.push import Options, push
from kiln.store.cache.rows import ClaimRow
from kiln.store.cache.selection import Selection
from kiln.store.digest import EnvelopeDigest, ObjectId
from kiln.store.provenance.keyfile import open_keys
from kiln.store.provenance.keys import SecretKey
from kiln.store.records import sign_witness
from kiln.store.store import Store
from tests.support.home import Home
from tests.support.lyingserver import LyingServer

LIAR = SecretKey.of(bytes([7]) * 32)
PROGRAM = 'pub let default: Out(File) = write_file("greeting.txt", "hello");\n'


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """A builder, and a cache that holds what he made. Read alone: tests copy it."""
    home = Home(str(tmp_path_factory.mktemp("builder")))
    home.write("main.kiln", PROGRAM)
    home.kiln("realise", "main.kiln", "--no-link").expect()
    home.kiln("cache", "push", "main.kiln", "--to", "../team", "--as", "ci").expect()
    return home


@pytest.fixture
def cache(pushed, tmp_path):
    """A copy of the cache."""
    return shutil.copytree(os.path.join(pushed.folder, "team"), tmp_path / "team")


@pytest.fixture
def user(tmp_path):
    made = Home(str(tmp_path / "user"))
    made.write("main.kiln", PROGRAM)
    return made


@pytest.fixture
def key(pushed):
    return pushed.kiln("key", "show").expect().out.strip()


def written(home):
    """What the user's files say of caches and keys."""
    texts = []
    for name in ("caches", "trusted-keys"):
        path = os.path.join(home.folder, "config/kiln", name)
        texts.append(Path(path).read_text() if os.path.exists(path) else "")
    return texts


def use(home, url, *words):
    return home.kiln("cache", "use", str(url), *words)


NAMED = (
    ("cache", "status", "--cache"),
    ("challenge", "main.kiln", "--cache"),
    ("cache", "pull", "main.kiln", "--from"),
)


def shown_to(server):
    """What a server was shown to be let in, since it was last looked at."""
    found = {asked.headers.get("authorization") for asked in server.asked}
    server.asked.clear()
    return found


class TestUse:
    def test_nobody_to_ask_is_an_error_with_the_next_command(self, user, cache, key):
        refused = use(user, cache).expect(6)
        assert "error[K0669]" in refused.err and key in refused.err and written(user) == ["", ""]
        command = refused.err.split("help: kiln ")[1].strip().split()
        assert command[-2:] == ["--key", key]
        assert "✔ team is used from now on" in user.kiln(*command).expect().err
        caches, keys = written(user)
        assert caches.splitlines()[1:] == [f"team {cache}"]
        assert f"{key} ci added=" not in keys and f" {key} ci cache=team added=" in keys
        assert user.kiln("cache", "list").expect().out == f"team {cache}\n"
        trust = user.kiln("trust", "list").expect().lines
        assert len(trust) == 2 and trust[1].endswith("cache=team")

    def test_yes_without_a_key_trusts_nothing(self, user, cache, key):
        assert "error[K0669]" in use(user, cache, "--yes").expect(6).err
        assert written(user) == ["", ""]

    def test_a_key_that_nobody_has_there(self, user, cache, key):
        other = str(LIAR.public_key)
        refused = use(user, cache, "--yes", "--key", other).expect(6)
        assert "error[K0669]" in refused.err and other in refused.err and key in refused.err
        assert "error[K0605]" in use(user, cache, "--yes", "--key", key[:-1]).expect(6).err
        assert written(user) == ["", ""]

    @pytest.mark.parametrize("answer", [b"y\n", b"n\n", b"\n"])
    def test_a_person_is_asked(self, user, cache, key, answer):
        ours, theirs = pty.openpty()
        running = user.start("cache", "use", str(cache), stdin=theirs, stderr=-1, stdout=-1)
        os.write(ours, answer)
        _, err = running.communicate(timeout=60)
        os.close(ours), os.close(theirs)
        assert (
            running.returncode == (0 if answer == b"y\n" else 6)
            and f"over a way that you trust:  {key}" in err.decode()
        )
        assert (key in written(user)[1]) is (answer == b"y\n")

    def test_options_names_and_a_second_time(self, user, cache, key):
        use(user, cache, "--name", "a", "--push", "--required", "--patience", "3", "--yes", "--key", key).expect()
        assert written(user)[0].splitlines()[1:] == [f"a {cache} push=after-build required patience=3"]
        use(user, cache).expect()
        assert written(user)[0].splitlines()[1:] == [f"a {cache}"]
        shutil.copytree(cache, f"{cache}-2")
        assert "error[K0659]" in use(user, f"{cache}-2", "--name", "a", "--yes", "--key", key).expect(2).err
        use(user, f"{cache}-2", "--name", "b", "--yes", "--key", key).expect()
        assert " cache=a,b " in written(user)[1]

    def test_a_revoked_key_is_shown_as_such_and_not_trusted(self, user, cache, key):
        user.kiln("trust", "add", "old", key).expect()
        user.kiln("trust", "revoke", "old").expect()
        done = use(user, cache).expect(6)
        assert "revoked 2" in done.err and "error[K0669]" in done.err
        assert written(user)[0] == "" and " cache=" not in written(user)[1]

    def test_json(self, user, cache, key):
        done = use(user, cache, "--yes", "--key", key, "--json").expect()
        assert done.document["data"]["trusted"] == [key]
        refused = use(user, cache, "--json", "--name", "x").expect(6).document
        assert refused["error"]["code"] == "K0669" and key in refused["error"]["help"]

    def test_what_is_no_cache(self, user, tmp_path, cache):
        (tmp_path / "empty").mkdir()
        assert "error[K0654]" in use(user, tmp_path / "empty").err
        assert "error[K0652]" in use(user, tmp_path / "nothing").expect(9).err
        assert "error[K0659]" in use(user, "https://me:secret@cache.example/").expect(2).err
        (cache / "kiln-cache.json").write_text('{"name":"team"}')
        assert "error[K0603]" in use(user, cache).expect(6).err
        assert written(user) == ["", ""]

    def test_the_environment_has_the_say(self, user, cache, key):
        user.extra["KILN_CACHES"] = f"ci {cache} required"
        assert user.kiln("cache", "list").expect().out == f"ci {cache} required\n"
        assert "KILN_CACHES" in use(user, cache, "--yes", "--key", key).expect(2).err
        assert "KILN_CACHES" in user.kiln("cache", "remove", "ci").expect(2).err

    def test_remove(self, user, cache, key):
        use(user, cache, "--yes", "--key", key).expect()
        done = user.kiln("cache", "remove", "team").expect()
        assert "kiln trust remove ci" in done.err and written(user)[0].splitlines()[1:] == []
        assert "error[K0903]" in user.kiln("cache", "remove", "team").expect(2).err


class TestStatus:
    def test_over_the_web(self, user, cache, key, pushed):
        with LyingServer(folder=str(cache)) as server:
            user.extra["no_proxy"] = "127.0.0.1"
            use(user, server.url, "--yes", "--key", key).expect()
            done = user.kiln("cache", "status").expect()
            assert "trusted here as ci; last pushed 2" in done.out and "expires in 89 days" in done.out
            pushed.extra["no_proxy"] = "127.0.0.1"
            told = pushed.kiln("cache", "status", "main.kiln", "--cache", server.url, "--json").expect().document
        (row,) = told["data"]["caches"]
        assert row["targets"]["objects"] == 1 and row["targets"]["lacking"] == 0 and row["latency"] > 0
        done = user.kiln("cache", "status").expect(9)
        assert "✘ team" in done.out and "is not reached" in done.out

    def test_a_token_is_shown_to_no_other_cache(self, user, cache, key, tmp_path):
        with LyingServer(folder=str(cache)) as one, LyingServer(folder=str(cache)) as two:
            user.extra.update(no_proxy="127.0.0.1", KILN_CACHE_TOKEN="secret", KILN_CACHE_TOKEN_TWO="own")
            use(user, one.url, "--name", "one", "--yes", "--key", key).expect()
            assert shown_to(one) == {None}, "it may be anybody's"
            user.kiln("cache", "status").expect()
            assert shown_to(one) == {"Bearer secret"}, "it is the one that is used"
            for words in NAMED:
                user.kiln(*words, two.url)
                assert shown_to(two) == {None}, words
            use(user, two.url, "--name", "two", "--yes", "--key", key).expect()
            shown_to(one), shown_to(two)
            user.kiln("cache", "status").expect()
            assert (shown_to(one), shown_to(two)) == ({None}, {"Bearer own"})
            user.kiln("cache", "status", "--cache", "one").expect()
            assert shown_to(one) == {None}, "of two, it may be for the other"

    def test_a_cache_that_is_named_by_its_address_has_the_name_of_no_other(self, user, cache, key):
        """Else what is for `team` would be for any host that is called so: tokens, and keys."""
        use(user, cache, "--name", "localhost", "--yes", "--key", key).expect()
        with LyingServer(folder=str(cache)) as other:
            user.extra.update(no_proxy="localhost", KILN_CACHE_TOKEN_LOCALHOST="secret")
            url = f"http://localhost:{other.port}"
            done = user.kiln("cache", "status", "--cache", url, "--json").expect()
            assert shown_to(other) == {None}
        assert done.document["data"]["caches"][0]["name"] != "localhost"

    def test_what_was_seen_of_a_cache_outlives_the_process(self, user, cache, key, tmp_path):
        older = shutil.copytree(cache, tmp_path / "older")
        use(user, cache, "--yes", "--key", key).expect()
        (head,) = (cache / "heads").iterdir()
        user.kiln("cache", "pull", "main.kiln").expect()
        head.unlink()
        assert "H4, a rollback" in user.kiln("cache", "status").expect().out
        refused = user.kiln("cache", "pull", "main.kiln", "--store", str(tmp_path / "fresh"))
        assert refused.code != 0 and "K0665" in refused.err
        user.kiln("cache", "remove", "team").expect()
        shutil.rmtree(cache)
        os.rename(older, cache)
        use(user, cache).expect()
        assert "last pushed" in user.kiln("cache", "status").expect().out

    def test_what_use_showed_is_remembered(self, user, cache, key):
        """So that an older state is noticed by the first build already."""
        use(user, cache, "--yes", "--key", key).expect()
        (head,) = (cache / "heads").iterdir()
        head.unlink()
        refused = user.kiln("cache", "pull", "main.kiln")
        assert refused.code != 0 and "K0665" in refused.err and "H4" in refused.err

    def test_what_stands_on_whose_word(self, user, cache, key):
        assert "nothing here stands" in user.kiln("trust", "list", "--holds").expect().err
        use(user, cache, "--yes", "--key", key).expect()
        user.kiln("cache", "pull", "main.kiln").expect()
        (line,) = user.kiln("trust", "list", "--holds").expect().out.splitlines()
        assert line.endswith("-greeting.txt  ci, from team")
        user.kiln("trust", "revoke", "ci").expect()
        (line,) = user.kiln("trust", "list", "--holds").expect().out.splitlines()
        assert "its word does not count" in line
        told = user.kiln("trust", "list", "--holds", "--json").expect().document
        (row,) = told["data"]["objects"]
        assert row["words"] == ["ci, from team"] and row["counts"] is False
        user.kiln("realise", "main.kiln", "--no-link").expect()
        assert "nothing here stands" in user.kiln("trust", "list", "--holds").expect().err, "it was built here"

    def test_a_threshold_says_whom_it_counts(self, user, key):
        user.kiln("trust", "add", "ci", key).expect()
        done = user.kiln("trust", "threshold", "2").expect()
        assert "keys without operator= count as operators of their own: ci." in done.err

    def test_what_would_move(self, user, cache):
        user.write("main.kiln", 'pub let default: Out(File) = write_file("other.txt", "other");\n')
        user.kiln("realise", "main.kiln", "--no-link").expect()
        (row,) = (
            user.kiln("cache", "status", "main.kiln", "--cache", str(cache), "--json")
            .expect()
            .document["data"]["caches"]
        )
        assert row["targets"]["lackingBytes"] == 5 and row["wouldMove"]["files"] >= 1
        assert "error[K0903]" in user.kiln("cache", "status").expect(2).err


class TestChallenge:
    def challenge(self, home, *words):
        return home.kiln("challenge", "main.kiln", *words)

    def test_two_builders_who_agree(self, user, cache):
        user.kiln("realise", "main.kiln", "--no-link").expect()
        done = self.challenge(user, "--cache", str(cache)).expect()
        assert (
            done.out.startswith("EQUAL")
            and "team: ci ed25519:" in done.out
            and "this store: this builder" in done.out
        )

    def test_nothing_to_compare_with(self, user, cache):
        assert "error[K0671]" in self.challenge(user, "--cache", str(cache)).expect(8).err
        user.kiln("realise", "main.kiln", "--no-link").expect()
        told = self.challenge(user, "--json").expect(8).document
        assert told["error"]["code"] == "K0671" and told["data"]["outputs"][0]["verdict"] == "ALONE"

    def test_many_keys_that_only_one_card_names_are_one_voice(self, user, cache, key, tmp_path):
        """Whoever keeps a cache can make as many as he likes."""
        second = Home(str(tmp_path / "second"))
        second.write("main.kiln", PROGRAM)
        second.kiln("realise", "main.kiln", "--no-link").expect()
        second.kiln("cache", "push", "main.kiln", "--to", str(cache), "--as", "second").expect()
        told = self.challenge(user, "--cache", str(cache), "--json").expect(8).document["data"]["outputs"]
        assert [(item["verdict"], len(item["voices"])) for item in told] == [("ALONE", 2)]
        user.kiln("trust", "add", "ci", key).expect()
        assert self.challenge(user, "--cache", str(cache)).expect().out.startswith("EQUAL")
        other = second.kiln("key", "show").expect().out.strip()
        user.kiln("trust", "remove", "ci").expect()
        user.kiln("trust", "add", "ci", key, "--operator", "us").expect()
        user.kiln("trust", "add", "second", other, "--operator", "us").expect()
        assert self.challenge(user, "--cache", str(cache)).expect(8).out.startswith("ALONE")

    def test_one_who_says_another(self, user, cache, tmp_path):
        user.kiln("realise", "main.kiln", "--no-link").expect()
        liars = self.lie(user, str(tmp_path / "liars"), LIAR)
        done = self.challenge(user, "--cache", str(cache), "--cache", liars).expect(7)
        assert done.out.startswith("DIFFERENT") and "error[K0670]" in done.err and "liars: liar ed25519:" in done.out
        voices = self.challenge(user, "--cache", liars, "--json").expect(7).document["data"]["outputs"][0]["voices"]
        assert [voice["good"] for voice in voices] == [True, True]

    def test_a_forged_word_counts_for_nothing(self, user, cache, tmp_path):
        user.kiln("realise", "main.kiln", "--no-link").expect()
        liars = self.lie(user, str(tmp_path / "liars"), LIAR, forged=True)
        done = self.challenge(user, "--cache", str(cache), "--cache", liars).expect()
        assert done.out.startswith("EQUAL") and "whose signature does not verify" in done.out

    def test_a_cache_that_is_down_is_left_out(self, user, cache):
        user.kiln("realise", "main.kiln", "--no-link").expect()
        done = self.challenge(user, "--cache", str(cache), "--cache", "http://127.0.0.1:9/x").expect()
        assert "it is left out" in done.err and done.out.startswith("EQUAL")

    @staticmethod
    def lie(user, place, signer, *, forged=False):
        """A cache in which somebody says that the user's target is another object; its folder."""
        with Store.open(user.store) as store:
            (info,) = store.all_objects()
            honest = store.producers(info.id)[0].claim
            claim = honest._replace(object=ObjectId(bytes([9]) * 32))
            made = sign_witness(signer, claim, EnvelopeDigest(bytes(32)), started=1, finished=2)
            witness = made._replace(signature=bytes(64)) if forged else made
            selection = Selection(claims={claim.resolved: [ClaimRow(claim, (witness,))]})
            who = identity(signer, "liar")
            os.mkdir(place)
            push(store, upstream(open_backend(place), signer, name="liars"), who, selection, Options())
        return place


def test_a_rotated_key_is_announced_by_the_next_push(tmp_path):
    builder, user = Home(str(tmp_path / "builder")), Home(str(tmp_path / "user"))
    builder.write("main.kiln", PROGRAM)
    builder.kiln("cache", "push", "main.kiln", "--to", "../team").expect()
    old = builder.kiln("key", "show").expect().out.strip()
    team = os.path.join(builder.folder, "team")
    use(user, team, "--yes", "--key", old).expect()
    told = json.loads(builder.kiln("key", "rotate", "--json").expect().out)["data"]
    builder.write("main.kiln", PROGRAM.replace("hello", "bye"))
    builder.kiln("cache", "push", "main.kiln", "--to", team).expect()
    assert len(open_keys(os.path.join(builder.folder, "config/kiln/keys/builder.key")).keys) == 2
    done = use(user, team).expect()
    assert told["key"] in done.err and "takes the place of" in done.err


def test_what_a_revoked_key_signed_counts_no_longer(user):
    user.kiln("realise", "main.kiln", "--no-link").expect()
    user.kiln("verify", "main.kiln").expect()
    old = user.kiln("key", "rotate", "--json").expect().document["data"]["old"]
    user.kiln("key", "rotate").expect()
    user.kiln("verify", "main.kiln").expect()  # what a retired key signed goes on counting
    user.kiln("key", "revoke", old, "--reason", "stolen").expect()
    refused = user.kiln("verify", "main.kiln").expect(6)
    assert "error[K0662]" in refused.err and "revoked 2" in refused.err
    assert "error[K0660]" in user.kiln("key", "revoke", "f" * 64).expect(6).err
