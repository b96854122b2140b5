"""What a push takes along: what was built on the way, build-only inputs too; what --watch sees of old objects."""

from __future__ import annotations

from kiln.commands.cachepush import _news
from kiln.store.cache import rows
from kiln.store.cache.backend import Backend
from kiln.store.cache.push import push
from kiln.store.cache.selection import Wanted, select_targets
from kiln.store.digest import DrvDigest, EnvelopeDigest, ResolvedDigest, blob_digest
from kiln.store.info import ObjectInfo
from kiln.store.paths import OutputName
from kiln.store.records import Pin, make_claim, sign_resolution, sign_witness
from kiln.store.store import Store
from tests.cache.cache_samples import ME, digest, identity, made, show, upstream
from tests.store.store_samples import add


def chain(store: Store, place: str) -> tuple[ObjectInfo, ObjectInfo, ObjectInfo, ObjectInfo]:
    """source → base → tool → app, of which the app refers to nothing and the tool to its base."""
    source = add(store, place, "source", b"int main;")
    base = made(store, place, "base", b"base", pins=[source])
    tool = made(store, place, "tool", b"see " + str(base.path).encode(), [base], pins=[base])
    app = made(store, place, "app", b"app", pins=[tool])
    return source, base, tool, app


def test_build_inputs_go_where_they_are_asked_for(store: Store, place: str, folder: Backend) -> None:
    source, base, tool, app = chain(store, place)
    alone = select_targets(store, [Wanted(app.id, "app")])
    assert {info.id for info in alone.objects} == {app.id}
    more = select_targets(store, [Wanted(app.id, "app")], build_inputs=True)
    order = [info.id for info in more.objects]
    assert set(order) == {app.id, tool.id, base.id} and order.index(base.id) < order.index(tool.id)
    assert source.id not in order, "what nobody made is nobody's result"
    push(store, upstream(folder), identity(), more)
    shown = show(folder)
    for info in (app, tool, base):
        shown.check(info.id)
    targets = {name: rows.decode_target(value) for name, value in shown.table(b"T").items()}
    assert {name: row.label for name, row in targets.items()} == {app.id: "app", tool.id: "tool"}
    assert set(targets[tool.id].closure) == {tool.id, base.id}


def test_what_was_built_goes_also_and_secrets_stay(store: Store, place: str) -> None:
    _, base, tool, app = chain(store, place)
    private = made(store, place, "private", b"secret", degraded=["secrets"])
    found = select_targets(store, [Wanted(app.id)], also=[tool.id, private.id])
    assert {info.id for info in found.objects} == {app.id, tool.id, base.id}
    assert [info.id for info in found.withheld] == [private.id]
    assert {target.object for target in found.targets} == {app.id, tool.id}
    failed = select_targets(store, [], also=[base.id])
    assert {info.id for info in failed.objects} == {base.id} and len(failed.targets) == 1


def test_what_is_below_a_target_is_no_target_of_its_own(store: Store, place: str) -> None:
    _, base, tool, _ = chain(store, place)
    found = select_targets(store, [Wanted(tool.id, "tool")], also=[base.id, tool.id])
    assert [target.object for target in found.targets] == [tool.id]


def test_a_new_claim_of_an_object_that_was_there_is_news(store: Store, place: str) -> None:
    _, base, tool, app = chain(store, place)
    began, _ = store.registered_after(0)
    known = frozenset(item.digest for item in store.all_resolutions())
    assert _news(store, began, known) == frozenset()
    drv, resolved = DrvDigest(digest("another recipe")), ResolvedDigest(digest("comes down to"))
    claim = make_claim(resolved, OutputName("out"), app.id, app.root, app.size, app.references)
    witness = sign_witness(ME, claim, EnvelopeDigest(blob_digest(b"{}")), degraded=(), started=1, finished=2)
    pin = Pin(DrvDigest(digest("tool")), OutputName("out"), tool.id, tool.name)
    store.commit(
        witnesses=[(claim, witness)],
        resolutions=[sign_resolution(ME, drv, resolved, [pin], made=5)],
        envelopes=[b"{}"],
    )
    assert _news(store, began, known) == {app.id}
    later = made(store, place, "later", b"later")
    assert _news(store, began, known) == {app.id, later.id} and base.id not in _news(store, began, known)
