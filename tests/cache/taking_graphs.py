"""Users with stores and caches between them, and a builder that needs no sandbox: what it makes is a function of what
goes in, so that tests of substitution say what they mean in a few lines.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cache_samples import identity

from kiln.interpreter import realise as realising
from kiln.interpreter.derivation import (
    BuildStep,
    DrvOutput,
    InputRef,
    OutputSpec,
    Program,
    SourceObject,
    Step,
    derivation,
    drv_digest,
)
from kiln.interpreter.events import Event, StepFinished, Warned
from kiln.interpreter.evidence import digest_of_made
from kiln.interpreter.ledger import Ledger, Realised, scope_of, sign_pins
from kiln.interpreter.making import Made, Making
from kiln.interpreter.plan import Plan
from kiln.interpreter.workshop import Workshop
from kiln.store.cache.backend import Backend
from kiln.store.cache.believed import Believed
from kiln.store.cache.push import push
from kiln.store.cache.reader import CacheReader
from kiln.store.cache.seen import Memory
from kiln.store.cache.selection import Wanted, select_all, select_targets
from kiln.store.cache.several import Caches
from kiln.store.cache.upstream import Upstream
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId, blob_digest
from kiln.store.paths import OutputName
from kiln.store.provenance.keys import SecretKey
from kiln.store.provenance.trust import EVERYTHING, Policy, TrustedKey
from kiln.store.records import make_claim, sign_witness
from kiln.store.store import Store

OUT = OutputName("out")
NOW = int(time.time())
Tree = Mapping[str, bytes]
Content = Callable[[str, Sequence[str]], Tree]


class Graph(dict[DrvDigest, Step]):
    """A graph by names: `add("b", a)` takes `a`'s `out`. A `note` changes a derivation and not what it makes."""

    def add(self, name: str, *needs: DrvDigest, note: str = "") -> DrvDigest:
        inputs = [DrvOutput(need, OUT) for need in needs]
        args = tuple((InputRef(place),) for place in range(len(inputs)))
        drv = derivation(
            name=name,
            builder=Program(("/bin/sh",), args),
            inputs=inputs,
            outputs=[OutputSpec(OUT, "tree")],
            env={"note": (note,)} if note else {},
        )
        digest = drv_digest(drv)
        self[digest] = BuildStep(digest, drv)
        return digest


def plain(name: str, inputs: Sequence[str]) -> Tree:
    """What is made is a function of the name and the inputs, and refers to all of them."""
    return {"name": name.encode(), "inputs": "\n".join(inputs).encode()}


@dataclass
class User:
    """Somebody with a store and a key. `trusts` are those whose word counts for him, each its own operator."""

    store: Store
    key: SecretKey
    place: str
    trusts: Sequence[SecretKey | TrustedKey] = ()
    threshold: int = 1
    content: Content = plain
    built: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    caches: Sequence[Backend] = ()
    memory: Memory = field(default_factory=Memory.none)
    failing: bool = False
    """Whether nothing may be built."""

    @property
    def policy(self) -> Policy:
        trusted = [
            key if isinstance(key, TrustedKey) else TrustedKey(key.public_key, f"key{n}", EVERYTHING)
            for n, key in enumerate(self.trusts)
        ]
        return Policy.of(trusted, own=[self.key.public_key], threshold=self.threshold)

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]

    @property
    def cached(self) -> dict[str, str]:
        """What was taken, by name, and from where."""
        return {
            event.name: event.source
            for event in self.events
            if isinstance(event, StepFinished) and event.verdict == "cached"
        }

    def workshop(self) -> Workshop:
        made = Workshop(
            store=self.store,
            ledger=Ledger(self.store, lambda: self.policy),
            signer=self.key,
            policy=self.policy,
            version="test",
            sink=self.events.append,
        )
        if self.caches:
            made.open_caches = self.opened
        return made

    def opened(self) -> Caches:
        believed = Believed(self.policy, self.memory)

        def warn(text: str) -> None:
            self.events.append(Warned(text))

        readers = [CacheReader(backend, believed, warn) for backend in self.caches]
        return Caches(readers, self.store, believed, warn)

    def realise(self, graph: Graph, *targets: DrvDigest) -> Plan:
        plan, _ = realising.realise(self.workshop(), graph, [DrvOutput(drv, OUT) for drv in targets])
        return plan

    def push(self, backend: Backend, *objects: ObjectId, name: str = "team") -> None:
        if "://" not in backend.url:
            os.makedirs(backend.url, exist_ok=True)
        wanted = [Wanted(item, "target") for item in objects]
        selection = select_targets(self.store, wanted) if objects else select_all(self.store)
        upstream = Upstream.open(backend, identity(self.key), [], name=name, now=NOW)
        push(self.store, upstream, identity(self.key), selection)

    def make(self, making: Making) -> Made:
        """Build: content by name and inputs, claim, witness, resolution, envelope."""
        recipe = making.recipe
        resolved = digest_of_made(recipe)
        found = self.workshop().ledger.realised(resolved, frozenset({scope_of(recipe)}))
        if found:
            return Made(found, fresh=False)
        assert not self.failing, f"{recipe.name} is built"
        self.built.append(recipe.name)
        inputs = [item for item in recipe.inputs if isinstance(item, SourceObject)]  # type: ignore[union-attr]
        folder = os.path.join(self.place, f"build-{len(self.built)}-{os.urandom(4).hex()}")
        os.mkdir(folder)
        for name, data in self.content(recipe.name, [str(item.path) for item in inputs]).items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        info = self.store.add_object(folder, recipe.name, references=[item.id for item in inputs], move=False)
        envelope = b'{"about":"%s","by":"%s"}\n' % (info.id.hex().encode(), self.key.public_key.keyid.encode())
        digest = EnvelopeDigest(blob_digest(envelope))
        claim = make_claim(resolved, OUT, info.id, info.root, info.size, info.references)
        witness = sign_witness(self.key, claim, digest, started=1, finished=2)
        resolutions = [sign_pins(self.key, making.key, resolved, making.pins)] if making.pins is not None else []
        self.store.commit(witnesses=[(claim, witness)], resolutions=resolutions, envelopes=[envelope])
        return Made({OUT: Realised(info, digest)}, fresh=True)


class Users:
    """Makes users below a folder, and closes their stores."""

    def __init__(self, place: str, monkeypatch: Any) -> None:
        self._place = place
        self._users: list[User] = []
        monkeypatch.setattr(realising, "make", self._make)
        monkeypatch.setattr("kiln.interpreter.sandbox.helper.shared_launcher", lambda: None)

    def add(self, seed: bytes, **given: Any) -> User:
        place = f"{self._place}/user-{seed.hex()}-{len(self._users)}"
        os.mkdir(place)
        user = User(Store.open(f"{place}/store"), SecretKey.of(seed * 32), place, **given)
        self._users.append(user)
        return user

    def _make(self, workshop: Workshop, making: Making) -> Made:
        [user] = [user for user in self._users if user.store is workshop.store]
        return user.make(making)

    def close(self) -> None:
        for user in self._users:
            user.store.close()


def objects(plan: Plan, drvs: Iterable[DrvDigest]) -> list[ObjectId]:
    """What derivations came to in a plan."""
    return [plan.pins[DrvOutput(drv, OUT)].id for drv in drvs]
